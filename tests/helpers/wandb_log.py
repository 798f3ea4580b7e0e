"""What an offline run of W&B holds: its log read back by W&B's own messages.

The log is one of LevelDB's: after 7 bytes come blocks of 32 KiB with records, each of a CRC (4
bytes), a length (2), and a kind (1): whole, first, middle or last. wandb 0.31 reads it in its
service alone.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

BLOCK, HEADER, HEAD = 32768, 7, 7
WHOLE, LAST = 1, 4


class Read:
    """The content of a run's log.

    Attributes:
        run_id: W&B's id.
        config: Key to value.
        history: Rows, each a step's.
        summary: Key to value.
        artifacts: Type to paths of its files.
        exit_code: Of the end; None where the run did not end.
    """

    def __init__(self, path: Path) -> None:
        from wandb.proto import wandb_internal_pb2 as messages

        self.run_id, self.exit_code = "", None
        self.config: dict[str, Any] = {}
        self.history: list[dict[str, Any]] = []
        self.summary: dict[str, Any] = {}
        self.artifacts: dict[str, list[str]] = {}
        for content in _records(path.read_bytes()):
            record = messages.Record()
            record.ParseFromString(content)
            kind = record.WhichOneof("record_type")
            if kind == "run":
                self.run_id = record.run.run_id
                self.config = _items(record.run.config.update)
            elif kind == "history":
                self.history.append(_items(record.history.item))
            elif kind == "summary":
                self.summary |= _items(record.summary.update)
            elif kind == "artifact":
                entries = record.artifact.manifest.contents
                self.artifacts[record.artifact.type] = sorted(entry.path for entry in entries)
            elif kind == "exit":
                self.exit_code = record.exit.exit_code


def ended(folder: Path) -> list[Read]:
    """The offline runs of a folder, oldest first, once W&B's service has written their ends."""
    for _ in range(300):
        logs = sorted(folder.glob("wandb/offline-run-*/*.wandb"), key=lambda path: path.parent.name)
        found = [Read(path) for path in logs]
        if all(run.exit_code is not None for run in found):
            return found
        time.sleep(0.1)
    raise AssertionError("W&B has not ended")


def _items(items: Any) -> dict[str, Any]:
    return {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in items}


def _records(content: bytes) -> list[bytes]:
    assert content[:4] == b":W&B"
    found, part, place = [], b"", HEAD
    while place + HEADER <= len(content):
        left = BLOCK - place % BLOCK
        if left < HEADER:  # too few for a header: the rest of a block is empty
            place += left
            continue
        size, kind = int.from_bytes(content[place + 4 : place + 6], "little"), content[place + 6]
        part += content[place + HEADER : place + HEADER + size]
        place += HEADER + size
        if kind in (WHOLE, LAST):
            found.append(part)
            part = b""
    return found
