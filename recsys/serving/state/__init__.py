"""What the requests of one application share, and how a route is given its part of it."""
