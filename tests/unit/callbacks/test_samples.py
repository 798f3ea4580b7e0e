"""What a model writes during validation: seen, kept, reported, and without a part in training."""

import json
import sys
import types

import pytest
from tests.conftest import trained
from tests.helpers import command

from lushan.callbacks.destinations.tracker import About
from lushan.callbacks.destinations.wandb import WandB
from lushan.callbacks.samples import Samples
from lushan.callbacks.trackers import Guarded
from lushan.errors import UserError
from lushan.inference.load import load
from lushan.run.metrics_csv import SAMPLES, read_samples


def parts(run, tmp_path, step=5, loggers=()):
    """A trainer and a module as Lightning would give them."""
    from lushan.config.build import source_of
    from lushan.run.config_yaml import read_config

    loaded = load(run)
    corpus = source_of(read_config(run)).read(only="validation")
    module = types.SimpleNamespace(
        model=loaded.model,
        task=loaded.task,
        tables=dict(corpus.splits),
        through=lambda call, batch, **_: call(loaded.model, batch),
    )
    trainer = types.SimpleNamespace(
        default_root_dir=str(tmp_path),
        is_global_zero=True,
        global_step=step,
        sanity_checking=False,
        state=types.SimpleNamespace(fn="fit"),
        loggers=list(loggers),
    )
    return trainer, module


def validated(callback, trainer, module, *steps):
    callback.on_train_start(trainer, module)
    for step in steps:
        trainer.global_step = step
        callback.on_validation_epoch_end(trainer, module)
    return read_samples(callback_file(trainer))


def callback_file(trainer):
    from pathlib import Path

    return Path(trainer.default_root_dir) / SAMPLES


def test_each_run_of_a_language_model_keeps_what_it_wrote(lm_run, chat_run):
    for run in (lm_run, chat_run):
        rows = read_samples(run / SAMPLES)
        assert len(rows) == 4
        assert set(rows[0]) == {"step", "id", "prompt", "text", "finish_reason"}
        assert "sample: " in (run / "log.txt").read_text(encoding="utf-8")


@pytest.mark.slow
def test_it_has_no_part_in_training(tmp_path_factory):
    folder = tmp_path_factory.mktemp("twice")
    overrides = [*command.LANGUAGE, "task=causal_lm", "trainer.max_epochs=2"]
    hashes, ids = [], []
    for name, more in (("with", []), ("without", ["callbacks.samples=null"])):
        run = trained(folder / name, *overrides, *more)
        result = json.loads((run / "result.json").read_text())
        hashes.append(result["final_weights_sha256"])
        ids.append(run.name)
        assert (run / SAMPLES).exists() == (name == "with")
    assert hashes[0] == hashes[1]
    assert ids[0] == ids[1]  # what it is asked to write does not make another run


def test_the_same_prompts_and_chances_each_time(lm_run, tmp_path):
    trainer, module = parts(lm_run, tmp_path)
    rows = validated(Samples(count=3, max_new_tokens=6), trainer, module, 1, 2)
    assert [row["step"] for row in rows] == [1, 1, 1, 2, 2, 2]
    for first, second in zip(rows[:3], rows[3:], strict=True):
        assert first | {"step": 2} == second  # the weights are the same here
    first = module.tables["validation"].column("text")[0].as_py()
    assert first.startswith(rows[0]["prompt"].strip())


def test_a_model_that_trains_goes_on_training(lm_run, tmp_path):
    trainer, module = parts(lm_run, tmp_path)
    module.model.train()
    validated(Samples(count=1, max_new_tokens=2), trainer, module, 1)
    assert module.model.training


def test_dialogues_are_given_up_to_the_last_answer(chat_run, tmp_path):
    trainer, module = parts(chat_run, tmp_path)
    rows = validated(Samples(count=2, max_new_tokens=4), trainer, module, 1)
    last = module.tables["validation"].column("messages")[0].as_py()
    assert last[-1]["role"] == "assistant"
    assert rows[0]["prompt"].endswith("Assistant:")


def test_after_a_resume_rows_are_made_once(lm_run, tmp_path):
    trainer, module = parts(lm_run, tmp_path)
    validated(Samples(count=1, max_new_tokens=2), trainer, module, 4, 8)
    callback_file(trainer).open("a").write('{"step": 9, "cut')
    trainer.global_step = 4  # the last state that was saved
    rows = validated(Samples(count=1, max_new_tokens=2), trainer, module, 8)
    assert [row["step"] for row in rows] == [4, 8]


def test_what_goes_wrong_ends_the_samples_and_not_the_run(lm_run, tmp_path, monkeypatch):
    trainer, module = parts(lm_run, tmp_path)
    tried, shown = [], []

    def fails(*_, **__):
        tried.append(1)
        raise ValueError("no such kernel")

    monkeypatch.setattr("lushan.callbacks.samples.generate", fails)
    monkeypatch.setattr(
        "lushan.callbacks.samples.log.warning", lambda *printed: shown.append(printed)
    )
    assert validated(Samples(count=1, max_new_tokens=2), trainer, module, 1, 2) == []
    assert len(tried) == len(shown) == 1
    assert "no such kernel" in str(shown[0][1])


def test_a_task_that_writes_nothing_is_left_alone(ner_run, tmp_path):
    trainer, module = parts(ner_run, tmp_path)
    assert validated(Samples(), trainer, module, 1) == []
    assert not callback_file(trainer).exists()


def test_wrong_numbers_are_refused_by_their_key():
    with pytest.raises(UserError) as caught:
        Samples(top_p=3.0)
    assert caught.value.key == "callbacks.samples.top_p"


# Trackers


class Listener:
    """A tracker that remembers."""

    def __init__(self, fails=False):
        self.fails, self.tables = fails, []

    def start(self, about):
        pass

    def log(self, values, step):
        pass

    def samples(self, rows, step):
        if self.fails:
            raise OSError("away")
        self.tables.append((len(rows), step))

    def finish(self, result, folder):
        pass


def guarded(tracker, tmp_path):
    return Guarded(tracker, About(tmp_path, "n", "id", {}, ()))


def test_trackers_are_reported_all_rows_so_far(lm_run, tmp_path):
    tracker = Listener()
    logger, failing = guarded(tracker, tmp_path), guarded(Listener(fails=True), tmp_path)
    trainer, module = parts(lm_run, tmp_path, loggers=[logger, failing, object()])
    validated(Samples(count=2, max_new_tokens=2), trainer, module, 1, 2)
    logger.close(None)
    failing.close(None)
    assert tracker.tables == [(2, 1), (4, 2)]
    assert failing.failed


def test_wandb_gets_a_table(monkeypatch):
    tables = []
    fake = types.SimpleNamespace(
        Table=lambda columns, data: types.SimpleNamespace(columns=columns, data=data)
    )
    monkeypatch.setitem(sys.modules, "wandb", fake)
    tracker = WandB(tables=True)
    tracker.run = types.SimpleNamespace(log=lambda values, step: tables.append((values, step)))
    tracker.samples([{"step": 3, "id": "a", "prompt": "p", "text": "t"}], 3)
    ((values, step),) = tables
    assert step == 3
    assert values["samples"].columns == ["step", "id", "prompt", "text"]
    assert values["samples"].data == [[3, "a", "p", "t"]]


def test_a_line_of_json_stays_one_line(tmp_path):
    from lushan.run.files import json_line

    line = json_line({"text": "a\u2028b\x85c\nd"})
    assert len(line.splitlines()) == 1
    assert json.loads(line) == {"text": "a\u2028b\x85c\nd"}
