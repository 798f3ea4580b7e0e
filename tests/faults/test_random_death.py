"""Runs that are killed at any moment of their lives, and started again: nothing distinguishes them.

The moments are drawn anew each time and printed; `LUSHAN_DEATH_SEED=N` draws those of a failure
again, as far as a machine's pace allows. `make faults` draws ten for each task, one of them in a
fresh interpreter; `make test` draws one for three tasks, and for the first that one too.
"""

import contextlib
import os
import random
import subprocess
import time

import pytest

from tests.faults import jobs
from tests.faults.test_resume import curve, numbers
from tests.helpers import command, quick
from tests.helpers.narrow import narrowed

pytestmark = pytest.mark.slow

MOMENTS = int(os.environ.get("LUSHAN_DEATHS", "1"))
SEED = int(os.environ.get("LUSHAN_DEATH_SEED") or random.SystemRandom().randrange(10**6))
IMPORT = 4.0
"""Seconds within which a fresh interpreter is killed: it imports, composes and begins."""
SHORT = ("data.limit=24", "trainer.max_epochs=2")
"""Few steps; a state is saved after each third, and where an epoch ends."""
TEXT = ("data=sample_text", "data.max_length=64")
CHAT = (
    *("task=chat", "task.generate_examples=4", "task.max_new_tokens=4", "data=sample_chat"),
    "model=gpt2_tiny",
)
TASKS = {
    "ner": (),
    "classification": ("task=classification", "data=sample_reviews"),
    "causal": ("task=causal_lm", "model=gpt2_tiny", *TEXT),
    "masked": ("task=masked_lm", *TEXT),
    "seq2seq": (
        *("task=seq2seq", "model=t5_tiny", "data=sample_pairs"),
        "task.decoding.max_new_tokens=4",
    ),
    "chat, LoRA": (*CHAT, "peft=lora"),
    "chat, AdaLoRA": (*CHAT, "peft=adalora", "peft.config.init_r=4", "peft.config.target_r=2"),
}
LONG = ("classification", "causal", "masked", "chat, AdaLoRA")
"""Tasks that differ least from their neighbours; test_resume and test_adapters kill them, too."""


def everything(folder):
    """All of a run that must be equal, what it predicted included."""
    predictions = jobs.run_folder(folder) / "predictions"
    written = {path.name: path.read_bytes() for path in sorted(predictions.iterdir())}
    return numbers(folder), curve(folder), written


@pytest.mark.slow(4)
@pytest.mark.fault(52)
@pytest.mark.parametrize("task", quick.only([], TASKS, long=LONG))
def test_killed_anywhere(task, tmp_path):
    begun = time.monotonic()
    assert jobs.execute(config(tmp_path / "alone", task)) == 0
    life = time.monotonic() - begun
    alone = everything(tmp_path / "alone")
    rng = random.Random(f"{SEED} {task}")
    for attempt in range(max(MOMENTS, 2 if task == "ner" else 1)):
        folder, fresh = tmp_path / str(attempt), attempt == 1
        moment = rng.uniform(0, IMPORT if fresh else life)
        where = f"seed {SEED}, {task}, {attempt}: killed after {moment:.2f} s"
        where += " of a fresh interpreter" if fresh else f" of {life:.2f} s"
        print(where)  # noqa: T201 (shown where the test fails)
        kill_after(moment, folder, task, fresh)
        assert jobs.execute(config(folder, task)) == 0, where
        assert everything(folder) == alone, where


def kill_after(moment, folder, task, fresh):
    """Kill a run when it is so many seconds old; a fresh interpreter has its imports before it."""
    if fresh:
        words = ("train", *narrowed([*jobs.SMALL, *places(folder, task)]))
        process = command.popen(*words, cwd=folder.parent)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.communicate(timeout=moment)
        process.kill()
        process.communicate()
        return
    process = jobs.start(config(folder, task))
    process.join(moment)
    process.kill()
    process.join()


def config(folder, task):
    """With a cache of its own, so that encoding is part of each life."""
    return jobs.config(folder, *places(folder, task))


def places(folder, task):
    """The overrides of a task, and where its run is kept."""
    return [f"paths.output_dir={folder}", f"paths.cache_dir={folder}-cache", *SHORT, *TASKS[task]]
