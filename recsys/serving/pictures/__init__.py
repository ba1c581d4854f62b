"""Pictures that listeners chose: made anew in a process of its own, and shown by addresses that end soon."""
