"""Each mistake is one `UserError`: key, value, the nearest right name and where it came from."""

import contextlib
import math
import tempfile
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.helpers.configs import refusal

from lushan.config.check import check
from lushan.config.compose import Composer, compose
from lushan.config.folders import built_in_conf
from lushan.config.override import overridden
from lushan.config.provenance import COMMAND_LINE, groups_of
from lushan.errors import UserError

# Overrides; key, value and a part of the hint of the mistake.
ON_THE_COMMAND_LINE = [
    (["optimiser.lr=1"], "optimiser.lr", "1", "Did you mean optimizer.lr?"),
    (["optimizer.l=1"], "optimizer.l", 1, "Did you mean optimizer.lr?"),
    (["trainer.max_epoch=2"], "trainer.max_epoch", 2, "Did you mean trainer.max_epochs?"),
    (["model.config.hiden_size=3"], "model.config.hiden_size", 3, "model.config.hidden_size"),
    (["model.path=x"], "model.path", "x", "There are: attention, gradient_checkpointing."),
    (["+foo.bar=1"], "foo", {"bar": 1}, "There are: name, seed, "),
    (["foo.bar=1"], "foo.bar", "1", "There are: name, seed, "),
    (["sed=2"], "sed", "2", "Did you mean seed?"),
    (["~optimizer.rl"], "optimizer.rl", None, "Did you mean ~optimizer.lr?"),
    (["paths.output=x"], "paths.output", "x", "There are: output_dir, cache_dir."),
    (["+optimizer._partail_=true"], "optimizer._partail_", True, "There are"),
    (["model=bert_tinny"], "model", "bert_tinny", "Did you mean model=bert_tiny?"),
    (["task/head=crff"], "task/head", "crff", "Did you mean task/head=crf?"),
    (["experiment=ner/wnut7"], "experiment", "ner/wnut7", "experiment=ner/wnut17"),
    (["modle=bert_tiny"], "modle", "bert_tiny", "Did you mean model?"),
    (["model=null"], "model", "null", "There are: bert_base, "),
    (["callbacks=3"], "callbacks", "3", "none"),
    (["model={path: x}"], "model", "{path: x}", "pretrained"),
    (["model="], "model", "", "There are: bert_base, "),
    (["++model=bert_tiny"], "model", "bert_tiny", None),
    (["~data=conll"], "data", "conll", None),
    (["optimizer.lr=fast"], "optimizer.lr", "fast", None),
    (["optimizer.lr=null"], "optimizer.lr", "null", None),
    (["optimizer.lr='1'"], "optimizer.lr", "1", "Write 1 without quotes."),
    (["trainer.max_epochs=2.0"], "trainer.max_epochs", 2.0, "Write 2."),
    (["optimizer.lr=-1"], "optimizer.lr", -1, None),
    (["optimizer.lr=inf"], "optimizer.lr", math.inf, None),
    (["optimizer.head_lr=-1"], "optimizer.head_lr", -1, None),
    (["optimizer.layer_decay=1.1"], "optimizer.layer_decay", 1.1, None),
    (["+optimizer.module_lr.head=-1"], "optimizer.module_lr", {"head": -1}, None),
    (["model=pretrained", "model.path=x", "model.dropout=1.0"], "model.dropout", 1.0, None),
    (["callbacks=guard", "callbacks.guard.memory=0"], "callbacks.guard.memory", 0, None),
    (["seed=true"], "seed", True, "Write 1."),
    (["seed=-1"], "seed", -1, None),
    ([f"seed={2**63}"], "seed", 2**63, None),
    (["seed={_target_: lushan.optim.linear}"], "seed", {"_target_": "lushan.optim.linear"}, None),
    (["tags=x"], "tags", "x", None),
    (["tags=[1]"], "tags", [1], None),
    (["optimizer.freeze=embeddings"], "optimizer.freeze", "embeddings", None),
    (["task=classification", "task.kind=regresion"], "task.kind", "regresion", "'regression'"),
    (["seed=1,2"], "seed", "1,2", "lushan train -m"),
    (["seed=range(1,3)"], "seed", "range(1,3)", "lushan train -m"),
    (["name=???"], "name", None, "Write name=NAME."),
    (["data.limit=${nope.x}"], "data.limit", None, "Set data.limit=VALUE."),
    (["name=${oc.env:NO_SUCH_VARIABLE}"], "name", None, None),
    (["~optimizer.lr"], "optimizer.lr", None, "a number"),
    (["~model"], "model", None, "model=NAME"),
    (["optimizer.model=x"], "optimizer.model", "x", None),
    (["callbacks.checkpoints.folder=x"], "callbacks.checkpoints.folder", "x", None),
    (["+callbacks.mine={patience: 3}"], "callbacks.mine", {"patience": 3}, "callbacks=NAME"),
    (["a={"], "a", "{", "Quote it"),
    (["lr"], None, "lr", "lr=VALUE?"),
    (["=1"], None, "=1", "KEY=VALUE"),
    (["--seed"], None, "--seed", "--help"),
    (["hydra.run.dir=x"], "hydra.run.dir", "x", "paths.output_dir"),
    (["hydra/launcher=bas"], "hydra/launcher", "bas", "There are: basic, "),
    (["task.monitor=entity_f2"], "task.monitor", "entity_f2", "Did you mean entity_f1?"),
    (
        ["optimized_metric=test/entity_f"],
        "optimized_metric",
        "test/entity_f",
        "Did you mean test/entity_f1?",
    ),
    (
        ["callbacks=early_stopping", "callbacks.early_stopping.monitor=val/los"],
        "callbacks.early_stopping.monitor",
        "val/los",
        "Did you mean val/loss?",
    ),
    (
        ["callbacks=early_stopping", "callbacks.early_stopping.monitor=val/loss_x/y"],
        "callbacks.early_stopping.monitor",
        "val/loss_x/y",
        "val/",
    ),
    (
        ["data.batch_tokens=9", "data.batch_examples=2"],
        "data.batch_examples",
        2,
        "data.batch_tokens",
    ),
    (["train=false"], "train", False, "ckpt_path="),
    (["data.train_share=0"], "data.train_share", 0, "data.train_share=0.1"),
    (["data=conll", "data.train=x", "data.test=1.5"], "data.test", 1.5, "data.test=0.1"),
]


