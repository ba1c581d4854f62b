"""The published snapshot, opened, reloaded when a newer one comes, and its answers kept."""
