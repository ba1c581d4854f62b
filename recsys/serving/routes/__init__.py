"""The resources of the endpoint, one subject a file."""
