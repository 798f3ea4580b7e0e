"""Checkpoints under kills, a full disk, refused folders and hostile files."""

import functools
import os
import pickle
import random
import re
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import pytest
import torch

from lushan.checkpoint.folder import STATE, write_folder
from lushan.checkpoint.io import FolderIO, newest
from lushan.checkpoint.weights import SUMS, WEIGHTS, Damaged, load_weights
from lushan.run.files import sha256_file, write_json
from tests.faults import jobs
from tests.helpers import forked, narrow, quick
from tests.helpers.waiting import until

STEPS = 24


def tensors(number):
    return {"a": torch.full((300, 300), float(number)), "b": torch.arange(number + 1.0)}


def save_for_ever(folder, temporary):
    tempfile.tempdir = os.environ["TMPDIR"] = temporary
    number = 0
    while True:
        files = {WEIGHTS: tensors(number), STATE: {"number": number}}
        write_folder(folder / f"step-{number:09d}", files)
        for old in sorted(folder.glob("step-*"))[:-2]:
            FolderIO().remove_checkpoint(old)
        number += 1


def has_state(folder):
    return any(folder.glob("step-*"))


@pytest.mark.slow
@pytest.mark.fault(12)
def test_fifteen_kills_during_a_save_always_leave_one_that_loads(tmp_path):
    own = tmp_path.stat().st_dev
    places = [p for p in map(Path, ("/dev/shm", "/tmp", "/var/tmp")) if p.is_dir()]
    elsewhere = next((p for p in places if p.stat().st_dev != own), places[0])
    rng = random.Random(7)
    for attempt in range(15):
        folder = tmp_path / str(attempt)
        folder.mkdir()
        process = forked.process(save_for_ever, (folder, str(elsewhere)))
        until(functools.partial(has_state, folder), process=process)
        time.sleep(rng.uniform(0.0, 0.1))
        process.kill()
        process.join()
        found, complaints = newest(folder)
        assert complaints == []
        state = FolderIO().load_checkpoint(found)
        assert torch.equal(state["state_dict"]["a"], tensors(state["number"])["a"])


@pytest.mark.slow(1)
@pytest.mark.fault(16)
def test_our_own_checkpoint_holds_only_tensors_and_plain_values(tmp_path):
    assert jobs.execute(jobs.config(tmp_path), jobs.at_step(10)) == 137
    for path in jobs.run_folder(tmp_path).glob(f"checkpoints/*/{STATE}"):
        assert torch.load(path, weights_only=True)["global_step"] > 0


def test_tensors_that_share_memory_come_back(tmp_path):
    tied = torch.ones(3)
    write_folder(tmp_path / "x", {WEIGHTS: {"a": tied, "b": tied, "c": torch.zeros(0)}})
    weights = load_weights(tmp_path / "x")
    assert set(weights) == {"a", "b", "c"}
    assert torch.equal(weights["a"], weights["b"])


@pytest.mark.slow
@pytest.mark.fault(17)
def test_a_full_disk_ends_the_run_and_leaves_the_last_checkpoint(tmp_path):
    cfg = jobs.config(tmp_path, *narrow.WIDE)
    assert jobs.execute(cfg, jobs.LargestFile(200_000, from_step=7)) == 1
    folder = jobs.run_folder(tmp_path) / "checkpoints"
    found, complaints = newest(folder)
    assert (found.name, complaints) == ("step-000000006", [])
    FolderIO().load_checkpoint(found)
    assert [p.name for p in folder.iterdir() if p.name.startswith(".tmp-")] == []
    assert jobs.execute(cfg) == 0


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
@pytest.mark.fault(18)
def test_a_folder_without_write_permission_is_refused_before_the_first_step(tmp_path):
    output = tmp_path / "out"
    output.mkdir()
    cfg = jobs.config(output, f"paths.cache_dir={tmp_path}")
    output.chmod(0o555)
    temporary = os.environ.get("PYTEST_DEBUG_TEMPROOT") or tempfile.gettempdir()
    for folder in (tmp_path, *tmp_path.parents):
        if folder != Path(temporary) and folder.is_relative_to(temporary):
            folder.chmod(folder.stat().st_mode | 0o005)
        elif folder.stat().st_mode & 0o001 == 0:
            pytest.skip(f"another user cannot enter {folder}, where temporary folders are")
    assert jobs.execute(cfg, jobs.Nobody()) == 2
    assert not (jobs.notes_of(output) / "seen.jsonl").exists()


@pytest.mark.fault(19)
def test_a_read_only_mount_is_refused_before_the_first_step(tmp_path):
    output = tmp_path / "out"
    output.mkdir()
    cfg = jobs.config(output)
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m,ro", "none", str(output)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("this process may not mount")
    try:
        assert jobs.execute(cfg) == 2
        assert list(output.iterdir()) == []
    finally:
        subprocess.run(["umount", str(output)], check=True)