@pytest.mark.parametrize(
    ("overrides", "key", "value", "hint"),
    ON_THE_COMMAND_LINE,
    ids=[" ".join(case[0]) for case in ON_THE_COMMAND_LINE],
)
def test_a_wrong_override(overrides, key, value, hint):
    error = refusal(*overrides)
    assert (error.key, error.value, error.file) == (key, value, COMMAND_LINE)
    assert hint is None or hint in (error.hint or "")
    assert str(error).startswith(f"{COMMAND_LINE}{f', {key}' if key else ''}: ")
    assert isinstance(error.value, type(value))


PROCESSORS = {p.stem: p.read_text() for p in sorted((built_in_conf() / "processor").glob("*.yaml"))}
READ = ("pretrained", "e5_small")
"""Those that are read, not trained."""
TRAINED = [
    n
    for n, text in PROCESSORS.items()
    if n not in READ and ("vocab_size: " in text or "defaults:" in text)
]
NOT_OURS = ["bert-base-uncased", "google-bert/bert-base-uncased", "xlm-roberta-base", "T5"]
"""Names of the hub, the nearest of which here would be a model with random weights."""


@pytest.mark.parametrize("group", ["model", "processor"])
@pytest.mark.parametrize("name", NOT_OURS)
def test_a_name_of_the_hub_leads_to_what_is_pretrained(group, name):
    hint = refusal(f"{group}={name}").hint
    assert hint.startswith(f"Write {group}=pretrained {group}.path={name}. ")
    assert "Did you mean" not in hint


@pytest.mark.parametrize("name", ["gpt2", "bert_tinny", "bert-tiny"])
def test_a_name_that_may_be_a_slip_leads_to_both(name):
    hint = refusal(f"model={name}").hint
    assert "Did you mean model=" in hint
    assert f"model=pretrained model.path={name}" in hint


