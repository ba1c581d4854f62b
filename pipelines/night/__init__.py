"""The night, and its steps."""
