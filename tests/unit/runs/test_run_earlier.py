"""What a run begins with besides its data: it belongs to that, too."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from lushan.errors import UserError
from lushan.runs.earlier import origin


def config(**groups: Any) -> dict[str, Any]:
    return {"model": {}, "task": {}} | groups


def test_a_template_is_what_its_file_holds(tmp_path: Path) -> None:
    path = tmp_path / "mine.jinja"
    path.write_text("a", encoding="utf-8")
    first = origin(config(task={"template": str(path)}))
    path.write_text("b", encoding="utf-8")
    second = origin(config(task={"template": str(path)}))
    assert list(first) == list(second) == ["task.template"]
    assert first != second
    assert origin(config(task={"template": "chatml"})) == {}
    assert origin(config(task={"template": None})) == {}


def test_an_earlier_run_is_its_weights(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text("{}", encoding="utf-8")
    with pytest.raises(UserError, match="not complete"):
        origin(config(model={"path": str(tmp_path)}))
    (tmp_path / "result.json").write_text(json.dumps({"weights_sha256": "1f"}), encoding="utf-8")
    assert origin(config(model={"path": str(tmp_path)})) == {"init_from": "1f"}
    assert origin(config(model={"path": "owner/name"})) == {}
