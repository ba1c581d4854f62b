"""EDGE: reads a snapshot and the consent log; knows no model library and no frame library."""
