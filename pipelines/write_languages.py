"""The job that brings the catalogues of the pages up to date with their texts, as ``make languages`` does.

What is new in templates, scripts and messages is added without a translation, and what is gone is taken out. A text
that has changed is a new one: nothing is guessed, so that no translation says what its text does not say any more.
"""

from collections.abc import Iterator
from functools import cache
from io import BytesIO
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_file
from babel.messages.pofile import write_po

import recsys
from recsys.serving.pages.words import CATALOGUES, ENGLISH, LANGUAGES, catalogue

ROOT = Path(recsys.__file__).parent.parent

_PLACES = {
    "recsys/**/*.py": "python",
    "recsys/serving/pages/*.html": "jinja2",
    "recsys/serving/pages/*.js": "javascript",
}
_KEYWORDS = {
    "python": {"said": None, "template": None, "counted": (1, 2), "forms": (1, 2)},
    "jinja2": {"_": None, "gettext": None, "ngettext": (1, 2)},
    "javascript": {"_": None, "ngettext": (1, 2)},
}
_OPTIONS: dict[str, dict[str, object]] = {
    "jinja2": {"trim_blocks": "true", "lstrip_blocks": "true", "silent": "false", "newstyle_gettext": "true"},
    "javascript": {"parse_template_string": True},
}


@cache
def extracted() -> Catalog:
    """Return all texts of the pages, each with the files that it is in; of the files' lines nothing is kept."""
    found = Catalog(project="Hearabouts", charset="utf-8", fuzzy=False)
    for file, kind in _files():
        texts = extract_from_file(kind, file, keywords=_KEYWORDS[kind], options=_OPTIONS.get(kind))
        for _, text, comments, _ in texts:
            found.add(text, locations=[(file.relative_to(ROOT).as_posix(), 1)], auto_comments=comments)
    return found


def brought_up_to_date(language: str) -> bytes:
    """Return the catalogue of a language with all texts that there are, and with no others."""
    known, texts = catalogue(language), extracted()
    updated = Catalog(locale=language, project="Hearabouts", charset="utf-8", fuzzy=False, header_comment=_HEADER)
    for each in texts:
        if each.id:
            before = known.get(each.id)
            updated.add(each.id, before.string if before else None, locations=sorted(set(each.locations)))
    written = BytesIO()
    write_po(written, updated, sort_by_file=True, include_lineno=False, omit_header=False, width=120)
    kept = (line for line in written.getvalue().splitlines(True) if not line.startswith(_NOT_KEPT))
    return b"".join(kept)


def _files() -> Iterator[tuple[Path, str]]:
    for pattern, kind in _PLACES.items():
        for file in sorted(ROOT.glob(pattern)):
            if file.name != "messages.py":
                yield file, kind


_HEADER = (
    "# The pages of Hearabouts. `make languages` brings this file up to date; the translations are written by hand."
)
_NOT_KEPT = tuple(
    f'"{name}'.encode()
    for name in ("Project-Id", "Report", "POT-Creation", "PO-Revision", "Last-Translator", "Generated", "Language-Team")
)  # of its head: what is of the moment, or filled in by nobody


if __name__ == "__main__":
    for language in LANGUAGES:
        if language != ENGLISH:
            (CATALOGUES / f"{language}.po").write_bytes(brought_up_to_date(language))
