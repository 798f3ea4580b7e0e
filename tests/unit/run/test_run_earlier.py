"""An earlier run to start from: which of its files are read."""

from __future__ import annotations

from pathlib import Path

import pytest

from lushan.errors import UserError
from lushan.run.artifacts import of_run


def test_of_an_earlier_run_its_weights_shape_and_tokenizer_are_read(tmp_path: Path) -> None:
    for name in ("run.json", "encoder/config.json", "processor/tokenizer.json", "log.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("{}", encoding="utf-8")
    with pytest.raises(UserError, match="not complete"):
        of_run(tmp_path)
    (tmp_path / "result.json").write_text("{}", encoding="utf-8")
    best = tmp_path / "checkpoints" / "best" / "weights.safetensors"
    best.parent.mkdir(parents=True)
    best.write_bytes(b"")
    assert sorted(of_run(tmp_path)) == [
        "checkpoints/best/weights.safetensors",
        "encoder/config.json",
        "processor/tokenizer.json",
    ]
