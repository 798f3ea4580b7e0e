"""Files of a run that are JSON, with a value of another sort anywhere: reported, never a traceback.

The run lists no checksums, as one of an earlier version does not, so that nothing else refuses it.
"""

from __future__ import annotations

import copy
import json
import random
import shutil
from pathlib import Path

import pytest

from tests.helpers import quick

pytestmark = [pytest.mark.fault(75), pytest.mark.timeout(300)]

VALUES = [None, 5, -1, 1e308, True, "x", [], [1], [[]], {}, {"a": 1}, "\x1b[31m"]
LOOKING = [
    ["runs"],
    ["table", "outputs", "--rows", "seed"],
    ["compare", "RUN", "RUN"],
    ["report", "outputs", "-o", "site"],
]
LOADING = [["eval", "RUN"], ["export", "RUN", "exported"]]
FILES = {
    "result.json": LOOKING,
    "manifest.json": [*LOOKING[3:], *LOADING[1:]],
    "run.json": LOOKING,
    "task.json": LOADING,
    "predictions/test.jsonl": LOOKING[2:],
}
SIGHTED = [
    ("result.json", ("ci", "test/entity_f1"), "x", LOOKING[0]),
    ("result.json", ("notes",), 5, LOOKING[3]),
    ("result.json", ("not_comparable",), 5, LOOKING[1]),
    ("result.json", ("data_fingerprint", "test"), [1], LOOKING[2]),
    ("result.json", ("config", "trainer"), "x", LOOKING[2]),
    ("result.json", ("parameters",), "x", LOOKING[3]),
    ("manifest.json", ("machine", "gpus"), 1.5, LOOKING[3]),
    ("task.json", ("limits", "max_length"), "x", LOADING[0]),
    ("task.json", ("state", "labels", 0), -1, LOADING[1]),
    ("predictions/test.jsonl", (1, "predicted", 0), True, LOOKING[2]),
    ("predictions/test.jsonl", (0, "gold"), {"a": 1}, LOOKING[2]),
]


@pytest.fixture
def run(ner_run, tmp_path):
    """A copy of a run that lists no checksums."""
    place = tmp_path / "outputs/name" / ner_run.name
    shutil.copytree(ner_run, place)
    (place / "checksums.json").unlink()
    return place


def paths(value, path=()):
    """The places of a value's parts; of a list the first two."""
    yield path
    if len(path) < 5:
        items = value.items() if isinstance(value, dict) else ()
        items = list(enumerate(value))[:2] if isinstance(value, list) else items
        for key, inner in items:
            yield from paths(inner, (*path, key))


def changed(value, path, new):
    """A copy of a value with another part."""
    if not path:
        return new
    value = copy.deepcopy(value)
    inner = value
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = new
    return value


def read(file):
    text = file.read_text(encoding="utf-8")
    return (
        [json.loads(x) for x in text.splitlines()] if file.suffix == ".jsonl" else json.loads(text)
    )


def write(file, value):
    lines = value if file.suffix == ".jsonl" and isinstance(value, list) else [value]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")


def carried_out(command, run, cli_inside):
    shutil.rmtree(run.parents[2] / "exported", ignore_errors=True)
    done = cli_inside(*(run if word == "RUN" else word for word in command))
    printed = done.out + done.err
    assert done.code in (0, 2), printed
    assert "Traceback" not in printed
    assert "\x1b" not in printed
    return done


@pytest.mark.parametrize("case", SIGHTED, ids=str)
def test_a_part_of_another_sort(case, run, cli_inside):
    name, path, new, command = case
    file = run / name
    write(file, changed(read(file), path, new))
    done = carried_out(command, run, cli_inside)
    assert Path(name).name in done.out + done.err or command[0] == "report"


@pytest.mark.parametrize("seed", quick.only([0], range(10), long=range(4, 10)))
@pytest.mark.parametrize("name", FILES)
def test_any_part_of_another_sort(name, seed, run, cli_inside):
    drawn = random.Random(f"{seed} {name}")
    file = run / name
    value = read(file)
    places = list(paths(value))
    for _ in range(2):
        path, new = drawn.choice(places), drawn.choice(VALUES)
        write(file, changed(value, path, new))
        for command in FILES[name]:
            carried_out(command, run, cli_inside)
