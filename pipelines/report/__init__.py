"""The one-page report of a run: words, charts and maps."""
