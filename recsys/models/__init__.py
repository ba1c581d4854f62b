"""LEARNED: what is learned from consenting listeners; factors are never served, logged or shared."""
