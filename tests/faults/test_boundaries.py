"""A run that dies between any two things that act ends as one left alone, to the last bit.

Every preset of `conf/callbacks` is tried, found by its file, and callbacks of a user's own that act
in each hook. The quick suite lets two runs die at a few moments, drawn from the seed below; `make
test` lets one run die in every hook of everything that acts in all of them, each other run in every
hook of what acts in it alone and in a few of the rest, in steps that are drawn, and right after
states were saved; `make faults` resumes each from all that a death at any of its moments leaves.
"""

import copy
import functools
import itertools
import random
import shutil
from pathlib import Path

import pytest

from lushan.callbacks.trial_pruning import Pruning
from lushan.common.units import SHARE
from lushan.config.check import check
from lushan.config.compose import compose
from lushan.engine import observers
from lushan.errors import UserError
from tests.helpers import command, deaths

SEED = 7
LIVES = 3
"""So many runs share the deaths of a case that dies once in each hook."""
WHOLE = "one's own"
"""The case that dies in each hook: its own callback notices if any is called once too often."""
EVERYWHERE = (
    *("[LightningModule]", "[Strategy]", "save_checkpoint"),
    *("[Callback]Checkpoints.", "[Callback]Console.", "[Callback]Record."),
)
"""How the hooks of what acts in every run begin."""
FEW = 3
"""So many of these the other cases die in."""
PRESETS = sorted(
    path.stem for path in (Path(__file__).parents[2] / "conf/callbacks").glob("*.yaml")
)
TINY = [
    *command.SMALL,
    *("task=ner", "data=sample_ner", "data.limit=20", "trainer.max_epochs=4"),
    *("model.config.hidden_size=32", "model.config.intermediate_size=32"),
    "model.config.num_hidden_layers=1",
    *("trainer.log_every_n_steps=1", "test=false"),
]
"""Three steps an epoch."""
LANGUAGE = [
    *("task=causal_lm", "model=gpt2_tiny", "model.config.n_embd=32", "data=sample_text"),
    *("data.max_length=32", "data.batch_examples=4", "trainer.max_epochs=2"),
    *("~model.config.hidden_size", "~model.config.intermediate_size"),
    "~model.config.num_hidden_layers",
]
STOP = ["callbacks.early_stopping.min_delta=10", "callbacks.early_stopping.patience=2"]
MORE = {
    "early_stopping": STOP,
    "guard": ["callbacks.guard.spike=0.1", "trainer.max_epochs=9"],
    "samples": [*LANGUAGE, "callbacks.samples.max_new_tokens=4", "callbacks.samples.count=1"],
}
"""What makes a preset act within a few steps."""
OWN = "+callbacks.own._target_=tests.helpers.deaths."
INSIDE = "trainer.val_check_interval=2"
CASES = {
    **{name: [f"callbacks={name}", *MORE.get(name, [])] for name in PRESETS},
    "one's own": [f"{OWN}Witness"],
    "one's own, saved inside epochs": [f"{OWN}Witness", "callbacks.checkpoints.every_n_steps=2"],
    "one's own, validated inside epochs": [f"{OWN}Witness", INSIDE],
    "one's own that watches a metric": [f"{OWN}LateWitness"],
    "early stopping inside epochs": ["callbacks=early_stopping", *STOP, INSIDE],
    "early stopping in epochs without validation": [
        *("callbacks=early_stopping", *STOP, "trainer.check_val_every_n_epoch=3"),
        "callbacks.early_stopping.check_on_train_epoch_end=true",
        "callbacks.early_stopping.strict=false",
        "trainer.max_epochs=7",
    ],
    "an average without validation": ["callbacks=ema", "trainer.limit_val_batches=0"],
    "a trial that is pruned": [],
}


@pytest.fixture
def moments(monkeypatch):
    """The moments of the runs of a test."""
    monkeypatch.setenv("LUSHAN_TARGETS", "tests.")
    return deaths.Moments(monkeypatch)


def config(case, folder, monkeypatch, trial=None):
    """The config of a case, and the trial of a search that it is, if it is one."""
    if "pruned" in case:
        trial = trial or deaths.Hopeless(after=2)
        monkeypatch.setattr(
            observers, "pruning_of", lambda _: Pruning("val/entity_f1", SHARE, trial, pruner=None)
        )
    return copy.deepcopy(composed(case, folder))


