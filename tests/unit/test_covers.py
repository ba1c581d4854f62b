"""Covers: the same for a track everywhere, and different enough between tracks."""

import re

from recsys.serving.pages import templates
from recsys.serving.pages.covers import COLOURS, cover_of

TRACKS = [f"t{number:05}" for number in range(3_000)]


def test_a_cover_follows_from_the_id() -> None:
    assert cover_of("t00791") == cover_of("t00791")
    assert len({repr(cover_of(track)) for track in TRACKS}) > 0.98 * len(TRACKS)


def test_colours_and_figures_are_used_alike() -> None:
    covers = [cover_of(track) for track in TRACKS]
    for found, kinds in (
        ([cover.ground for cover in covers], COLOURS),
        ([cover.figures[0].name for cover in covers], 6),
    ):
        assert min(found.count(kind) for kind in {*found}) > 0.7 * len(TRACKS) / kinds
        assert len({*found}) == kinds


def test_a_figure_has_another_lightness_than_its_ground() -> None:
    """Colours of even and of odd numbers are darker and lighter."""
    for cover in map(cover_of, TRACKS):
        assert (int(cover.ground[1:]) - int(cover.figures[0].colour[1:])) % 2 == 1


def test_what_covers_name_is_drawn() -> None:
    frame, style = ((templates.PAGES / name).read_text() for name in ("frame.html", "page.css"))
    figures = {figure.name for track in TRACKS for figure in cover_of(track).figures}
    assert figures <= set(re.findall(r'<path id="(\w+)"', frame))
    colours = [f"c{number}" for number in range(COLOURS)]
    assert [colour for colour in colours if f".cover .{colour} {{ fill: var(--{colour}); }}" not in style] == []
    assert [colour for colour in colours if len(re.findall(rf"--{colour}: #", style)) != 2] == [], "light and dark"


def test_colours_stand_out_from_each_other_and_from_the_page() -> None:
    style = (templates.PAGES / "page.css").read_text()
    for scheme, land in enumerate(re.findall(r"--land: (#\w{6})", style)):
        colours = [re.findall(rf"--c{number}: (#\w{{6}})", style)[scheme] for number in range(COLOURS)]
        assert min(contrast(colour, land) for colour in colours) > (2.2, 3)[scheme]
        for cover in map(cover_of, TRACKS):
            ground, figure = (colours[int(name[1:])] for name in (cover.ground, cover.figures[0].colour))
            assert contrast(ground, figure) > 1.3


def contrast(one: str, other: str) -> float:
    """The ratio of WCAG 2."""
    lights = sorted(luminance(colour) for colour in (one, other))
    return (lights[1] + 0.05) / (lights[0] + 0.05)


def luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
