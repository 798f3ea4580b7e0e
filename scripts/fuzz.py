"""Coverage-guided fuzzing of what reads files: `python scripts/fuzz.py conll -max_total_time=900`.

It needs `pip install atheris` (Linux). Targets are conll, jsonl, csv and study; arguments after the
target are libFuzzer's, and a folder among them is a corpus that grows. A file may be refused by a
`UserError`; anything else that is raised is a crash, whose input is written to the working folder.
What was found is kept in tests/faults/test_fuzz.py.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["lushan", "yaml"]):
    from lushan.data.formats import Conll, Jsonl, Table
    from lushan.errors import UserError
    from lushan.study import claims, study

FOLDER = Path(tempfile.mkdtemp(prefix="lushan-fuzz-"))
TARGETS: dict[str, tuple[str, Callable[[str], object]]] = {
    "conll": ("x.conll", lambda path: Conll(train=path, validation=0.3).read()),
    "jsonl": ("x.jsonl", lambda path: Jsonl(train=path).read()),
    "csv": ("x.csv", lambda path: Table(train=path).read()),
    "study": ("study.yaml", lambda path: claims.read(study.read(path))),
}


def main() -> None:
    """Fuzz the target that the first argument names."""
    if len(sys.argv) < 2 or sys.argv[1] not in TARGETS:
        raise SystemExit(f"usage: fuzz.py {'|'.join(TARGETS)} [libFuzzer's options]")
    name, read = TARGETS[sys.argv.pop(1)]
    path = FOLDER / name

    def once(data: bytes) -> None:
        path.write_bytes(data)
        try:
            read(str(path))
        except UserError:
            return

    atheris.Setup(sys.argv, once)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