@pytest.mark.slow
@pytest.mark.fault(17)
@pytest.mark.parametrize("kilobytes", quick.only([14_000], [100, 700, 2500, 5000, 8000, 14_000]))
@pytest.mark.parametrize("inside", [True, False], ids=["cache too", "cache elsewhere"])
def test_a_small_disk_that_fills_up(kilobytes, inside, tmp_path):
    output = tmp_path / "out"
    output.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "none", str(output)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("this process may not mount")
    try:
        cache = output if inside else tmp_path
        keep = "callbacks.checkpoints.keep=50"
        cfg = jobs.config(output, f"paths.cache_dir={cache}", keep, *narrow.WIDE)
        assert jobs.execute(cfg) == 1
        printed = jobs.error(output)
        assert "Traceback" not in printed
        assert re.search("no space left|cannot (be written|save)", printed, re.IGNORECASE), printed
        folder = jobs.run_folder(output) / "checkpoints"
        found, complaints = newest(folder)
        assert complaints == []
        if found is not None:
            FolderIO().load_checkpoint(found)
        assert [p.name for p in folder.glob("*") if p.name.startswith(".tmp-")] == []
    finally:
        subprocess.run(["umount", str(output)], check=True)


class Hostile:
    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return (Path.touch, (self.marker,))


@pytest.mark.fault(15)
def test_a_malicious_pickle_is_never_run(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    marker = tmp_path / "marker"
    folder = tmp_path / "step-000000001"
    write_folder(folder, {WEIGHTS: tensors(1), STATE: {"number": 1}})
    (folder / STATE).write_bytes(pickle.dumps(Hostile(marker)))
    with pytest.raises(Damaged):
        FolderIO().load_checkpoint(folder)
    # Also where the checksums were forged.
    torch.save(Hostile(marker), folder / STATE)
    sums = {name: sha256_file(folder / name) for name in (WEIGHTS, STATE)}
    write_json(folder / SUMS, sums)
    with pytest.raises(pickle.UnpicklingError):
        FolderIO().load_checkpoint(folder)
    assert not marker.exists()


@pytest.mark.slow(11)
@pytest.mark.parametrize("where", ["http://127.0.0.1:9/x.ckpt", "evil.ckpt"])
@pytest.mark.fault(15)
def test_ckpt_path_takes_only_our_folders(where, tmp_path):
    marker = tmp_path / "marker"
    if "://" not in where:
        where = str(tmp_path / where)
        torch.save(Hostile(marker), where)
    cfg = jobs.config(tmp_path, f"ckpt_path='{where}'")
    hostile = jobs.Environment(TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD="1")
    assert jobs.execute(cfg, hostile) == 2
    assert "ckpt_path" in jobs.error(tmp_path)
    assert not marker.exists()


@pytest.mark.slow
def test_training_starts_from_the_weights_that_ckpt_path_names(tmp_path):
    first = jobs.config(tmp_path / "a")
    assert jobs.execute(first) == 0
    best = jobs.run_folder(tmp_path / "a") / "checkpoints" / "best"
    evaluated = jobs.config(tmp_path / "b", f"ckpt_path={best}", "train=false")
    assert jobs.execute(evaluated) == 0
    one, other = jobs.result(tmp_path / "a"), jobs.result(tmp_path / "b")
    assert one["weights_sha256"] == other["weights_sha256"]
    assert one["metrics"] == other["metrics"]
    assert other["steps"] == 0


# Signals and owners


@pytest.mark.slow
@pytest.mark.fault(21)
def test_a_second_sigterm_stops_at_once_with_a_whole_checkpoint(tmp_path):
    twice = jobs.Together(
        jobs.at_step(10, signal.SIGTERM),
        jobs.At("lushan.checkpoint.folder:save_weights", 5, signal.SIGTERM),
    )
    cfg = jobs.config(tmp_path)
    assert jobs.execute(cfg, twice) == 143
    found, complaints = newest(jobs.run_folder(tmp_path) / "checkpoints")
    assert found is not None
    assert complaints == []
    assert jobs.execute(cfg) == 0


@pytest.mark.slow(1)
@pytest.mark.fault(26)
def test_a_loss_that_is_not_finite_stops_the_run(tmp_path):
    cfg = jobs.config(tmp_path)
    assert jobs.execute(cfg, jobs.LossBecomes(float("nan"), call=21)) == 1
    error = jobs.error(tmp_path)
    assert "nan at step 20" in error
    assert "train" in error  # the batch's examples, by id
    found, _ = newest(jobs.run_folder(tmp_path) / "checkpoints")
    weights = load_weights(found)
    assert all(bool(torch.isfinite(w).all()) for w in weights.values())
    assert jobs.state(tmp_path) == "failed"


@pytest.mark.slow
@pytest.mark.fault(29)
def test_two_processes_cannot_have_one_run(tmp_path):
    cfg = jobs.config(tmp_path)
    first = jobs.start(cfg, jobs.at_step(4, signal.SIGSTOP))
    seen = jobs.notes_of(tmp_path) / "seen.jsonl"
    until(
        lambda: seen.exists() and len(seen.read_text().splitlines()) >= 4,
        process=first,
        said=lambda: jobs.error(tmp_path),
    )
    assert jobs.execute(cfg) == 2
    assert str(first.pid) in jobs.error(tmp_path)
    os.kill(first.pid, signal.SIGCONT)
    first.join()
    assert jobs.code(first) == 0
    assert jobs.result(tmp_path)["steps"] == STEPS
