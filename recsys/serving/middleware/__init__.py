"""What a request walks through before it meets a route, in the order of recsys.serving.app.

access_log, timeouts, cors, deprecation, head, error_pages, position_filter, authentication, public_files
"""
