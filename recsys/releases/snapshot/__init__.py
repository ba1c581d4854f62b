"""The published snapshot: everything that the edge reads, whole or not at all."""
