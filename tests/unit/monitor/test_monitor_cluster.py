"""Texts of a stream labelled by several processes: the same counts, whatever dies."""

import json
import os
import signal
import threading
from types import SimpleNamespace

import pytest
from tests.helpers.streams import stream

from lushan.launch import cluster as launched
from lushan.monitor import page
from lushan.monitor.classifier import Runs
from lushan.monitor.cluster import Spread

LINES = list(stream(windows=4, each=10))


@pytest.fixture(scope="module")
def label(reviews_run):
    return json.loads((reviews_run / "task.json").read_text())["state"]["labels"][0]


class Lost(Exception):
    """What Ray raises where it gives up."""


class Ray:
    """Ray as `Spread` uses it, within this process: the call of that number is lost."""

    exceptions = SimpleNamespace(RayError=Lost)

    def __init__(self, lost=None):
        self.lost, self.calls, self.asked = lost, [], None

    def cluster_resources(self):
        return {"CPU": 3.0}

    def remote(self, **asked):
        self.asked = asked

        def made(kind):
            def worker(*given):
                one = kind(*given)
                return SimpleNamespace(labelled=SimpleNamespace(remote=lambda t: (one, t)))

            return SimpleNamespace(remote=worker)

        return made

    def get(self, several):
        self.calls.append([len(texts) for _, texts in several])
        if len(self.calls) - 1 == self.lost:
            raise Lost("the worker died")
        return [one.labelled(texts) for one, texts in several]


def monitor(cli_inside, run, label, folder, name, *more):
    (folder / "in.jsonl").write_bytes(b"".join(line + b"\n" for line in LINES))
    ways = ("--watch", label, "--source", "in.jsonl", "--output", name, "--uncorrected")
    return cli_inside("monitor", run, *ways, *more)


def counts(folder):
    import sqlite3

    with sqlite3.connect(f"file:{folder}/state.sqlite?mode=ro", uri=True) as database:
        rows = database.execute("SELECT * FROM counts ORDER BY 1, 2").fetchall()
    database.close()
    return rows


def test_the_counts_are_those_of_one_process(reviews_run, label, tmp_path, cli_inside, monkeypatch):
    ray = Ray()
    monkeypatch.setattr(launched, "started", lambda: ray)
    monkeypatch.setattr(launched, "require", lambda *_: None)
    alone = monitor(cli_inside, reviews_run, label, tmp_path, "alone")
    spread = monitor(cli_inside, reviews_run, label, tmp_path, "spread", "--ray")
    assert (alone.code, spread.code) == (0, 0), spread.err
    assert "40 texts counted" in spread.out
    assert counts(tmp_path / "spread") == counts(tmp_path / "alone")
    assert ray.asked == {"num_cpus": 1, "max_restarts": 3, "max_task_retries": 3}
    different = len({json.loads(line)["text"] for line in LINES})
    assert sum(map(sum, ray.calls)) == different, "a text that comes again is not labelled again"
    ray.lost, ray.calls = 0, []
    lost = monitor(cli_inside, reviews_run, label, tmp_path, "lost", "--ray", "--workers", "1")
    assert (lost.code, "None of them was counted" in lost.err) == (1, True)
    assert counts(tmp_path / "lost") == []
    again = monitor(cli_inside, reviews_run, label, tmp_path, "lost", "--ray", "--workers", "1")
    assert again.code == 0, again.err
    assert counts(tmp_path / "lost") == counts(tmp_path / "alone")


def test_options_that_do_not_fit(reviews_run, label, tmp_path, cli_inside):
    done = monitor(cli_inside, reviews_run, label, tmp_path, "out", "--workers", "2")
    assert (done.code, "requires --ray" in done.err) == (2, True)
    done = monitor(cli_inside, reviews_run, label, tmp_path, "out", "--ray", "--workers", "0")
    assert (done.code, "must be 1 or more" in done.err) == (2, True)


@pytest.mark.parametrize(
    ("number", "ways", "code"),
    [(signal.SIGTERM, [], 143), (signal.SIGINT, [], 130), (signal.SIGINT, ["--follow"], 0)],
)
def test_a_signal_ends_it_with_the_page(
    number, ways, code, reviews_run, label, tmp_path, cli_inside, monkeypatch
):
    def stopped(*_):
        os.kill(os.getpid(), number)
        return []

    monkeypatch.setattr(Runs, "_labelled", stopped)
    done = monitor(cli_inside, reviews_run, label, tmp_path, "out", *ways)
    assert done.code == code, done.err
    assert "0 texts counted" in done.out
    assert (tmp_path / "out" / page.FILE).is_file()


@pytest.mark.long
@pytest.mark.slow(60)
def test_a_worker_that_is_killed_costs_no_text(reviews_run, label):
    ray = pytest.importorskip("ray")
    texts = [f"a warm and clever film {n}" for n in range(200)]
    alone = Runs([reviews_run], label).classify(texts)
    spread = Spread([reviews_run], label, 2)
    try:
        first = spread.classify(texts[:20])
        number = ray.get(spread.workers[0].__ray_call__.remote(lambda _: os.getpid()))
        killer = threading.Timer(0.2, os.kill, (number, signal.SIGKILL))
        killer.start()
        found = [spread.classify(texts[i : i + 20]) for i in range(20, 200, 20)]
        killer.join()
        found = [*first, *(one for part in found for one in part), *spread.classify(["new"])]
        alone += Runs([reviews_run], label).classify(["new"])
        assert [one.watched for one in found] == [one.watched for one in alone]
        assert [one.score for one in found] == pytest.approx([one.score for one in alone])
    finally:
        ray.shutdown()
