"""What a `_target_` may name: nothing is imported for another, and no config extends the list."""

import json
import re
import sys

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from tests.helpers.configs import refusal

from lushan.config import allow_list, signatures
from lushan.config.allow_list import identify, locate, nodes, rules_for, user_prefixes
from lushan.config.build import build
from lushan.config.check import check
from lushan.config.compose import compose
from lushan.config.folders import built_in_conf
from lushan.config.signatures import cache_file, signature
from lushan.configurable import configurable
from lushan.errors import UserError
from lushan.run.caches import read_note, write_note

HOSTILE = """
os.system os.popen subprocess.run subprocess.Popen builtins.eval builtins.exec builtins.__import__
pickle.load pickle.loads marshal.loads runpy.run_path shutil.rmtree ctypes.CDLL webbrowser.open
importlib.import_module functools.partial operator.methodcaller pathlib.Path.write_text
torch.load torch.save torch.hub.load torch.jit.load torch.nn.Linear
torch.utils.cpp_extension.load_inline torch.nn.modules.module.torch.load torch.optim
joblib.load pandas.read_pickle pandas.eval numpy.load numpy.core.multiarray.scalar
torch.optim.lr_scheduler.torch.load torch.optim.adam.torch.hub.load
torch.optim.lr_scheduler.LambdaLR.load_state_dict torch.optim.adam.adam torch.optim.optimizer.Any
torch.optim.AdamW.step torch.optim.swa_utils.AveragedModel torch.optim.swa_utils.update_bn
torch.optim._functional.F torch.optim.Optimizer.__init__ torch.optim.lr_scheduler.partial
torch.optim.AdamW.__init__.__globals__ torch.optim.__builtins__ torch.optim._multi_tensor
torchmetrics.functional.accuracy torchmetrics.metric.torch.load torchmetrics.utilities.data.torch
torchmetrics.metric.Metric.load_state_dict torchmetrics.wrappers.abstract.Callable
torchmetrics.MetricCollection torchmetrics.wrappers.BootStrapper torchmetrics.text.bert.BERTScore
torchmetrics.text.infolm.InfoLM torchmetrics.text.ROUGEScore torchmetrics.text.SacreBLEUScore
torchmetrics.image.FrechetInceptionDistance torchmetrics.multimodal.CLIPScore
torchmetrics.aggregation.CatMetric torchmetrics.Metric
transformers.AutoModel.from_pretrained transformers.BertConfig.from_pretrained
transformers.modeling_utils.os.system transformers.configuration_utils.os.system
transformers.configuration_utils.json.loads transformers.pipeline transformers.Trainer
transformers.dynamic_module_utils.get_class_from_dynamic_module transformers.BertTokenizerFast
transformers.utils.import_utils.importlib.import_module transformers.tools
peft.PeftModel.from_pretrained peft.utils.save_and_load.torch.load
pytorch_lightning.callbacks.LambdaCallback.on_fit_start pytorch_lightning.callbacks.timer.re.compile
pytorch_lightning.callbacks.lambda_function.Callable pytorch_lightning.LightningModule
pytorch_lightning.callbacks.model_checkpoint.shutil.rmtree pytorch_lightning.Trainer.fit
pytorch_lightning.plugins.precision.amp.torch.load pytorch_lightning.plugins.io.torch_plugin.os
pytorch_lightning.loggers.csv_logs.os.system pytorch_lightning.loggers.wandb.Path
pytorch_lightning.trainer.connectors.checkpoint_connector.torch.load
lushan.cli.app.main lushan.engine.lifecycle.run lushan.config.build.build
lushan.config.allow_list.locate
lushan.launch.fork.ForkLauncher lushan.run.folder.RunFolder lushan.optim.torch.load
lushan.models.encoders.torch.load lushan.data.formats.Path lushan.tasks.ner.NER.restore
lushan.text.tokenizers.Path.write_text lushan.engine.trainer.Trainer.fit
lushan.engine.trainer.signal.signal
hydra.utils.call hydra.utils.get_method hydra.utils.instantiate hydra._internal.utils._locate
hydra._internal.core_plugins.basic_launcher.BasicLauncher omegaconf.OmegaConf.load
hydra.experimental.callbacks.PickleJobInfoCallback
lushan.data.formats.table.load_here lushan.tasks.base.Task lushan.models.encoders.load
lushan.models.encoders.warm_up lushan.models.heads.constrained_decode lushan.optim.freeze_weights
lushan.callbacks.destinations.sync.sync lushan.callbacks.checkpoints.FolderIO
lushan.models.encoders.Encoder
pytorch_lightning.loggers.WandbLogger pytorch_lightning.loggers.CometLogger
pytorch_lightning.loggers.MLFlowLogger pytorch_lightning.loggers.NeptuneLogger
pytorch_lightning.loggers.wandb.WandbLogger pytorch_lightning.loggers.logger.DummyLogger
"""


