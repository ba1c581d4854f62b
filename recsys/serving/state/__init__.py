"""What the requests of one application share."""
