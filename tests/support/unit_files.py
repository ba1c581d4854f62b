"""What stands in a systemd unit."""

from configparser import ConfigParser
from pathlib import Path


def sections(unit: Path) -> ConfigParser:
    """Return the sections of a unit, with keys as they are written; a key that stands twice is an error."""
    parser = ConfigParser(interpolation=None, delimiters=("=",), comment_prefixes=("#",))
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read_string(unit.read_text())
    return parser
