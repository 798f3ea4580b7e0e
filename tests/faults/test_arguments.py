"""Arguments of permitted targets that would write outside of the working folder, or fetch code."""

from __future__ import annotations

import pytest

from lushan.config import allow_list, rules
from lushan.errors import UserError
from lushan.models import architectures

pytestmark = pytest.mark.fault(76)

LIGHTNING = "pytorch_lightning"
NODES = {
    "profiler": (f"{LIGHTNING}.profilers.SimpleProfiler", "dirpath"),
    "another profiler": (f"{LIGHTNING}.profilers.AdvancedProfiler", "filename"),
    "logger": (f"{LIGHTNING}.loggers.CSVLogger", "save_dir"),
    "its name": (f"{LIGHTNING}.loggers.TensorBoardLogger", "name"),
    "its version": (f"{LIGHTNING}.loggers.csv_logs.CSVLogger", "version"),
    "callback": (f"{LIGHTNING}.callbacks.OnExceptionCheckpoint", "dirpath"),
    "strategy": (f"{LIGHTNING}.strategies.DeepSpeedStrategy", "nvme_path"),
    "by position": (f"{LIGHTNING}.profilers.SimpleProfiler", "_args_"),
}


@pytest.mark.parametrize("place", ["/outside", "../outside", "a/../../outside", "link/x", "~/x"])
@pytest.mark.parametrize("name", NODES)
def test_nothing_is_written_outside(name, place, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "link").symlink_to("/tmp")
    target, argument = NODES[name]
    node = {"_target_": target, argument: [place] if argument == "_args_" else place}
    with pytest.raises(UserError, match="outside the working folder") as caught:
        allow_list.require_arguments(node, "a.b")
    assert caught.value.key == f"a.b.{argument}"
    node[argument] = ["logs/x"] if argument == "_args_" else "logs/x"
    allow_list.require_arguments(node, "a.b")


def test_every_argument_of_lightnings_that_is_a_path_is_known():
    import inspect

    import pytorch_lightning

    words = ("dirpath", "filename", "save_dir", "_path")
    for part in ("callbacks", "loggers", "profilers", "strategies"):
        module = getattr(pytorch_lightning, part)
        for kind in filter(inspect.isclass, (getattr(module, name) for name in module.__all__)):
            for argument in inspect.signature(kind).parameters:
                assert not argument.endswith(words) or argument in rules.PLACES, (kind, argument)


@pytest.mark.parametrize("attention", ["evil/kernel", "kernels-community/flash-attn", "a/b:c", ""])
def test_a_kernel_of_the_hub_is_no_attention(attention):
    with pytest.raises(UserError, match="unknown attention"):
        architectures.options_of(None, "AutoModel", attention)
