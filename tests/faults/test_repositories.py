"""Repositories of others: their settings name programs, which git would start for a run."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from lushan.run.manifest import describe_git

pytestmark = pytest.mark.fault(79)


def git(folder: Path, *words: str) -> None:
    subprocess.run(["git", "-C", str(folder), *words], check=True, capture_output=True)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A repository with two changed files, and a program that leaves a mark."""
    folder = tmp_path / "set"
    folder.mkdir()
    program = tmp_path / "evil.sh"
    program.write_text(f"#!/bin/sh\ntouch {tmp_path / 'marker'}\ncat $1\n")
    program.chmod(0o755)
    filled(folder)
    return folder


def filled(folder: Path) -> None:
    git(folder, "init", "-q")
    for key, value in (("user.email", "a@b"), ("user.name", "x")):
        git(folder, "config", key, value)
    for name in ("one", "two"):
        (folder / name).write_text("first\n")
    git(folder, "add", ".")
    git(folder, "commit", "-qm", "first")
    for name in ("one", "two"):
        (folder / name).write_text("second\n")


@pytest.mark.parametrize(
    ("key", "attributes"),
    [
        ("core.fsmonitor", ""),
        ("filter.x.clean", "one filter=x"),
        ("filter.a=b.clean", "one filter=a=b"),
        ("filter.x.process", "one filter=x"),
        ("diff.x.textconv", "one diff=x"),
        ("diff.x.command", "one diff=x"),
        ("diff.external", ""),
    ],
)
def test_no_program_of_a_repository_is_started(key, attributes, place):
    git(place, "config", key, str(place.parent / "evil.sh"))
    (place / ".git/info/attributes").write_text(attributes + "\n")
    facts, patch = describe_git(place)
    assert not (place.parent / "marker").exists()
    assert facts["dirty"]
    assert patch.count("+second") == 2


def test_nor_one_of_a_repository_in_it(place):
    inner = place / "inner"
    inner.mkdir()
    filled(inner)
    git(place, "add", "inner")
    git(place, "commit", "-qm", "second")
    git(inner, "config", "filter.x.clean", str(place.parent / "evil.sh"))
    git(inner, "config", "core.fsmonitor", str(place.parent / "evil.sh"))
    (inner / ".git/info/attributes").write_text("* filter=x\n")
    facts, _ = describe_git(place)
    assert not (place.parent / "marker").exists()
    assert facts["dirty"]


def test_the_users_own_filter_runs(place, monkeypatch):
    own = place.parent / "gitconfig"
    git(place, "config", "--file", str(own), "filter.x.clean", "tr a-z A-Z")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(own))
    (place / ".git/info/attributes").write_text("one filter=x\n")
    assert "+SECOND" in describe_git(place)[1]
