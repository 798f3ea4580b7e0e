"""Configs that name what must not be called, given to the command as a person would be made to."""

import pickle
from pathlib import Path

import pytest

from tests.helpers import quick

TARGETS = [
    "torch.load",
    "torch.hub.load",
    "torch.hub.load_state_dict_from_url",
    "torch.jit.load",
    "joblib.load",
    "pandas.read_pickle",
    "numpy.load",
    "pickle.load",
    "pathlib.Path.write_text",
    "pathlib.Path",
    "os.system",
    "subprocess.Popen",
    "builtins.eval",
    "builtins.exec",
    "importlib.import_module",
    "shutil.rmtree",
    "torch.nn.modules.module.torch.load",
    "torch.optim.lr_scheduler.torch.hub.load",
    "lushan.run.files.atomic_write",
    "lushan.engine.lifecycle.os.system",
    "transformers.AutoModel.from_pretrained",
    "hydra.utils.instantiate",
    "yaml.unsafe_load",
]
PLACES = ["model", "callbacks.mine", "optimizer.algorithm"]


class Evil:
    """Touches a file when it is unpickled."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return (Path.touch, (self.marker,))


@pytest.fixture
def evil(tmp_path):
    """A file that does something when it is read as a pickle, and the mark that it leaves."""
    path, marker = tmp_path / "evil.pkl", tmp_path / "marker"
    path.write_bytes(pickle.dumps(Evil(marker)))
    return path, marker


@pytest.mark.fault(41)
@pytest.mark.parametrize("place", quick.only(PLACES[:1], PLACES))
@pytest.mark.parametrize("target", TARGETS)
def test_a_hostile_target_is_refused(target, place, evil, cli_inside, tmp_path):
    path, marker = evil
    words = [f"++{place}._target_={target}", f"++{place}._args_=['{path}']"]
    done = cli_inside("train", *words)
    assert done.code == 2, done.err
    assert place in done.err
    assert "Traceback" not in done.err
    assert not marker.exists()
    assert path.exists()
    assert not (tmp_path / "outputs").exists()


@pytest.mark.fault(41)
@pytest.mark.parametrize(
    "words",
    [
        ["++hydra.callbacks.mine={_target_: os.system, _args_: [touch marker]}"],
        ["hydra.sweeper._target_=subprocess.Popen", "-m"],
        ["hydra.launcher._target_=os.system", "-m"],
        ["++hydra.job_logging.handlers.x={class: logging.FileHandler, filename: marker}"],
        ["--experimental-rerun", "evil.pkl"],
        ["--config-dir", "pkg://evil"],
    ],
)
def test_what_hydra_would_run(words, evil, cli_inside):
    _, marker = evil
    done = cli_inside("train", "data=sample_ner", *words)
    assert done.code == 2, done.err
    assert "Traceback" not in done.err
    assert not marker.exists()


@pytest.mark.fault(41)
def test_a_hostile_study(evil, cli_inside, tmp_path):
    path, marker = evil
    study = tmp_path / "study.yaml"
    study.write_text(
        "base: [data=sample_ner]\n"
        f"axes: {{x: {{a: ['++callbacks.mine={{_target_: torch.load, _args_: [{path}]}}']}}}}\n"
    )
    for command in (["study", "run"], ["study", "status"], ["report"]):
        assert cli_inside(*command, study).code == 2
    study.write_text("axes: !!python/object/apply:os.system ['touch marker']\n")
    assert cli_inside("study", "run", study).code == 2
    assert not marker.exists()
