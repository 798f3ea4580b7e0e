"""Reference data, which is read in place and may not be there."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

DATA = Path(os.environ.get("LUSHAN_DATA") or Path(__file__).parents[4] / "shared" / "data")


@pytest.fixture
def data() -> Path:
    if not DATA.is_dir():
        pytest.skip(f"no data in {DATA}; set LUSHAN_DATA to its folder")
    return DATA


@pytest.fixture
def cases(data: Path) -> list[dict[str, Any]]:
    """The cases of `reference/metric_reference.json`."""
    path = data / "reference" / "metric_reference.json"
    if not path.is_file():
        pytest.skip(f"no {path}")
    return json.loads(path.read_text(encoding="utf-8"))["cases"]
