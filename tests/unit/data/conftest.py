"""Files to read, written as each test wants them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lushan.data.formats import Chat
from lushan.data.source import Corpus

Write = Callable[[str, "str | bytes"], str]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a file and return its path."""

    def written(name: str, content: str | bytes) -> str:
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return str(path)

    return written


@pytest.fixture
def read_chat(tmp_path: Path) -> Callable[..., Corpus]:
    """Read rows of dialogues as the training split."""

    def found(*rows: dict[str, Any], **options: Any) -> Corpus:
        path = tmp_path / "rows.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        return Chat(train=str(path), **options).read()

    return found
