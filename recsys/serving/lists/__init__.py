"""The lists that requests are answered with."""
