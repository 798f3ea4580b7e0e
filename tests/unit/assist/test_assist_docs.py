"""Every command of docs/assist.md, in its order, with the config that it shows."""

import json
import re
import shlex
from pathlib import Path

import pytest
from tests.helpers import command

PAGE = (Path(__file__).parents[3] / "docs" / "assist.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
COMMANDS = [line for kind, text in BLOCKS for line in text.splitlines() if not kind]
(CONFIG,) = [text for kind, text in BLOCKS if kind == "yaml"]
TURNS = [("is there parking", "yes"), ("book a table", "no"), ("good morning", "hello")]


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


@pytest.mark.slow
def test_they_do_what_they_say(tmp_path, cli_inside, monkeypatch):
    entry = {"id": 1, "hotel": "Lake House", "question": "Is there parking?", "answer": "Yes."}
    write(tmp_path / "faq.jsonl", [entry])
    write(
        tmp_path / "turns.jsonl",
        [{"text": f"{t} {i}", "label": n} for i in range(10) for t, n in TURNS],
    )
    rows = [
        {"turns": ["the lake house", t], "asks": n == "yes", "source": [{"id": 1}]}
        for t, n in TURNS
    ]
    for name in ("validation", "test"):
        write(tmp_path / f"{name}.jsonl", rows)
    for line in COMMANDS:
        words = shlex.split(line.removeprefix("lushan "))
        if words[0] == "train":
            words = [w for w in words if w != "model=minilm"] + list(command.SMALL)
        elif words[0] == "assist":
            (run,) = (tmp_path / "outputs" / "gate").glob("??????????")
            config = CONFIG.replace("gate/RUN", f"gate/{run.name}")
            (tmp_path / "hotels.yaml").write_text(config, encoding="utf-8")
        with (tmp_path / "faq.jsonl").open() as asked:  # any lines
            monkeypatch.setattr("sys.stdin", asked)
            done = cli_inside(*words)
        assert done.code == 0, f"{line}\n{done.err}"
    assert len((tmp_path / "replies.jsonl").read_text().splitlines()) == len(rows)
    assert "thresholds" in json.loads((tmp_path / "thresholds.json").read_text())
