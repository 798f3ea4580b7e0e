"""Bars: one at a time, on a terminal, of the command itself, where something takes a moment."""

import io
import threading
import types

import pytest
import rich.progress

from lushan.audit.near import shingles_of
from lushan.common.terminal import set_quiet
from lushan.run import progress
from lushan.text import bm25


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def shown(monkeypatch):
    """What bars were shown, in words, with how far each came."""
    bars = {}

    class Recorded:
        def __init__(self, **_):
            pass

        def start(self):
            pass

        def stop(self):
            pass

        def add_task(self, what, total):
            bars[what] = (0, total)
            return what

        def update(self, what, completed, total):
            bars[what] = (completed, total)

    monkeypatch.setattr(rich.progress, "Progress", Recorded)
    monkeypatch.setattr(progress, "sys", types.SimpleNamespace(stderr=Terminal()))
    monkeypatch.setattr(progress, "MOMENT", 0.0)
    return bars


def test_a_bar_counts_what_is_done(shown):
    assert list(progress.over("abc", "letters")) == ["a", "b", "c"]
    assert shown == {"letters": (3, 3)}
    assert progress.Bar.shown is None


def test_what_is_quick_shows_none(shown, monkeypatch):
    monkeypatch.setattr(progress, "MOMENT", 1000.0)
    assert list(progress.over("abc", "letters")) == ["a", "b", "c"]
    assert shown == {}


def test_within_a_bar_none_is_shown(shown):
    for _ in progress.over("ab", "outer"):
        assert list(progress.over("cd", "inner")) == ["c", "d"]
        break  # its end is not reached
    assert "inner" not in shown
    with progress.Bar("whole") as report:
        assert list(progress.over("cd", "inner")) == ["c", "d"]
        report(1, 2)
    assert "whole" in shown
    assert shown["whole"] == (1, 2)
    assert list(progress.over("e", "after")) == ["e"]
    assert shown["after"] == (1, 1)


def test_threads_pipes_and_quiet_commands_show_none(shown, monkeypatch):
    thread = threading.Thread(target=lambda: list(progress.over("abc", "of a server")))
    thread.start()
    thread.join()
    set_quiet(wanted=True)
    try:
        assert list(progress.over("abc", "quiet")) == ["a", "b", "c"]
    finally:
        set_quiet(wanted=False)
    monkeypatch.setattr(progress, "sys", types.SimpleNamespace(stderr=io.StringIO()))
    assert list(progress.over("abc", "piped")) == ["a", "b", "c"]
    assert shown == {}


def test_what_grows_with_the_data_shows_one(shown):
    bm25.fit(["a b", "c"])
    assert shown.pop("documents") == (2, 2)
    shingles_of(["one two three", "four five six"])
    assert shown.pop("texts") == (2, 2)
    assert shown == {}
