"""Every command of docs/monitor.md and docs/guard.md, in its order, on runs of other tests."""

import io
import json
import shlex
from pathlib import Path

import pytest
from tests.helpers.streams import HOUR, START, stream

DOCS = Path(__file__).parents[3] / "docs"


def commands(name):
    block = None
    for line in (DOCS / name).read_text(encoding="utf-8").splitlines():
        if line.startswith("```"):
            block = line if block is None else None
        elif block == "```" and "--ray" not in line:
            yield line


@pytest.mark.slow(4)
def test_monitor(reviews_run, ner_run, tmp_path, cli_inside):
    label = json.loads((reviews_run / "task.json").read_text())["state"]["labels"][0]
    content = b"".join(line + b"\n" for line in stream(windows=25, each=12))
    for name in ("posts", "history"):
        (tmp_path / f"{name}.jsonl").write_bytes(content)
    change = {"start": START + 22 * HOUR, "end": START + 23 * HOUR}
    (tmp_path / "changes.jsonl").write_text(json.dumps(change) + "\n")
    runs = {"RUN": reviews_run, "TOPICS": reviews_run, "NER": ner_run, "negative": label}
    found = list(commands("monitor.md"))
    assert len(found) == 7
    for number, line in enumerate(found):
        words = [str(runs.get(word, word)) for word in shlex.split(line)]
        more = ["--uncorrected", "--baseline", "20"]
        done = cli_inside(*words[1:], *more)
        if number == 1:  # the same folder, and other settings or the same ones
            assert done.code == 0, done.err
            continue
        assert done.code == 0, f"{line}\n{done.err}"
    assert (tmp_path / "replayed" / "page.html").is_file()


@pytest.mark.slow(1)
def test_guard(reviews_run, chat_run, tmp_path, cli_inside, monkeypatch):
    label = json.loads((reviews_run / "task.json").read_text())["state"]["labels"][0]
    found = [line for line in commands("guard.md") if "train" not in line]
    assert len(found) == 2
    monkeypatch.setattr("sys.stdin", io.StringIO("你好\n"))
    for line in found:
        words = shlex.split(line.replace("GUARD", str(reviews_run)).replace("RUN", str(chat_run)))
        words = words[words.index("lushan") + 1 :]
        words[words.index("0.05")] = "0.6"
        done = cli_inside(*words, "-n", 4, "--guard-label", label)
        assert done.code == 0, f"{line}\n{done.err}"
