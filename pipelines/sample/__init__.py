"""The job that writes a sample world: synthetic listens, consents and a catalogue, and the truth behind them."""

from pipelines.sample.job import Summary, write_world

__all__ = ["Summary", "write_world"]
