"""The sample world, smaller: what tests run the commands of a page on."""

import json
import re
from pathlib import Path

from support.night import AREA

from pipelines.sample import write_world
from recsys.geography.atlas import Atlas


def write_small_sample(folder: Path, *, atlas: Atlas, nights: int, tracks: int) -> None:
    """Write a sample world with a twentieth of the listeners, of whom those in a few places have charts."""
    write_world(folder, atlas=atlas, size=0.05, nights=nights, tracks=tracks)
    file = folder / "settings.toml"
    settings = file.read_text(encoding="utf-8")
    japan = [cell for cell in re.findall(r'"(\w{15})"', settings) if atlas.chain(cell)[1] == "JP"]
    area = f"service_area = {json.dumps([*AREA, *japan])}"
    file.write_text(re.sub(r"service_area = \[.*?\]", area, settings, flags=re.S), encoding="utf-8")
