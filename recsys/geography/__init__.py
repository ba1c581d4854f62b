"""Public geography: the places of the world, which region a cell lies in, and how names are spelled."""
