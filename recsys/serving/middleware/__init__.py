"""What a request walks through before it meets a route, in this order: see recsys.serving.app."""
