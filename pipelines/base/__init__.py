"""What every job stands on: its context, its settings, the terminal, and the tags of its run."""