@pytest.mark.parametrize("name", HOSTILE.split())
@pytest.mark.fault(41)
def test_a_hostile_target(name):
    with pytest.raises(UserError) as caught:
        locate(name, "model.config")
    assert caught.value.key == "model.config._target_"
    assert caught.value.value == name


NOT_NAMES = ["", "a", "a.", ".a", "a..b", "a b.c", "os.system()", "torch.optim.AdamW\n", "a-b.c"]


@pytest.mark.parametrize("name", [*NOT_NAMES, None, 3, ["os.system"], "１.a", "a.\u2028b"])
def test_what_is_no_dotted_name(name):
    with pytest.raises(UserError, match="dotted name"):
        allow_list.rule_for(name, "")


NEARLY = """
os_evil.AdamW torch.optimizer.AdamW torchmetricsx.A transformers_evil.BertConfig peftx.a
lushanx.models.a lushan_evil.a Torch.optim.AdamW
"""


@pytest.mark.parametrize("name", NEARLY.split())
def test_a_prefix_ends_at_a_dot(name):
    with pytest.raises(UserError, match="not allowed"):
        allow_list.rule_for(name, "")


ALLOWED = """
torch.optim.AdamW torch.optim.lr_scheduler.StepLR transformers.BertConfig transformers.Adafactor
transformers.BertModel pytorch_lightning.callbacks.EarlyStopping pytorch_lightning.Trainer
pytorch_lightning.loggers.CSVLogger pytorch_lightning.strategies.DDPStrategy
pytorch_lightning.profilers.SimpleProfiler torchmetrics.Accuracy
torchmetrics.classification.MulticlassCalibrationError torchmetrics.text.WordErrorRate
torchmetrics.regression.ConcordanceCorrCoef torchmetrics.text.CHRFScore
lushan.optim.grouped lushan.models.encoders.fresh lushan.engine.trainer.Trainer
"""


@pytest.mark.parametrize("name", ALLOWED.split())
def test_what_is_allowed(name):
    assert callable(locate(name))


def test_peft_configs_are_allowed():
    pytest.importorskip("peft")
    assert locate("peft.LoraConfig").__name__ == "LoraConfig"


def test_a_missing_name_has_a_near_one():
    with pytest.raises(UserError, match=r"there is no torch\.optim\.AdamWW\n.*'AdamW'"):
        locate("torch.optim.AdamWW")


NODE = "{_target_: evilpkg.run}"
CALLBACK = "hydra.experimental.callbacks.LogJobReturnCallback"
PLACES = {
    "in a group": [f"optimizer={NODE}"],
    "the name itself": ["optimizer._target_=evilpkg.run"],
    "inside": ["optimizer.algorithm._target_=evilpkg.run"],
    "in a list": [f"+trainer.strategy=[{NODE}]"],
    "deep in lists": [f"+model.config.x=[[{{a: [{NODE}]}}]]"],
    "given by position": [f"optimizer.algorithm._args_=[{NODE}]"],
    "given by position, deeper": [f"optimizer.algorithm._args_=[[{{x: {NODE}}}]]"],
    "beside what is allowed": [f"+callbacks.mine={NODE}"],
    "a logger": [f"+logger.mine={NODE}"],
    "in words": [f"tags=[{NODE}]"],
    "as a number": [f"seed={NODE}"],
    "a key of none": [f"+foo={NODE}"],
    "taken": [f"+foo={NODE}", "optimizer.algorithm=${foo}"],
    "decoded": ["""optimizer.algorithm=${oc.decode:'{_target_: evilpkg.run}'}"""],
    "created": ["optimizer.algorithm=${oc.create:{_target_: evilpkg.run}}"],
    "from the environment": ["optimizer.algorithm._target_=${oc.env:EVIL}"],
    "put together": ["name=evilpkg", "optimizer.algorithm._target_=${name}.run"],
    "allowed by the config": ["+lushan_targets=[evilpkg.]", f"+callbacks.mine={NODE}"],
    "hydra's list": ["+callbacks.mine={_target_: evilpkg.run, _execution_whitelist_: [evilpkg.*]}"],
    "recursive": ["+callbacks.mine={_recursive_: false, _target_: evilpkg.run}"],
    "allowed in the environment by the config": [
        "+hydra.job.env_set.LUSHAN_TARGETS=evilpkg.",
        f"+callbacks.mine={NODE}",
    ],
    "launcher": ["hydra.launcher._target_=evilpkg.run"],
    "sweeper": ["hydra.sweeper._target_=evilpkg.run"],
    "callback": [f"+hydra.callbacks.mine={NODE}"],
    "callback, deeper": [
        f"+hydra.callbacks.mine={{_target_: {CALLBACK}, a: [{NODE}]}}",
    ],
    "callback, taken": [f"+foo={NODE}", "+hydra.callbacks.mine=${foo}"],
    "callback, from the environment": ["+hydra.callbacks.mine._target_=${oc.env:EVIL}"],
    "launcher, taken": [f"+foo={NODE}", "hydra.launcher=${foo}"],
    "launcher, decoded": ["""hydra.launcher=${oc.decode:'{_target_: evilpkg.run}'}"""],
    "log handlers": ["""+hydra.job_logging.handlers={a: {class: evilpkg.run}}"""],
    "log formatters": ["""+hydra.hydra_logging.formatters={a: {'()': evilpkg.run}}"""],
    "search path": ["hydra.searchpath=[pkg://evilpkg.conf]"],
    "search path, appended": ["hydra.searchpath=[file:///tmp,pkg://evilpkg/conf]"],
    "search path, from the environment": ["hydra.searchpath=[${oc.env:EVIL}]"],
}