@pytest.mark.parametrize("kind", TRAINED)
def test_a_tokenizer_trained_anew_is_refused_beside_pretrained_weights(kind):
    for model in (["model=minilm"], ["model=pretrained", "model.path=some/model"]):
        error = refusal(*model, f"processor={kind}")
        assert error.key == "processor"
        assert "processor=pretrained" in (error.hint or "")


def test_also_where_an_experiment_has_chosen_it():
    error = refusal("experiment=ner/weibo", "data.dir=x", "model=minilm")
    assert (error.key, error.value) == ("processor", "chars")
    check(compose(["experiment=ner/weibo", "data.dir=x", "model=minilm", "processor=pretrained"]))


# A file and the line in it that is at fault, from what the package brings.
IN_A_FILE = [
    (["data=conll"], "data.train", None, "data/conll.yaml", 3, "data.train=TRAIN"),
    (["model=pretrained"], "model.path", None, "model/pretrained.yaml", 6, "model.path=PATH"),
    (
        ["task=classification", "task/head=crf"],
        "task.head",
        "crf",
        "task/head/crf.yaml",
        1,
        "task/head=linear",
    ),
    (
        ["callbacks=early_stopping", "data=conll", "data.train=x"],
        "callbacks.early_stopping.monitor",
        "val/loss",
        "callbacks/early_stopping.yaml",
        7,
        "data.validation=",
    ),
    (
        ["callbacks=early_stopping", "callbacks.early_stopping.monitor=val/entity_f1"],
        "callbacks.early_stopping.mode",
        "min",
        "callbacks/early_stopping.yaml",
        8,
        "callbacks.early_stopping.mode=max",
    ),
    (
        ["processor=pretrained"],
        "processor.path",
        None,
        "processor/pretrained.yaml",
        3,
        "processor.path=VALUE",
    ),
]


@pytest.mark.parametrize(
    ("overrides", "key", "value", "file", "line", "hint"),
    IN_A_FILE,
    ids=[" ".join(case[0]) for case in IN_A_FILE],
)
def test_a_mistake_names_the_file_and_the_line(here, overrides, key, value, file, line, hint):
    error = refusal(*overrides)
    assert (error.key, error.value, error.line) == (key, value, line)
    assert error.file == str(built_in_conf() / file)
    assert hint in (error.hint or "")


@pytest.mark.slow
def test_a_metric_of_another_task(here):
    error = refusal(
        "task=classification",
        "callbacks=early_stopping",
        "callbacks.early_stopping.monitor=val/entity_f1",
    )
    assert error.key == "callbacks.early_stopping.monitor"
    assert "val/f1_macro" in (error.hint or "")
    assert "entity" not in (error.hint or "")


@pytest.mark.parametrize(
    ("path", "text", "overrides", "key", "line", "printed"),
    [
        (
            "optimizer/mine.yaml",
            "# a\n{node}laer_decay: 1\n",
            [],
            "optimizer.laer_decay",
            6,
            "optimizer.layer_decay",
        ),
        ("optimizer/mine.yaml", "{node}\nlr: fast\n", [], "optimizer.lr", 6, "a number"),
        ("optimizer/mine.yaml", "{node}lr: ${{nope}}\n", [], "optimizer.lr", 5, "nope"),
        ("optimizer/mine.yaml", "{node}", [], "optimizer.lr", 1, "a number"),
        ("optimizer/mine.yaml", "lr: 1\n", [], "optimizer", 1, "_target_"),
        ("experiment/mine.yaml", "# @package _global_\n\nsed: 2\n", [], "sed", 3, "seed"),
        ("experiment/mine.yaml", "# @package _global_\ntrainer:\n  a: 1\n", [], "trainer.a", 3, ""),
        ("experiment/mine.yaml", "# @package _global_\ndata: 3\n", ["data=conll"], None, None, ""),
    ],
)
def test_a_mistake_in_a_file_of_the_users_own(write, path, text, overrides, key, line, printed):
    node = (
        "_target_: lushan.optim.grouped\nalgorithm:\n  _target_: torch.optim.AdamW\n"
        "  _partial_: true\n"
    )
    write(path, text.format(node=node))
    error = refusal(*overrides, f"{Path(path).parent}={Path(path).stem}")
    if key is not None:
        assert (error.file, error.line, error.key) == (f"conf/{path}", line, key)
    assert printed in str(error)


