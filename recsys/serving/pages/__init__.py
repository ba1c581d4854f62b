"""The pages that a person reads, and their assets."""