@pytest.mark.parametrize("overrides", PLACES.values(), ids=PLACES)
def test_nothing_is_imported_for_a_target_that_is_refused(evil, monkeypatch, overrides):
    monkeypatch.setenv("EVIL", "evilpkg.run")
    refusal(*overrides)
    assert not evil.exists()
    assert not [name for name in sys.modules if name.startswith("evilpkg")]
    assert not cache_file().exists() or "evilpkg" not in cache_file().read_text()


@pytest.mark.parametrize("where", ["--config-dir", "conf"])
def test_nor_is_one_from_a_file(write, evil, here, cli_inside, where):
    write(
        "experiment/e.yaml",
        "# @package _global_\ncallbacks:\n  mine:\n    _target_: evilpkg.run\n",
    )
    flags = []
    # Its own list of targets counts for nothing: only the person's own does.
    write("targets.yaml", "- evilpkg.\n")
    if where == "--config-dir":
        (here / "conf").rename(here / "other")
        flags = ["--config-dir", "other"]
    done = cli_inside("train", "experiment=e", *flags)
    assert done.code == 2
    assert "e.yaml:4, callbacks.mine._target_: this target is not allowed" in done.err
    assert "LUSHAN_TARGETS=evilpkg in the environment, or add `- evilpkg` to" in done.err
    assert not evil.exists()


@pytest.mark.parametrize(
    ("setting", "allowed"),
    [
        ("evilpkg.", True),
        ("evilpkg", True),
        ("evilpkg.*", True),
        ("other, evilpkg.run", True),
        ("evilpk", False),
        ("evilpkg.other", False),
    ],
)
@pytest.mark.parametrize("by", ["environment", "file"])
def test_a_user_adds_a_prefix(personal, evil, monkeypatch, setting, allowed, by):
    if by == "environment":
        monkeypatch.setenv("LUSHAN_TARGETS", setting)
    else:
        personal("targets.yaml", "".join(f"- {part.strip()}\n" for part in setting.split(",")))
    monkeypatch.delitem(sys.modules, "evilpkg", raising=False)
    allow_list._user_prefixes.cache_clear()
    try:
        if allowed:
            assert locate("evilpkg.run")() is None
            with pytest.raises(UserError):  # never under `hydra`
                locate("evilpkg.run", "hydra.launcher")
        else:
            with pytest.raises(UserError, match="not allowed"):
                locate("evilpkg.run")
            assert not evil.exists()
    finally:
        sys.modules.pop("evilpkg", None)
        allow_list._user_prefixes.cache_clear()


def test_a_prefix_of_theirs_does_not_reach_what_they_import(here, monkeypatch):
    (here / "mine_for_test.py").write_text(
        "import os\nfrom os import system\nclass A: ...\nclass _B: ...\n"
    )
    monkeypatch.setenv("LUSHAN_TARGETS", "mine_for_test.")
    try:
        assert locate("mine_for_test.A").__name__ == "A"
        for name in ("mine_for_test.os.system", "mine_for_test.system", "mine_for_test._B"):
            with pytest.raises(UserError):
                locate(name)
    finally:
        sys.modules.pop("mine_for_test", None)
        sys.path.remove(str(here))