@pytest.mark.parametrize(
    ("text", "file", "printed"),
    [
        ("defaults:\n  - override /model: bert_tinny\n", "mine.yaml:4", "bert_tiny"),
        ("defaults:\n  - override /modle: bert_tiny\n", "mine.yaml:4", "mean model?"),
        ("defaults:\n  - override /debug/x: a\n", "mine.yaml:4", "debug/x"),
        ("defaults:\n  - other\n", "mine.yaml:4", "no option 'other'"),
        ("defaults: 3\n", "mine.yaml", "must be a list"),
        ("name: [\n", "mine.yaml:4", "YAML"),
        ("name: a\nname: b\n", "mine.yaml", "duplicate"),
        ("- 1\n", "mine.yaml", ""),
    ],
)
def test_a_file_that_cannot_be_composed(write, text, file, printed):
    write("experiment/mine.yaml", "# @package _global_\n# mine\n" + text)
    error = refusal("experiment=mine")
    assert printed in str(error)
    assert f"conf/experiment/{file}" in str(error)


def test_a_user_conf_is_searched_first(write):
    write("model/bert_tiny.yaml", _encoder(64))
    write("model/own.yaml", _encoder(32))
    assert compose(["model=bert_tiny"]).model.config.hidden_size == 64
    assert compose(["model=own"]).model.config.hidden_size == 32
    assert compose(["model=bert_small"]).model.config.hidden_size == 256


def test_a_further_folder_is_searched_last(write, here):
    write("model/bert_tiny.yaml", _encoder(64))
    (here / "conf").rename(here / "more")
    write("model/own.yaml", _encoder(32))
    assert compose(["model=own"], config_dir="more").model.config.hidden_size == 32
    assert compose(["model=bert_tiny"], config_dir="more").model.config.hidden_size == 128
    with pytest.raises(UserError, match="--config-dir: the folder does not exist"):
        compose(config_dir="nowhere")


def _encoder(width):
    return (
        "_target_: lushan.models.encoders.fresh\n"
        f"config:\n  _target_: transformers.BertConfig\n  _partial_: true\n  hidden_size: {width}\n"
    )


def test_arguments_of_a_target_need_no_plus():
    cfg = check(compose(["optimizer.layer_decay=0.9", "model.config.hidden_act=gelu"]))
    assert cfg["optimizer"]["layer_decay"] == 0.9
    assert cfg["model"]["config"]["hidden_act"] == "gelu"
    whole = ["optimizer.algorithm={_target_: torch.optim.Adam, betas: [0.8, 0.9]}"]
    assert check(compose(whole))["optimizer"]["algorithm"] == {
        "_target_": "torch.optim.Adam",
        "_partial_": True,
        "betas": [0.8, 0.9],
    }


def test_a_config_is_checked_without_being_changed():
    cfg = compose(["experiment=sample/reviews"])
    assert check(cfg) == check(cfg)
    assert "hydra" not in check(cfg)


def test_single_keys_of_a_run_can_be_changed():
    cfg = check(compose([]))
    changed = overridden(cfg, ["data.batch_tokens=7"], groups=["data"])
    assert changed["data"]["batch_tokens"] == 7
    assert "batch_tokens" not in cfg["data"]


@pytest.mark.parametrize(
    ("line", "key", "printed"),
    [
        ("optimizer.lr=1", "optimizer.lr", "cannot be changed after training"),
        ("dta.test=x", "dta.test", "data"),
        ("data=conll", "data", "cannot be changed after training"),
        ("data.limit=1,2", None, "key=value"),
        ("~data.limit", "data.limit", "unknown key|key=value"),
        ("data.limit=x", "data.limit", "whole number"),
        ("data.limt=1", "data.limt", "data.limit"),
        ("data.limit", None, "key=value"),
    ],
)
def test_a_wrong_change_of_a_run(line, key, printed):
    cfg = check(compose([]))
    with pytest.raises(UserError, match=printed) as caught:
        overridden(cfg, [line], groups=["data"])
    assert caught.value.key in (key, None)
    assert caught.value.file is None


