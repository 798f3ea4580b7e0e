"""A file of `conf/` is read once, and again where it has changed."""

import os
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from lushan.config import repository
from lushan.config.compose import compose


@pytest.fixture
def written(tmp_path, monkeypatch):
    """Let an optimizer of the user's own have a learning rate; the file is as old as it is said."""
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "conf" / "optimizer" / "mine.yaml"
    file.parent.mkdir(parents=True)

    def write(lr, seconds):
        file.write_text(f"# Mine.\ndefaults: [adamw]\nlr: {lr}\n")
        then = file.stat().st_mtime - seconds
        os.utime(file, (then, then))

    return write


@pytest.fixture
def loaded(monkeypatch):
    """The files that were read, in order."""
    found, load = [], OmegaConf.load

    def remembered(file):
        found.append(Path(getattr(file, "name", file)).name)
        return load(file)

    monkeypatch.setattr(OmegaConf, "load", remembered)
    return found


def rate():
    return compose(["optimizer=mine"]).optimizer.lr


def test_a_file_is_read_once(written, loaded):
    written(0.5, seconds=60)
    assert [rate(), rate()] == [0.5, 0.5]
    assert loaded.count("mine.yaml") == 1


def test_a_changed_file_is_read_again(written):
    written(0.5, seconds=60)
    assert rate() == 0.5
    written(0.7, seconds=30)
    assert rate() == 0.7


def test_a_file_that_may_still_change_is_read_each_time(written, loaded):
    written(0.5, seconds=0)
    assert [rate(), rate()] == [0.5, 0.5]
    assert loaded.count("mine.yaml") == 2
    assert repository.SETTLE_SECONDS >= 2  # FAT counts in steps of two seconds


def test_what_becomes_of_a_config_does_not_stay(written):
    written(0.5, seconds=60)
    cfg = compose(["optimizer=mine"])
    cfg.optimizer.lr = 3.0
    assert rate() == 0.5


@pytest.mark.slow(1)
@pytest.mark.parametrize(
    "overrides",
    [
        ["experiment=chat/sgd", "optimizer.lr=0.1"],
        ["experiment=sample/ner", "peft=lora", "+note=x"],
        ["task=masked_lm", "model=t5_tiny", "~callbacks"],
    ],
)
def test_what_is_remembered_is_what_hydra_makes(overrides, monkeypatch):
    remembered = [compose(overrides) for _ in range(2)]
    monkeypatch.setattr(repository, "_stamp", lambda *_: None)
    made = compose(overrides)
    assert remembered == [made, made]
    text = OmegaConf.to_yaml(made, resolve=False)
    assert [OmegaConf.to_yaml(cfg, resolve=False) for cfg in remembered] == [text, text]
    assert OmegaConf.is_struct(remembered[1]) == OmegaConf.is_struct(made)
