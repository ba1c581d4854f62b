"""PUBLIC: what leaves the building: noisy counts, and what is derived from them alone."""
