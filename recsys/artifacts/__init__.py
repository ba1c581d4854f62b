"""What the night writes and the edge reads, writer and reader of each file side by side."""
