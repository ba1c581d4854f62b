"""Hearabouts: what is trending hereabouts, for people who never told us exactly where they are."""
