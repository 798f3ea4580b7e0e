"""A study is carried out by whoever takes part: each run once, failed ones as asked."""

import pytest

from lushan.run.status import COMPLETE, FAILED, INTERRUPTED, NEW, RUNNING
from lushan.study import runner
from lushan.study.plan import progress


class Folder:
    def __init__(self, path, states):
        self.path, self.states = path, list(states)

    @property
    def state(self):
        return self.states[0]


class Run:
    """A run whose states are given in advance: each launch takes it to the next."""

    def __init__(self, name, *states, seconds=None, cell=None):
        self.folder, self.seconds = Folder(name, states), seconds
        self.cell = {"x": cell or name}

    @property
    def status(self):
        return self

    state = property(lambda self: self.folder.state)
    label = property(lambda self: self.folder.path)


class Plan:
    def __init__(self, *runs):
        self.runs = runs

    def states(self):
        return {run: run for run in self.runs}


def carried(*runs, retry=0, report=lambda _: None):
    """The names launched, launch by launch."""
    launches = []

    def launch(todo):
        launches.append([run.folder.path for run in todo])
        for run in todo:
            if len(run.folder.states) > 1:
                run.folder.states.pop(0)

    plan = Plan(*runs)
    runner.execute(plan, launch, states=plan.states(), retry=retry, report=report)
    return launches


def test_only_what_is_missing_is_run():
    runs = [Run("a", COMPLETE), Run("b", NEW, COMPLETE), Run("c", INTERRUPTED, COMPLETE)]
    assert carried(*runs) == [["b", "c"]]
    assert carried(*runs) == []


def test_what_has_failed_is_left_alone_unless_asked():
    assert carried(Run("a", FAILED, COMPLETE), Run("b", NEW, FAILED, COMPLETE)) == [["b"]]


@pytest.mark.parametrize(("retry", "launches"), [(1, [["a"], ["a"]]), (2, [["a"], ["a"], ["a"]])])
def test_it_is_retried_as_often_as_asked(retry, launches):
    assert carried(Run("a", NEW, FAILED), retry=retry) == launches
    assert carried(Run("a", FAILED), retry=retry) == launches[1:]


def test_what_is_interrupted_each_time_is_not_begun_for_ever():
    assert carried(Run("a", NEW, INTERRUPTED)) == [["a"]]


def test_a_run_in_two_cells_is_launched_once():
    one, other = Run("a", NEW, COMPLETE), Run("a", NEW, COMPLETE)
    other.folder = one.folder
    assert carried(one, other) == [["a"]]


def test_what_others_carry_out_is_waited_for_and_taken_over(monkeypatch):
    run, report = Run("a", RUNNING, RUNNING, INTERRUPTED, COMPLETE), []
    monkeypatch.setattr(runner.time, "sleep", lambda _: run.folder.states.pop(0))
    assert carried(run, report=report.append) == [["a"]]
    assert report == ["waiting for 1 runs of other processes"]


class Pool:
    """A launcher that gives up everything when a run ends its worker."""

    def __init__(self, *runs, deadly):
        self.runs, self.deadly = runs, deadly
        self.launches, self.report = [], []

    def __call__(self, todo):
        self.launches.append([run.folder.path for run in todo])
        if any(run.folder.path == self.deadly for run in todo):
            for run in todo[:2]:  # so many workers there are
                run.folder.states = [INTERRUPTED]
            raise OSError("a worker was killed\nand more")
        for run in todo:
            run.folder.states = [COMPLETE]

    def carried(self):
        plan = Plan(*self.runs)
        runner.execute(plan, self, states=plan.states(), report=self.report.append)
        return {run.folder.path: run.state for run in self.runs}


@pytest.mark.fault(53)
def test_a_worker_that_dies_loses_one_run_and_says_which():
    runs = [Run(name, NEW) for name in "abcd"]
    pool = Pool(*runs, deadly="b")
    assert pool.carried() == {"a": COMPLETE, "b": INTERRUPTED, "c": COMPLETE, "d": COMPLETE}
    assert pool.launches == [["a", "b", "c", "d"], ["c", "d"], ["a"], ["b"]]
    assert pool.report == [
        "the launcher gave up (OSError: a worker was killed); running: a; b",
        "the launcher gave up (OSError: a worker was killed); running: b",
    ]


def test_a_launcher_that_can_start_nothing_is_not_asked_for_ever():
    runs, asked = [Run("a", NEW), Run("b", NEW)], []

    def launch(todo):
        asked.append(len(todo))
        raise OSError

    plan = Plan(*runs)
    runner.execute(plan, launch, states=plan.states())
    assert asked == [2]


def test_the_time_that_is_left_is_that_of_the_cell():
    runs = [
        Run("a", COMPLETE, seconds=10.0, cell="slow"),
        Run("b", NEW, cell="slow"),
        Run("c", INTERRUPTED, seconds=4.0, cell="slow"),
        Run("d", COMPLETE, seconds=2.0, cell="quick"),
        Run("e", NEW, cell="quick"),
        Run("f", NEW, cell="other"),
        Run("g", FAILED, cell="other"),
    ]
    found = progress({run: run for run in runs})
    assert found.left == 10 + (10 - 4) + 2 + 6
    assert str(found).startswith(
        "7 runs: 2 complete, 1 interrupted, 1 failed, 3 missing; about 24 s"
    )
    assert progress({runs[1]: runs[1]}).left is None