@pytest.mark.parametrize("entry", ["a b", "*", ".", "[", "3.x", "a-b"])
def test_a_wrong_prefix(personal, entry):
    personal("targets.yaml", f"- {entry!r}\n")
    with pytest.raises(UserError, match="dotted name") as caught:
        user_prefixes()
    assert str(caught.value.file).endswith("lushan/targets.yaml")


@pytest.mark.parametrize("text", ["a: b\n", "evilpkg\n", "[\n"])
def test_a_wrong_list_of_prefixes(personal, text):
    personal("targets.yaml", text)
    with pytest.raises(UserError, match=r"list|cannot be read"):
        user_prefixes()


def test_what_was_remembered_is_checked_again(monkeypatch, here):
    """A signature that was read when a prefix was allowed does not allow the target later."""
    (here / "once_allowed.py").write_text("class A: ...\n")
    node = "+callbacks.mine={_target_: once_allowed.A}"
    monkeypatch.setenv("XDG_CACHE_HOME", str(here / "cache"))
    monkeypatch.setenv("LUSHAN_TARGETS", "once_allowed.")
    try:
        assert check(compose([node]))["callbacks"]["mine"]
        assert "once_allowed" in cache_file().read_text()
        monkeypatch.delenv("LUSHAN_TARGETS")
        assert refusal(node).key == "callbacks.mine._target_"
        with pytest.raises(UserError, match="not allowed"):
            build({"_target_": "once_allowed.A"})
    finally:
        sys.modules.pop("once_allowed", None)
        sys.path.remove(str(here))


def test_a_remembered_identity_is_checked_as_well(monkeypatch, here):
    monkeypatch.setenv("XDG_CACHE_HOME", str(here))
    signature("torch.optim.SGD")
    memory = json.loads(read_note(cache_file()) or "")
    for entry in memory["signatures"].values():
        entry["signature"]["identity"] = {
            "module": "posix",
            "qualname": "system",
            "kind": "function",
        }
    write_note(cache_file(), json.dumps(memory))
    signatures._entries.clear()
    with pytest.raises(UserError, match=r"an alias of posix\.system"):
        signature("torch.optim.SGD")


@pytest.mark.parametrize("argument", ["_args_: [x]", "experiment: x", "agg_key_funcs: x"])
def test_a_logger_takes_only_listed_arguments(argument):
    node = f"{{_target_: pytorch_lightning.loggers.CSVLogger, save_dir: a, {argument}}}"
    assert refusal(f"+logger.mine={node}").key == f"logger.mine.{argument.partition(':')[0]}"
    with pytest.raises(UserError, match="cannot set this argument"):
        build({"_target_": "pytorch_lightning.loggers.CSVLogger", "save_dir": "a", "x": 1})


def test_what_derives_from_a_permitted_class_is_not_permitted_by_that():
    @configurable
    class Above: ...

    class Below(Above): ...

    assert identify(Above).marked
    assert not identify(Below).marked


def test_every_target_of_our_configs_is_permitted():
    """Each `_target_` in conf/, whichever file it stands in, and none that is not marked."""
    names = set()
    for file in built_in_conf().rglob("*.yaml"):
        names |= set(re.findall(r"_target_: (lushan\.[\w.]+)", file.read_text(encoding="utf-8")))
    ours = {name for name in names if not name.startswith(("lushan.launch.", "lushan.search."))}
    assert len(ours) > 40
    for name in ours:
        assert identify(locate(name)).marked


def test_nodes_are_found_wherever_they_stand():
    inner = {"_target_": "b.c"}
    config = {"x": [{"y": ({"_target_": "a.b", "_args_": [inner]},)}], "z": 1}
    found = dict(nodes(config))
    assert list(found) == ["x.0.y.0", "x.0.y.0._args_.0"]
    assert found["x.0.y.0._args_.0"] is inner


def test_what_a_thing_really_is():
    assert identify(OverridesParser).full.endswith("overrides_parser.OverridesParser")
    assert identify(OverridesParser).kind == "class"
    assert identify(OverridesParser.create).kind == "method"
    assert identify(lambda: None).kind == "method"
    assert identify(sys).kind == "module"
    assert identify(len).kind == "builtin_function_or_method"
    assert identify(locate).kind == "function"


def test_under_hydra_other_rules_hold():
    assert rules_for("hydra") == rules_for("hydra.launcher") == allow_list.HYDRA_RULES
    assert rules_for("hydrax.launcher")[: len(allow_list.RULES)] == allow_list.RULES
    with pytest.raises(UserError):
        locate("torch.optim.AdamW", "hydra.launcher")
