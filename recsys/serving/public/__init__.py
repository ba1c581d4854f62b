"""The public half as a folder of files: rendered at publishing, servable by anything, and served by the endpoint."""
