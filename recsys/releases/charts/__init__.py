"""The public charts: popular, rising and local, with ranks of before and reasons."""
