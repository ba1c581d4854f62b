"""Who allowed what: the consent log, its tables and database, and erasure."""
