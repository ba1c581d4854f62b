"""What is in a request: its query, its headers, its positions, its id, its rate, and how it is refused."""
