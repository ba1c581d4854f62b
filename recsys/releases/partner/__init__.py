"""The partner file: about how many consenting listeners of a place played a track in some weeks."""
