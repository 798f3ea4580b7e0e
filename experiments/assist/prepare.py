"""Deal out the dialogues of dstc_faq: to learn the gate from, to choose thresholds, and to test.

python experiments/assist/prepare.py DATA/dstc_faq FOLDER

`places.jsonl` has the entries of the knowledge base but those on trains and taxis, which none of
the dialogues to learn from and to choose by asks for.
"""

import gzip
import hashlib
import json
import sys
from pathlib import Path

SHARES = (("train", 40), ("validation", 70), ("test", 100))
"""Upper ends of percents."""


def split_of(line: str) -> str:
    """Return where a dialogue belongs, by its content alone."""
    number = int(hashlib.sha256(line.encode()).hexdigest(), 16) % 100
    return next(name for name, end in SHARES if number < end)


def last_turn(line: str) -> str:
    """Return the last turn of a dialogue, and whether it asks for knowledge."""
    row = json.loads(line)
    turn = {"text": row["turns"][-1]["text"], "label": "yes" if row["target"] else "no"}
    return json.dumps(turn)


def main(source: Path, target: Path) -> None:
    """Write dialogues to choose by and to test, and last turns to teach the gate and to test it."""
    lines: dict[str, list[str]] = {name: [] for name, _ in SHARES}
    for line in (source / "dialogues.jsonl").read_text(encoding="utf-8").splitlines():
        lines[split_of(line)].append(line)
    lines["train"] = [last_turn(line) for line in lines["train"]]
    lines["gate_test"] = [last_turn(line) for line in lines["test"]]
    target.mkdir(parents=True, exist_ok=True)
    for name, several in lines.items():
        content = "".join(f"{line}\n" for line in several)
        (target / f"{name}.jsonl").write_text(content, encoding="utf-8")
    with gzip.open(source / "knowledge.jsonl.gz", "rt", encoding="utf-8") as entries:
        places = [line for line in entries if json.loads(line)["entity"] is not None]
    (target / "places.jsonl").write_text("".join(places), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
