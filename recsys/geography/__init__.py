"""Public geography: the tree of places, and where in it a cell lies."""
