"""What a config may ask of Hydra: nothing that runs code, in a single run, a sweep or a look."""

import sys

import pytest
from tests.helpers.configs import refusal

from lushan.cli.completion import VARIABLE as LINE
from lushan.config.check import check
from lushan.config.compose import compose
from lushan.errors import UserError

VARIABLES = """
LD_PRELOAD PYTHONPATH PYTHONSTARTUP PATH LUSHAN_TARGETS OMP_TOOL_LIBRARIES HF_ENDPOINT
XDG_CACHE_HOME WANDB_BASE_URL XOMP_NUM_THREADS NCCL_DEBUG_FILE MKL_VERBOSE_OUTPUT_FILE
PYTORCH_KERNEL_CACHE_PATH
"""
PRELOADS = "# @package _global_\nhydra:\n  job:\n    env_set: {LD_PRELOAD: x}\n"


@pytest.mark.fault(58)
@pytest.mark.parametrize("name", VARIABLES.split())
def test_a_variable_that_lets_code_in_is_not_set(name):
    error = refusal(f"+hydra.job.env_set.{name}=x")
    assert error.key == f"hydra.job.env_set.{name}"
    assert f"{name}=..." in (error.hint or "")


def test_nor_is_one_copied(monkeypatch):
    monkeypatch.setenv("LD_PRELOAD_X", "x")
    assert refusal("hydra.job.env_copy=[LD_PRELOAD_X]").key == "hydra.job.env_set.LD_PRELOAD_X"


@pytest.mark.parametrize("name", ["OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES", "NCCL_DEBUG"])
def test_a_harmless_variable_is(name):
    check(compose([f"+hydra.job.env_set.{name}='1'"]))


@pytest.mark.parametrize(
    ("override", "key"),
    [
        ("hydra.run.dir=elsewhere", "hydra.run.dir"),
        ("hydra.output_subdir=x", "hydra.output_subdir"),
        ("hydra.job.chdir=true", "hydra.job.chdir"),
        ("hydra/job_logging=default", "hydra.job_logging.handlers"),
        ("hydra/hydra_logging=default", "hydra.hydra_logging.handlers"),
        ("+hydra.job_logging.incremental=true", "hydra.job_logging.incremental"),
        ("hydra.callbacks=${model}", "hydra.callbacks"),
        ("+hydra.launcher.x=${paths}", "hydra.launcher.x"),
        ("+hydra.launcher.x=[${tags}]", "hydra.launcher.x.0"),
    ],
)
def test_what_is_ours_stays_so(override, key):
    error = refusal(override)
    assert (error.key or "").startswith(key)


def test_the_file_and_line_of_it(write):
    write("experiment/e.yaml", PRELOADS)
    error = refusal("experiment=e")
    assert (error.file, error.line) == ("conf/experiment/e.yaml", 4)


LAUNCHERS = ["fork", "basic", "ray", "ray_gpu", "joblib", "submitit_local", "submitit_slurm"]


@pytest.mark.parametrize("name", LAUNCHERS)
def test_every_launcher_is_allowed(name):
    pytest.importorskip(
        {"f": "hydra", "b": "hydra", "r": "hydra_plugins.hydra_ray_launcher"}.get(
            name[0], f"hydra_plugins.hydra_{name.partition('_')[0]}_launcher"
        )
    )
    check(compose([f"hydra/launcher={name}"]))


@pytest.mark.parametrize("more", [[], ["hydra/sweeper/sampler=random"]])
def test_the_search_is_allowed(more):
    pytest.importorskip("hydra_plugins.hydra_optuna_sweeper")
    check(compose(["hydra/sweeper=optuna", *more]))


