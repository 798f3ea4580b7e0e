"""Lines that a watched run prints: by presets whose effect is a line, and at its beginning."""

import csv
import re
from pathlib import Path

import pytest

from tests.conftest import trained
from tests.helpers import command, quick

CONF = Path(__file__).parents[2] / "conf"
LANGUAGE = [*command.LANGUAGE, "task=causal_lm"]
STOPS = ["trainer.max_epochs=3", "callbacks.early_stopping.min_delta=10"]
NOTHING = ([], None)
PRINTS = {
    # Preset: what makes it act in a short run, and the line that is its effect, if one is.
    "debug/batch": ([], r"batch 1 of \d"),
    "debug/default": NOTHING,
    "debug/fdr": ([], r"examples: train 16, (.*\n)+?steps: 2 in"),
    "debug/limit": ([], r"examples: train (1,000|\d\d\d?),"),
    "debug/overfit": (["trainer.max_epochs=1"], "examples: train 16,"),
    "debug/profiler": ([], r"Profiler Report[\s\S]*run_training_batch"),
    "callbacks/default": NOTHING,
    "callbacks/none": NOTHING,
    "callbacks/ema": NOTHING,
    "callbacks/neftune": NOTHING,
    "callbacks/early_stopping": (
        [*STOPS, "callbacks.early_stopping.patience=1"],
        r"stopped early after step 6/9: .*val/loss did not improve",
    ),
    "callbacks/guard": (
        ["callbacks.guard.spike=0.01", "trainer.max_epochs=3", "data.batch_examples=1"],
        "skipped: the loss is",
    ),
    "callbacks/samples": ([*LANGUAGE, "callbacks.samples.max_new_tokens=2"], "sample: "),
}


def presets():
    """Presets of the groups that print, by their files."""
    return sorted(
        f"{g}/{p.stem}" for g in ("debug", "callbacks") for p in (CONF / g).glob("*.yaml")
    )


def test_every_preset_is_known():
    assert presets() == sorted(PRINTS)


LINES = [preset for preset, (_, line) in PRINTS.items() if line is not None]


@pytest.mark.slow(1)
@pytest.mark.parametrize(
    "preset", quick.only(["debug/profiler", "callbacks/early_stopping"], LINES)
)
def test_a_preset_prints_its_line(preset, cli_inside):
    more, line = PRINTS[preset]
    group, _, name = preset.partition("/")
    small = [word for word in command.SMALL if not (group == "debug" and "max_epochs" in word)]
    of_task = [] if LANGUAGE[-1] in more else ["task=ner", "data=sample_ner", "data.limit=24"]
    if group == "debug" and name in ("fdr", "limit", "overfit"):
        of_task.remove("data.limit=24")
    done = cli_inside("train", *small, *of_task, "test=false", f"{group}={name}", *more)
    assert done.code == 0, done.err
    assert re.search(line, done.out + done.err), done.out + done.err


@pytest.mark.slow(1)
def test_a_run_that_ends_without_numbers_says_so_when_it_begins(table_files, cli_inside):
    lines = ["task=classification", "data=table", "data.text=sentence", "data.label=label"]
    files = [f"data.train={table_files['train']}", "data.validation=null", "data.test=null"]
    done = cli_inside("train", *command.SMALL, *lines, *files)
    assert done.code == 0, done.err
    note = "note: nothing is evaluated, so the run has no metric: the data has neither"
    assert done.err.index(note) < done.err.index("steps: ")
    assert note not in done.out
    assert "95 % interval" not in done.out
    assert done.result["metrics"] == {}


SENTENCES = ["task=ner", "data=sample_ner", "data.limit=24", "model.config.hidden_size=32"]


@pytest.mark.slow(1)
def test_a_trial_of_the_code_is_marked_and_not_compared(cli_inside):
    runs = [*command.SMALL, *SENTENCES]
    tried = cli_inside("train", *runs, "trainer.fast_dev_run=true")
    note = "note: trainer.fast_dev_run=true: this run only tests the code; its numbers are not "
    note += "comparable"
    assert note in tried.err
    assert note not in tried.out
    whole = cli_inside("train", *runs)
    assert "not comparable" not in whole.out + whole.err
    for words in (
        ("compare", tried.folder, whole.folder),
        ("table", "outputs/default", "--rows", "seed"),
    ):
        done = cli_inside(*words)
        assert done.code == 2, done.out
        assert "which was shortened: trainer.fast_dev_run=true" in done.err
    alone = cli_inside("table", tried.folder, "--rows", "seed")
    assert "The run was shortened (trainer.fast_dev_run=true): not comparable." in alone.out


@pytest.mark.slow(1)
def test_a_preset_for_debugging_is_a_trial_too(cli_inside):
    tried = cli_inside("train", *command.SMALL, *SENTENCES, "debug=fdr", "name=mine")
    note = "note: debug=fdr: this run only tests the code; its numbers are not comparable"
    assert tried.err.index(note) < tried.err.index("steps: 2 in ")
    again = cli_inside("train", *command.SMALL, *SENTENCES, "debug=fdr", "name=mine")
    assert (note in tried.out, note in again.out, note in again.err) == (False, True, False)
    alone = cli_inside("table", tried.folder, "--rows", "seed")
    assert "The run was shortened (debug=fdr): not comparable." in alone.out


@pytest.mark.parametrize(("batches", "steps"), [("true", 1), ("2", 2)])
def test_a_fast_trial_has_as_many_steps_as_it_says(cli_inside, batches, steps):
    done = cli_inside("train", *command.SMALL, *SENTENCES, f"trainer.fast_dev_run={batches}")
    assert f"steps: {steps} in 1 epoch\n" in done.err
    assert f"step {steps}/{steps}" in done.err
    assert done.result["steps"] == steps


@pytest.mark.parametrize(
    ("more", "steps"),
    [
        ([], list(range(1, 10))),
        pytest.param(["trainer.max_epochs=15"], list(range(2, 46, 2)), marks=pytest.mark.slow),
        (["trainer.log_every_n_steps=4"], [4, 8]),
    ],
)
def test_the_curve_of_a_short_run_has_points(more, steps, tmp_path):
    folder = trained(tmp_path, *SENTENCES, "trainer.max_epochs=3", "test=false", *more)
    with (folder / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [int(row["step"]) for row in rows if row["train/loss"]] == steps
    assert all(row["train/loss"] == "" for row in rows if row["val/loss"])


def test_progress_bars_show_the_loss(tmp_path, monkeypatch, capsys):
    from lushan.callbacks import console
    from lushan.common import units

    shown = []

    class Bar(console.tqdm):
        def set_postfix(self, values, **options):
            shown.append(dict(values))
            super().set_postfix(values, **options)

    monkeypatch.setattr(console, "tqdm", Bar)
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    more = ["trainer.enable_progress_bar=true", "test=false"]
    folder = trained(tmp_path, *SENTENCES, *more)
    with (folder / "metrics.csv").open() as file:
        losses = [float(r["train/loss"]) for r in csv.DictReader(file) if r["train/loss"]]
    assert [values.get("train/loss") for values in shown] == [
        None,
        *(units.text(loss, units.LOSS) for loss in losses),
    ]
    assert "train/loss" in capsys.readouterr().out  # Lightning's own bar
