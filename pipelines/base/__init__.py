"""What every job stands on: its context, its configuration, and the terminal."""