def test_the_command_line_exits_with_2(cli_inside, write, monkeypatch):
    monkeypatch.delenv("LUSHAN_TRACEBACK", raising=False)
    write("experiment/mine.yaml", "# @package _global_\noptimiser:\n  lr: 1\n")
    done = cli_inside("train", "experiment=mine")
    assert done.code == 2
    assert done.err.startswith("error: conf/experiment/mine.yaml:2, optimiser: ")
    assert "Did you mean optimizer?" in done.err
    assert "Traceback" not in done.err
    monkeypatch.setenv("LUSHAN_TRACEBACK", "1")
    shown = cli_inside("train", "experiment=mine")
    assert shown.code == 2
    assert shown.err.startswith("Traceback")
    assert "UnknownKey: conf/experiment/mine.yaml:2, optimiser: " in shown.err


@pytest.mark.parametrize(
    ("arguments", "printed"),
    [
        (["hydra.job.env_copy=[NO_SUCH_VARIABLE]"], "NO_SUCH_VARIABLE"),
        (["-m", "seed=glob(x*)"], "seed"),
        (["-m", "model=glob(bertt*)"], "model"),
        (["-m", "hydra.launcher.jobs=0", "seed=1,2"], "hydra.launcher.jobs"),
        (["-m", "hydra.launcher.jbs=2", "seed=1,2"], "hydra.launcher.jbs: unknown key"),
        (["--config-path", "x"], "--config-dir"),
        (["--config-name", "nope"], "nope"),
        (["--experimental-rerun", "x.pickle"], "pickle"),
        (["--cfg", "job", "-m"], "only one"),
        (["--resolve"], "--cfg"),
        (["-sc", "install=fish"], "bash"),
    ],
)
def test_wrong_flags(cli_inside, here, arguments, printed):
    done = cli_inside("train", *arguments)
    assert done.code == 2, done.out + done.err
    assert printed in done.err
    assert "Traceback" not in done.err
    assert not (here / "outputs").exists()


GROUPS = st.sampled_from(sorted(groups_of(Composer())))
KEY_NAMES = """
seed tags tags.0 name optimizer.lr model.config model._target_ paths hydra x.y model@x task.head
hydra.launcher hydra.callbacks hydra.job.env_set hydra.mode hydra.job_logging hydra.searchpath
callbacks.checkpoints optimizer.algorithm._args_ data.train trainer.callbacks optimized_metric
"""
SOME_VALUES = r"""
null;1;-1.5;nan;true;;???;[];{};[a,b];{a: 1};a,b;'q';{_target_: x};${seed};${model};${.};${x;
{_target_: lushan.optim.linear};${oc.env:HOME};${hydra:job.id};range(1,3);glob(*);choice(a,b);
int(x);bert_tiny;${oc.create:{a: 1}};\;é
"""
KEYS = st.sampled_from(KEY_NAMES.split())
VALUES = st.sampled_from([value.strip("\n") for value in SOME_VALUES.split(";")])
LIKE_ONE = st.tuples(
    st.sampled_from(["", "+", "++", "~"]), GROUPS | KEYS, st.just("="), VALUES | st.text(max_size=8)
).map("".join)
OVERRIDES = st.lists(LIKE_ONE | st.text(max_size=12), min_size=1, max_size=2)


@pytest.mark.slow(1)
@settings(max_examples=40, deadline=None, derandomize=True)
@given(OVERRIDES)
@example(["seed={_target_: lushan.optim.linear}"])
@example(["hydra.job.env_copy=[NO_SUCH_VARIABLE]"])
@example(["hydra.launcher=null"])
@example(["\x00"])
@example(["\ud800=1"])
def test_no_override_breaks_it(overrides):
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        try:
            check(compose(overrides))
        except UserError as error:
            assert str(error).strip()  # noqa: PT017
        assert not list(Path().iterdir())


def test_an_option_of_an_inner_group_is_chosen_with_a_slash(here):
    assert refusal("task.head=crf").hint == "Write task/head=crf."
    assert refusal("task.head=nonsense").hint is None