@functools.cache
def composed(case, folder):
    return check(compose([*TINY, *CASES[case], f"paths.output_dir={folder}"]))


def require_equal(case, fatal, alone, tmp_path, moments, monkeypatch):
    cfg = config(case, tmp_path, monkeypatch)
    again = deaths.lives(cfg, tmp_path / f"dies {len(list(tmp_path.iterdir()))}", moments, fatal)
    assert moments.fatal == set(), "it did not reach these moments"
    assert again == alone, fatal


def after_saving(seen):
    """The moments right after a state was saved."""
    outside = [moment for moment in seen if not moment[2].endswith(".on_save_checkpoint")]
    return [now for before, now in itertools.pairwise(outside) if before[2] == "save_checkpoint"]


@pytest.mark.slow
@pytest.mark.fault(61)
@pytest.mark.parametrize("case", ["early_stopping", "one's own"])
def test_dies_at_some_moments(case, tmp_path, moments, monkeypatch):
    alone = deaths.life(config(case, tmp_path, monkeypatch), tmp_path / "alone")
    seen = list(moments.seen)
    drawn = random.Random(f"{SEED} {case}").choice(seen)
    require_equal(case, {drawn, *after_saving(seen)[-2:]}, alone, tmp_path, moments, monkeypatch)


def once_each(seen, drawn):
    """One moment of each hook of each thing that acts, in their order."""
    found = {moment[2]: moment for moment in drawn.sample(seen, len(seen))}
    return sorted(found.values(), key=seen.index)


def own_hooks(moments, drawn):
    """The moments in hooks of what not every run has, and a few of the rest."""
    rest = [moment for moment in moments if moment[2].startswith(EVERYWHERE)]
    few = drawn.sample(rest, min(FEW, len(rest)))
    return [moment for moment in moments if moment in few or moment not in rest]


@pytest.mark.slow
@pytest.mark.fault(61)
@pytest.mark.parametrize("case", CASES)
def test_dies_in_every_hook(case, tmp_path, moments, monkeypatch):
    alone = deaths.life(config(case, tmp_path, monkeypatch), tmp_path / "alone")
    seen = list(moments.seen)
    drawn = random.Random(f"{SEED} {case}")
    fatal = once_each(seen, drawn)
    assert len(fatal) > 20
    lives = LIVES if case == WHOLE else 1
    if case != WHOLE:
        fatal = own_hooks(fatal, drawn)
    fatal = sorted({*fatal, *after_saving(seen)[-2:]}, key=seen.index)
    for first in range(lives):
        require_equal(case, fatal[first::lives], alone, tmp_path, moments, monkeypatch)


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.fault(61)
@pytest.mark.parametrize("case", CASES)
def test_dies_at_every_moment(case, tmp_path, moments, monkeypatch):
    """What comes after a death depends on what is stored by then, whatever the moment.

    So the run resumes once from each content that its folder has had at any moment.
    """
    folder, copies, trial = tmp_path / "run", deaths.Copies(tmp_path / "copies"), deaths.Hopeless(2)
    moments.watch = lambda: copies.take(folder, dict(trial.reported))
    alone = deaths.life(config(case, tmp_path, monkeypatch, trial), folder)
    moments.watch = None
    seen = list(moments.seen)
    assert after_saving(seen)
    assert len({step for step, *_ in seen}) <= len(copies.found) < len(seen)
    for left, reported in copies.found:
        shutil.rmtree(folder)
        shutil.copytree(left, folder)
        again = config(case, tmp_path, monkeypatch, deaths.Hopeless(2, reported))
        assert deaths.life(again, folder) == alone, left.name


def test_a_state_that_could_not_be_read_is_refused_when_it_is_saved(tmp_path, moments):
    cfg = check(compose([*TINY, f"{OWN}Unreadable", f"paths.output_dir={tmp_path}"]))
    with pytest.raises(UserError, match=r"(?s)Unreadable contains pathlib\S+.*state_dict"):
        deaths.life(cfg, tmp_path / "run")
    assert not list((tmp_path / "run" / "checkpoints").glob("step-*"))
