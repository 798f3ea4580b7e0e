"""Every command of docs/recommend.md, in its order, on a few rows."""

import gzip
import json
import shlex
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[3] / "docs" / "recommend.md"
SMALL = ("trainer=cpu", "trainer.precision=32-true", "trainer.max_epochs=1", "callbacks=none")
USERS = 18


def commands():
    inside = False
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        if line.startswith("```"):
            inside = not inside
        elif inside and line.startswith("lushan "):
            yield line.removeprefix("lushan ")


def interactions(user, item, time):
    rows = [(u, (u + n) % 12, 100 * n + u) for u in range(USERS) for n in range(6)]
    lines = [f"{user},{item},{time}", *(",".join(map(str, row)) for row in rows)]
    return "\n".join(lines) + "\n"


@pytest.fixture
def files(tmp_path):
    data = tmp_path / "DATA"
    films = data / "ml_latest_small"
    films.mkdir(parents=True)
    table = interactions("userId", "movieId", "timestamp")
    (films / "ratings.csv.gz").write_bytes(gzip.compress(table.encode()))
    names = ["red lamp", "blue chair", *(f"thing {n}" for n in range(2, 12))]
    rows = [f"{n},{name},Drama|War" for n, name in enumerate(names)]
    (films / "movies.csv").write_text("\n".join(["movieId,title,genres", *rows]))
    (films / "tags.csv").write_text("userId,movieId,tag,timestamp\n1,2,slow,1\n")
    (data / "orders.csv").write_text(interactions("user", "item", "time"))
    (data / "products.csv").write_text("\n".join(["item,title,category", *rows]))
    row = {"user": "x", "history": ["0", "1"]}
    (tmp_path / "histories.jsonl").write_text(json.dumps(row) + "\n")
    return tmp_path


@pytest.mark.slow
def test_they_do_what_they_say(files, cli_inside):
    assert len(list(commands())) > 12
    for line in commands():
        words = shlex.split(line.partition(" #")[0])
        for name in ("shop", "ranked"):
            runs = sorted((files / "outputs" / name).glob("??????????"))
            known = runs[0].name if runs else "RUN"
            words = [w.replace(f"outputs/{name}/RUN", f"outputs/{name}/{known}") for w in words]
        if words[0] == "train":
            words += SMALL
        done = cli_inside(*words)
        assert done.code == 0, f"{line}\n{done.err}"
    assert len(json.loads((files / "next.jsonl").read_text())["top"]) == 10
    assert len((files / "ranked.jsonl").read_text().splitlines()) == USERS
    assert (files / "exported" / "model.safetensors").is_file()
