"""A study that is killed and started again, and one that two processes share: each run once."""

import json
import os
import random
import signal
import time

import pytest

from tests.helpers import command, narrow

pytestmark = pytest.mark.slow

SMALL = ", ".join(narrow.narrowed(command.SMALL))
STUDY = """\
base: [data=sample_ner, data.limit=40, {small}, name=shared]
axes:
  head: {linear: [task/head=linear], mlp: [task/head=mlp], crf: [task/head=crf]}
seeds: [1]
tables:
  - {rows: head, metrics: [val/loss, val/token_accuracy]}
"""
RUNS = 3


def begun(folder):
    folder.mkdir(exist_ok=True)
    (folder / "study.yaml").write_text(STUDY.replace("{small}", SMALL), encoding="utf-8")
    return command.begun("study", "run", "study.yaml", cwd=folder)


def table(folder):
    done = command.cli("study", "table", "study.yaml", cwd=folder)
    assert done.code == 0, done.err
    return done.out


def attempts(folder):
    runs = sorted(folder.glob("outputs/shared/*/run.json"))
    return [json.loads(path.read_text())["attempts"] for path in runs]


@pytest.mark.slow(20)
def test_killed_three_times_and_shared_by_two(tmp_path):
    alone = begun(tmp_path / "alone")
    text, _ = alone.communicate(timeout=300)
    assert alone.returncode == 0, text
    assert attempts(tmp_path / "alone") == [1] * RUNS

    killed, chance, kills = tmp_path / "killed", random.Random(1), 0
    for _ in range(3):
        process = begun(killed)
        time.sleep(1 + 4 * chance.random())
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            kills += 1
        process.communicate(timeout=60)
    assert kills > 0
    process = begun(killed)
    text, _ = process.communicate(timeout=300)
    assert process.returncode == 0, text
    assert table(killed) == table(tmp_path / "alone")
    # A run that was at work when it was killed continues; none that was complete is begun again.
    assert len(attempts(killed)) == RUNS
    assert sum(attempts(killed)) <= RUNS + kills

    several = [begun(tmp_path / "shared") for _ in range(2)]
    texts = [process.communicate(timeout=300)[0] for process in several]
    assert [process.returncode for process in several] == [0, 0], "\n".join(texts)
    assert attempts(tmp_path / "shared") == [1] * RUNS
    assert all("complete" in text for text in texts)
    assert table(tmp_path / "shared") == table(tmp_path / "alone")
