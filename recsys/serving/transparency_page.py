"""The page of what is collected: plain HTML from the same values as the JSON, readable without any script."""

from collections.abc import Iterable, Sequence
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from recsys.serving.transparency import Area, Privacy, Transparency


def page(found: "Transparency") -> str:
    """Return the whole page."""
    sections = [
        _section("What you can allow", _list(each["text"] for each in found["purposes"]) + _DEFAULT),
        _section("What is collected", _collected(found)),
        _section("How coarse a place is", _area(found["area"])),
        _section("What it costs in privacy", _privacy(found["privacy"])),
        _section("What is not private", _list(found["not_private"])),
        _section("Who answers for it", _paragraph(f"{found['controller']}, {found['contact']}") + _when(found)),
    ]
    return _FRAME.format(body="".join(sections))


def _collected(found: "Transparency") -> str:
    head = ("What", "For", "How coarse", "Kept", "Seen by")
    rows = [
        (
            each["what"],
            ", ".join(each["purposes"]) or "keeping your word",
            each["how_coarse"],
            each["kept"],
            each["seen_by"],
        )
        for each in found["collected"]
    ]
    return _table(head, rows)


def _area(area: "Area") -> str:
    text = _paragraph(area["explained"])
    if area["smallest_region_km2"] is not None:
        text += _paragraph(
            f"There are {area['regions']:,} regions, each with at least {area['people_at_least']:,} people by public "
            f"geography; the smallest covers {area['smallest_region_km2']:,} km², the largest "
            f"{area['largest_region_km2']:,} km²."
        )
    return text


def _privacy(privacy: "Privacy") -> str:
    limits = (
        f"In a night you add to at most {privacy['tracks_a_night']} tracks of one region, each by one; in any 28 "
        f"nights you are counted in at most {privacy['nights_of_28']}, in any 365 at most {privacy['nights_of_365']}."
    )
    account = privacy["account"]
    if account is None:
        return _paragraph(limits) + _paragraph("No night has written yet what was spent.")
    head = ("Purpose", "Nights", "Releases", "Epsilon")
    rows = [
        (each["purpose"], each["nights"], _number(each["releases"]), f"{each['epsilon']:.2f}")
        for each in account["spent"]
    ]
    stated = f"Epsilon, at a delta of {account['delta']:g}, by the larger of two accountants:"
    return _paragraph(limits) + _paragraph(account["meaning"]) + _paragraph(stated) + _table(head, rows)


def _when(found: "Transparency") -> str:
    night = found["last_night"] or "none yet"
    run = f", published by the run of {found['last_run']}" if found["last_run"] else ""
    return _paragraph(f"The last night in the charts: {night}{run}. Notice: {found['notice_version']}.")


def _number(number: int | None) -> str:
    return "" if number is None else str(number)


def _section(title: str, body: str) -> str:
    return f"<section><h2>{escape(title)}</h2>{body}</section>"


def _paragraph(text: str) -> str:
    return f"<p>{escape(text)}</p>"


def _list(texts: Iterable[str]) -> str:
    return "<ul>" + "".join(f"<li>{escape(text)}</li>" for text in texts) + "</ul>"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    titles = "".join(f'<th scope="col">{escape(text)}</th>' for text in head)
    lines = "".join("<tr>" + "".join(f"<td>{escape(text)}</td>" for text in row) + "</tr>" for row in rows)
    return f'<div tabindex="0" role="region" aria-label="Table"><table><tr>{titles}</tr>{lines}</table></div>'


_DEFAULT = _paragraph("Each is a switch of its own. None is given until you give it, and one request takes it back.")

_FRAME = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>What is collected · Hearabouts</title>
<style>
:root {{ color-scheme: light dark; }}
body {{ font: 1rem/1.6 system-ui, sans-serif; max-width: 46rem; margin: 2rem auto; padding: 0 1rem; }}
h1 {{ line-height: 1.2; }}
div {{ overflow-x: auto; }}
table {{ border-collapse: collapse; width: 100%; }}
th, td {{ text-align: left; vertical-align: top; padding: .4rem .6rem; border-bottom: 1px solid GrayText; }}
</style>
<main>
<h1>What is collected, and what for</h1>
<p>This page is made from the settings, the atlas and the ledger of this endpoint; the same as JSON is at
<a href="/v1/transparency">/v1/transparency</a>. Back to <a href="/">what is trending</a>.</p>
{body}
</main>
</html>
"""
