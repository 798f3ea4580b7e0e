"""Every file of a run folder and of the caches damaged in every way, under every command.

The answer is right, or the file is named and the exit code is 2: nothing else. `make faults` tries
all of it on the first kind of run and on one that was stopped; on the others, and of commands that
train anew, one damage to each file. The suite tries a seeded sample: `LUSHAN_DAMAGES=N` sets
its size, `LUSHAN_DAMAGE_SEED=N` draws another, as `make faults` does each time.
"""

import functools
import os
import random
import shutil

import pytest

from tests.faults import damage

AMOUNT = int(os.environ.get("LUSHAN_DAMAGES", "12"))
"""Trials in each place."""
SEED = int(os.environ.get("LUSHAN_DAMAGE_SEED") or 1)


@pytest.fixture(scope="session")
def place(tmp_path_factory):
    """A place of a kind, made once."""
    known = {}

    def get(kind):
        if kind not in known:
            folder = tmp_path_factory.mktemp("damage") / kind
            folder.mkdir()
            known[kind] = damage.made(folder, kind)
        return known[kind]

    return get


class Trials:
    """(command, file, damage) of a place, and how a command answers where nothing is damaged."""

    def __init__(self, place, kind, folder, rng):
        self.place, self.kind, self.folder, self.rng = place, kind, folder, rng
        self.words = damage.commands(place)

    @functools.cache  # noqa: B019 (it lives as long as its test)
    def usual(self, command):
        """The usual answer of a command, and the files that it looks into."""
        copy = damage.copied(self.place, self.folder / "usual")
        answer = damage.give(self.words[command], copy)
        assert "Traceback" not in answer.printed, answer.err
        read = {file for file in self.place.files() if damage.was_read(copy / file)}
        shutil.rmtree(copy)
        return answer, read

    def of(self, command):
        """The trials of a command.

        What it does not look into can only be missing to it. A command that refuses a kind of run
        is tried on the first kind alone.
        """
        answer, read = self.usual(command)
        is_first = self.kind == next(iter(damage.KINDS))
        if answer.code == 2 and not is_first:
            return []
        resumes = self.place.kind.stopped and command == "study run"  # as `train`, whole
        whole = is_first or self.place.kind.stopped
        whole = whole and command not in damage.TRAINING and not resumes
        found = []
        for file in self.place.files():
            ways = list(damage.DAMAGES if file in read else damage.STRUCTURAL)
            if not whole:
                ways = [self.rng.choice(ways)]
            found += [(command, file, way) for way in ways]
        return found

    def drawn(self, amount):
        """Trials of a few commands."""
        few = self.rng.sample(sorted(self.words), min(len(self.words), amount // 6))
        todo = [one for command in few for one in self.of(command)]
        return self.rng.sample(todo, min(amount, len(todo)))

    def wrong(self, todo):
        """What is wrong with the answers of some trials."""
        found = []
        for number, (command, file, way) in enumerate(todo):
            answer, problem = self.answer(number, command, file, way)
            if problem is not None:
                printed = f"{answer.code} {answer.err[-500:]}"
                found.append(f"{problem}: {command}, {file}, {way}: {printed}")
        return found

    def answer(self, number, command, file, way):
        """What a command says where a file is damaged, and what is wrong with that."""
        copy = damage.copied(self.place, self.folder / f"{number:05d}")
        seed = f"{SEED} {self.kind} {command} {file} {way}"
        damage.damage(self.place, copy, file, way, random.Random(seed))
        answer = damage.give(self.words[command], copy)
        shutil.rmtree(copy)
        return answer, damage.wrong(self.usual(command)[0], answer, file, self.place.run, command)


@pytest.fixture
def trials(kind, place, tmp_path):
    """The trials of a kind of place."""
    return Trials(place(kind), kind, tmp_path, random.Random(f"{SEED} {kind}"))


def answered(wrong):
    """Fail with what is wrong, and say how it comes back."""
    assert not wrong, f"LUSHAN_DAMAGE_SEED={SEED}:\n" + "\n".join(wrong)


KINDS = [
    pytest.param(kind, marks=pytest.mark.xdist_group(f"damage, {kind}")) for kind in damage.KINDS
]
"""Each in one process, which trains its runs once."""


@pytest.mark.slow
@pytest.mark.fault(72)
@pytest.mark.parametrize("kind", KINDS)
def test_some_damage_is_answered_rightly_or_named(trials):
    answered(trials.wrong(trials.drawn(AMOUNT)))


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.fault(72)
@pytest.mark.parametrize("command", damage.NAMES)
@pytest.mark.parametrize("kind", KINDS)
def test_all_damage_is_answered_rightly_or_named(command, trials):
    answered(trials.wrong(trials.of(command)))
