"""The jobs of the privacy officer and of the listener's rights."""
