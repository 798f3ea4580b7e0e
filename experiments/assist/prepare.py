"""Deal out the dialogues of dstc_faq: to learn the gate from, to choose thresholds, and to test.

python experiments/assist/prepare.py DATA/dstc_faq FOLDER
"""

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


def main(source: Path, target: Path) -> None:
    """Write `train.jsonl` with the last turns and labels, and dialogues of the other two."""
    lines: dict[str, list[str]] = {name: [] for name, _ in SHARES}
    for line in (source / "dialogues.jsonl").read_text(encoding="utf-8").splitlines():
        lines[split_of(line)].append(line)
    rows = [json.loads(line) for line in lines["train"]]
    lines["train"] = [
        json.dumps({"text": row["turns"][-1]["text"], "label": "yes" if row["target"] else "no"})
        for row in rows
    ]
    target.mkdir(parents=True, exist_ok=True)
    for name, several in lines.items():
        content = "".join(f"{line}\n" for line in several)
        (target / f"{name}.jsonl").write_text(content, encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
