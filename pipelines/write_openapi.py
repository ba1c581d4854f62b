"""The job that writes the OpenAPI document of the endpoint, as ``make openapi`` does."""

import json
import sys
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from recsys.serving.app import create_app
from recsys.settings import load_settings
from recsys.workspace import Workspace


@cache
def contract() -> dict[str, Any]:
    """Return the OpenAPI document of the endpoint with the default settings."""
    with TemporaryDirectory() as folder:
        app = create_app(Workspace(Path(folder)), settings=load_settings(), clock=lambda: datetime.now(UTC))
        return app.openapi()


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(json.dumps(contract(), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
