"""The HTML templates of a run's page, in which every text is escaped."""

from functools import cache
from importlib.resources import files

from jinja2 import Environment, FunctionLoader, StrictUndefined, Template

_FOLDER = "pipelines.report"  # the package that holds the templates and their style sheet


def text_of(name: str) -> str:
    """Return the text of a file beside the templates."""
    return files(_FOLDER).joinpath(name).read_text(encoding="utf-8")


@cache
def template(name: str) -> Template:
    """Return a template by its file name."""
    loader = FunctionLoader(text_of)
    kept = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return kept.get_template(name)
