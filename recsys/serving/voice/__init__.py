"""Voice control: what a text that was made of speech means, by a closed grammar and the names that there are."""
