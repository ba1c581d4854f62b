"""The job that writes the OpenAPI document of the endpoint, as ``make openapi`` does."""

import json
import sys
from pathlib import Path

from recsys.serving.app import routed
from recsys.settings import load_settings

if __name__ == "__main__":
    text = json.dumps(routed(settings=load_settings()).openapi(), indent=2, ensure_ascii=False)
    Path(sys.argv[1]).write_text(text + "\n", encoding="utf-8")
