"""Hearabouts: what is trending hereabouts, for people who never told us exactly where they are."""

import os

# Threads of OpenMP that wait for each other sleep, if nobody said otherwise. By default they spin: where other jobs
# hold one of them up, trees took nine times the processor time. Libraries read it when they are loaded, so it is here.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
