"""One lock holder at a time, and how a dead one is distinguished from a live one."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
import threading
import time

import psutil
import pytest
from tests.helpers.waiting import until

from lushan.errors import RunFailed, UserError
from lushan.run import lock as locks

HOLDER = """
import sys, time
from pathlib import Path
from lushan.run.lock import lock_run
with lock_run(Path(sys.argv[1])):
    print("mine", flush=True)
    time.sleep(60)
"""
RACER = """
import sys
from pathlib import Path
from lushan.errors import UserError
from lushan.run.lock import lock_run
print("ready", flush=True)
sys.stdin.readline()
try:
    with lock_run(Path(sys.argv[1])):
        print("mine", flush=True)
        sys.stdin.readline()
except UserError:
    print("no", flush=True)
"""


@pytest.fixture
def holder(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "mine\n"
    yield process
    process.kill()
    process.wait()


def test_another_process_is_refused_by_name(tmp_path, holder):
    with pytest.raises(UserError, match=f"process {holder.pid}"), locks.lock_run(tmp_path):
        pass


@pytest.mark.fault(31)
def test_a_killed_owner_is_taken_over(tmp_path, holder):
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    with locks.lock_run(tmp_path) as held:
        assert held.dead is not None
        assert held.dead.pid == holder.pid


def test_a_killed_owner_that_nobody_waited_for_is_dead_too(tmp_path, holder):
    holder.send_signal(signal.SIGKILL)
    # Until its parent asks, that is what it is.
    until(lambda: psutil.Process(holder.pid).status() == psutil.STATUS_ZOMBIE)
    with locks.lock_run(tmp_path) as held:
        assert held.dead is not None


@pytest.mark.slow
def test_of_many_at_once_one_wins(tmp_path):
    command = [sys.executable, "-c", RACER, str(tmp_path)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    racers = [subprocess.Popen(command, **pipes) for _ in range(4)]
    assert [racer.stdout.readline() for racer in racers] == ["ready\n"] * 4
    for racer in racers:
        racer.stdin.write("go\n")
        racer.stdin.flush()
    # Who has it keeps it until all have answered.
    found = [racer.stdout.readline() for racer in racers]
    for racer in racers:
        racer.communicate()
    assert sorted(found) == ["mine\n", "no\n", "no\n", "no\n"]


def test_released_it_is_free(tmp_path):
    for number in (1, 2, 3):
        with locks.lock_run(tmp_path) as held:
            assert held.dead is None
            assert int(held.path.stem) == number
    assert len(list((tmp_path / locks.FOLDER).iterdir())) == 1


@pytest.mark.fault(31)
def test_an_owner_on_another_machine_is_known_by_its_heartbeat(tmp_path):
    me = locks.this_process()
    other = dataclasses.replace(me, host="elsewhere", system="another boot")
    now = time.time()
    assert locks.is_alive(other, now - 1, now=now)
    assert not locks.is_alive(other, now - locks.GRACE - 1, now=now)
    place = tmp_path / locks.FOLDER
    place.mkdir()
    path = place / "000007.json"
    path.write_text(json.dumps(dataclasses.asdict(other)))
    with pytest.raises(UserError, match="elsewhere"), locks.lock_run(tmp_path):
        pass
    old = now - locks.GRACE - 5
    os.utime(path, (old, old))
    with locks.lock_run(tmp_path) as held:
        assert held.path.stem == "000008"
        assert held.dead == other


@pytest.mark.fault(31)
def test_a_pid_used_again_is_another_process():
    me = locks.this_process()
    assert locks.is_alive(me, time.time())
    assert not locks.is_alive(dataclasses.replace(me, born=me.born - 500), 0.0)
    assert not locks.is_alive(dataclasses.replace(me, released=True), time.time())
    assert not locks.is_alive(None, 0.0)


def elsewhere(folder, beat):
    """The lock file of a process on another machine, with its last heartbeat."""
    other = dataclasses.replace(locks.this_process(), host="elsewhere", system="another boot")
    place = folder / locks.FOLDER
    place.mkdir()
    path = place / "000007.json"
    path.write_text(json.dumps(dataclasses.asdict(other)))
    os.utime(path, (beat, beat))
    return path


@pytest.mark.fault(68)
def test_a_heartbeat_in_the_future_locks_a_run_only_if_another_follows(tmp_path, monkeypatch):
    monkeypatch.setattr(locks, "BEAT", 0.1)
    path = elsewhere(tmp_path, time.time() + 3600)
    beating = threading.Timer(0.05, os.utime, [path, (time.time() + 3605, time.time() + 3605)])
    beating.start()
    with pytest.raises(UserError, match="elsewhere"), locks.lock_run(tmp_path):
        pass
    beating.join()
    with locks.lock_run(tmp_path) as held:
        assert held.dead is not None
        assert held.dead.host == "elsewhere"


@pytest.mark.fault(68)
def test_a_lock_that_nobody_holds_any_more_is_taken_away(tmp_path, holder):
    with pytest.raises(UserError, match=f"process {holder.pid}") as caught:
        locks.unlock(tmp_path)
    assert f"kill {holder.pid}" in str(caught.value)
    other = tmp_path / "other"
    other.mkdir()
    elsewhere(other, time.time() - 1)
    with pytest.raises(UserError, match=f"--unlock {other}"), locks.lock_run(other):
        pass
    assert "on elsewhere, since" in locks.unlock(other)
    with pytest.raises(UserError, match="not locked"):
        locks.unlock(other)
    with locks.lock_run(other) as held:
        assert held.dead is None


def test_who_was_unlocked_and_lives_notices(tmp_path, monkeypatch):
    with locks.lock_run(tmp_path) as held:
        monkeypatch.setattr(locks, "_system", lambda: "another boot")
        locks.unlock(tmp_path)
        with pytest.raises(RunFailed, match="taken over"):
            held.require()


def test_who_lost_the_folder_notices(tmp_path):
    with locks.lock_run(tmp_path) as held:
        held.require()
        thief = held.path.with_name("000009.json")
        thief.write_text(json.dumps(dataclasses.asdict(held.holder)))
        with pytest.raises(RunFailed, match="taken over"):
            held.require()
        assert held.lost
    assert thief.exists()


def test_the_heart_beats(tmp_path, monkeypatch):
    monkeypatch.setattr(locks, "BEAT", 0.02)
    with locks.lock_run(tmp_path) as held:
        os.utime(held.path, (0, 0))
        until(lambda: held.path.stat().st_mtime > 0)


def test_a_half_written_owner_file_is_one_that_lives(tmp_path):
    place = tmp_path / locks.FOLDER
    place.mkdir()
    (place / "000001.json").write_text("")
    with pytest.raises(UserError, match="unknown host"), locks.lock_run(tmp_path):
        pass
