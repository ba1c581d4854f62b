"""PRECISE: positions exist here and nowhere else; nothing from here is written."""
