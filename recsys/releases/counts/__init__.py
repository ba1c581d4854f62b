"""One night's noisy table: its candidates, its noise, its writer, and its reader."""