@pytest.mark.parametrize("launcher", ["fork", "basic"])
def test_a_preset_of_one_job_of_a_sweep_is_checked_too(write, cli_inside, monkeypatch, launcher):
    monkeypatch.setattr("lushan.engine.lifecycle.run", lambda *_, **__: pytest.fail("it was run"))
    write("experiment/a.yaml", PRELOADS)
    write("experiment/b.yaml", "# @package _global_\nseed: 2\n")
    done = cli_inside("train", "-m", f"hydra/launcher={launcher}", "experiment=a,b")
    assert done.code == 2, done.out + done.err
    assert "hydra.job.env_set.LD_PRELOAD" in done.err


@pytest.mark.parametrize("launcher", ["fork", "basic"])
def test_a_job_of_a_sweep_does_not_change_its_launcher(write, cli_inside, launcher):
    text = "# @package _global_\nhydra: {sweeper: {params: {hydra.launcher.jobs: '2,3'}}}\n"
    write("experiment/e.yaml", text)
    done = cli_inside("train", "-m", f"hydra/launcher={launcher}", "experiment=e")
    assert done.code == 2, done.err
    assert "Traceback" not in done.err
    assert "hydra.launcher" in done.err


@pytest.fixture
def untouched(evil):
    """Whether that package was imported is seen at the end."""
    yield
    assert not evil.exists()
    assert "evilpkg" not in sys.modules


LOOKS = [
    ["--cfg", "job"],
    ["--info", "searchpath"],
    ["--info", "defaults"],
    ["--info", "defaults-tree"],
    ["--info", "config"],
    ["--hydra-help"],
    ["-m"],
    [],
]


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize("look", LOOKS, ids=" ".join)
def test_no_package_is_searched_for_configs(cli_inside, look):
    done = cli_inside("train", *look, "hydra.searchpath=[pkg://evilpkg.conf]")
    assert done.code == 2
    assert "hydra.searchpath: configs can only be in folders" in done.err


PLACES = (
    "[pkg://evilpkg.conf]",
    "\"${oc.decode:'[pkg://evilpkg.conf]'}\"",
    '["${oc.env:EVIL}"]',
    "[file:///tmp, pkg://evilpkg/conf]",
)


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize("places", PLACES)
@pytest.mark.parametrize("flags", [["--cfg", "job"], ["--info", "defaults"]], ids=" ".join)
def test_nor_for_a_primary_config(cli_inside, write, monkeypatch, places, flags):
    monkeypatch.setenv("EVIL", "pkg://evilpkg.conf")
    write("own.yaml", f"defaults: [train, _self_]\nhydra:\n  searchpath: {places}\n")
    done = cli_inside("train", "--config-name", "own", *flags)
    assert done.code == 2, done.out
    assert "own.yaml, hydra.searchpath: configs can only be in folders" in done.err


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize("by", ["line", "file"])
def test_nor_for_completion(cli_inside, write, monkeypatch, by):
    line = "lushan train --config-name own model=bert_t"
    if by == "line":
        line = "lushan train hydra.searchpath=[pkg://evilpkg.conf] model=bert_t"
    else:
        write("own.yaml", "defaults: [train, _self_]\nhydra:\n  searchpath: [pkg://evilpkg.conf]\n")
    monkeypatch.setenv(LINE, line)
    done = cli_inside()
    assert done.code == 2
    assert done.out == ""


def test_a_folder_is_searched_for_configs(here, write):
    write("model/own.yaml", "# mine\n_target_: lushan.models.encoders.pretrained\npath: x\n")
    (here / "conf").rename(here / "more")
    cfg = compose([f"hydra.searchpath=[file://{here}/more]", "model=own", "processor=pretrained"])
    assert check(cfg)["model"]["path"] == "x"


def test_a_package_that_the_user_allows_is(evil, monkeypatch):
    monkeypatch.setenv("LUSHAN_TARGETS", "evilpkg.")
    try:
        check(compose(["hydra.searchpath=[pkg://evilpkg.conf]"]))
        assert evil.exists()
        with pytest.raises(UserError, match="only be in folders"):
            compose(["hydra.searchpath=[pkg://evilpkgs.conf]"])
    finally:
        for name in ("evilpkg", "evilpkg.conf"):
            sys.modules.pop(name, None)
