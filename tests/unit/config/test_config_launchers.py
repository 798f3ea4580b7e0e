"""What a config file may set of a launcher or sweeper, and what only the person may."""

import pytest
from hydra.types import RunMode
from tests.helpers.configs import refusal

from lushan.config import launcher_settings
from lushan.config.check import check
from lushan.config.compose import Composer, compose
from lushan.config.folders import PRIMARY
from lushan.errors import UserError

SETUP = "# @package _global_\nhydra:\n  launcher:\n    {}\n"
CODE = {
    "commands": ("submitit_slurm", "setup: [touch marker]"),
    "an interpreter": ("submitit_slurm", "python: ./evil.sh"),
    "srun's arguments": ("submitit_slurm", "srun_args: [--task-prolog=evil.sh]"),
    "parameters of sbatch": ("submitit_slurm", "additional_parameters: {wrap: evil.sh}"),
    "where results are unpickled": ("submitit_local", "submitit_folder: elsewhere"),
    "a line break": ("submitit_slurm", 'partition: "a\\ntouch marker"'),
    "a line break in a folder": ("submitit_slurm", '{}\n  sweep: {dir: "a\\nb"}'),
    "an executable of Ray's workers": ("ray", "ray: {init: {runtime_env: {py_executable: ./e}}}"),
    "variables of Ray's workers": (
        "ray",
        "ray: {init: {runtime_env: {env_vars: {PYTHONPATH: evil}}}}",
    ),
    "a runtime environment of a task": ("ray", "ray: {remote: {runtime_env: {pip: [evil]}}}"),
    "a cluster": ("ray", "ray: {init: {address: 'ray://evil:10001'}}"),
    "an expression": ("joblib", "pre_dispatch: __import__('os')"),
    "a folder of pickles": ("joblib", "temp_folder: elsewhere"),
}


@pytest.mark.fault(58)
@pytest.mark.parametrize(("launcher", "text"), CODE.values(), ids=CODE)
def test_a_file_starts_no_program(write, launcher, text):
    write("experiment/e.yaml", SETUP.format(text))
    error = refusal(f"hydra/launcher={launcher}", "experiment=e")
    assert (error.key or "").startswith("hydra.launcher.")


@pytest.mark.fault(58)
@pytest.mark.parametrize("place", ["launcher", "sweeper"])
def test_nor_does_an_option_that_has_the_name_of_ours(write, place):
    name = {"launcher": "fork", "sweeper": "basic"}[place]
    target = {
        "launcher": "hydra_plugins.hydra_submitit_launcher.submitit_launcher.LocalLauncher",
        "sweeper": "hydra_plugins.hydra_optuna_sweeper.optuna_sweeper.OptunaSweeper",
    }[place]
    more = {"launcher": "python: ./evil.sh", "sweeper": "custom_search_space: os.system"}[place]
    write(f"hydra/{place}/{name}.yaml", f"_target_: {target}\n{more}\n")
    assert refusal().key == f"hydra.{place}.{more.partition(':')[0]}"


HARMLESS = {
    "fork": ["jobs: 3"],
    "joblib": ["n_jobs: 2", "backend: multiprocessing"],
    "submitit_slurm": ["partition: gpu-a100", "gres: 'gpu:1'", "mem_gb: 8", "comment: a b"],
    "submitit_local": ["timeout_min: 5", "cpus_per_task: 2"],
    "ray": ["ray: {remote: {num_cpus: 2}}", "ray: {init: {num_cpus: 2}}"],
}


@pytest.mark.parametrize(("launcher", "text"), [(k, t) for k, v in HARMLESS.items() for t in v])
def test_what_a_job_asks_for_is_data(write, launcher, text):
    write("experiment/e.yaml", SETUP.format(text))
    check(compose([f"hydra/launcher={launcher}", "experiment=e"]))


def composed(*typed):
    return Composer(typed=typed).compose_config(PRIMARY, list(typed), RunMode.MULTIRUN)


@pytest.mark.parametrize(
    "typed",
    [
        "hydra.launcher.setup=[module load cuda]",
        "++hydra.launcher.setup=[module load cuda]",
        "hydra.launcher={setup: [module load cuda]}",
    ],
)
def test_the_command_line_may_and_it_is_shown(typed, capsys):
    launcher_settings._report.cache_clear()
    cfg = composed("hydra/launcher=submitit_slurm", typed)
    assert cfg.hydra.launcher.setup == ["module load cuda"]
    assert "hydra.launcher.setup=['module load cuda'] (command line)" in capsys.readouterr().err


def test_what_was_typed_of_one_key_does_not_permit_another(write):
    write("experiment/e.yaml", SETUP.format("python: a"))
    with pytest.raises(UserError, match=r"hydra\.launcher\.python"):
        composed("hydra/launcher=submitit_slurm", "experiment=e", "hydra.launcher.setup=[a]")


def test_an_interpolation_that_was_typed_does_not_bring_a_file_s_value():
    with pytest.raises(UserError, match=r"hydra\.launcher\.python"):
        composed("hydra/launcher=submitit_slurm", "hydra.launcher.python='${name}'", "name=evil")


def test_the_person_s_own_folder_may_and_it_is_shown(personal, write, capsys):
    launcher_settings._report.cache_clear()
    text = "defaults: [submitit_slurm]\nsetup: [module load cuda]\n"
    file = personal("hydra/launcher/cluster.yaml", text)
    cfg = check(compose(["hydra/launcher=cluster"]))
    assert cfg["seed"] == 1
    assert f"hydra.launcher.setup=['module load cuda'] ({file})" in capsys.readouterr().err
    # The same name in the working folder is found first, and is not theirs.
    write("hydra/launcher/cluster.yaml", text.replace("cuda", "evil"))
    assert refusal("hydra/launcher=cluster").key == "hydra.launcher.setup"


@pytest.mark.fault(59)
@pytest.mark.parametrize("sweeper", ["search", "optuna"])
@pytest.mark.parametrize(
    "place",
    [
        *("postgresql://evil/x", "mysql://u:p@evil/x", "redis://evil", "/tmp/x"),
        *("sqlite:////tmp/x.db", "sqlite:///../x.db", "journal.log"),
    ],
)
def test_a_search_s_numbers_stay_here(write, sweeper, place):
    write("experiment/e.yaml", f"# @package _global_\nhydra: {{sweeper: {{storage: '{place}'}}}}\n")
    assert refusal(f"hydra/sweeper={sweeper}", "experiment=e").key == "hydra.sweeper.storage"


@pytest.mark.fault(59)
def test_nor_does_a_trial_send_them_elsewhere(monkeypatch):
    place = "postgresql://somewhere/x"
    trial = f"++trial={{storage: '{place}', study: a, number: 0, metric: val/loss, pruner: null}}"
    assert refusal(trial).key == "trial.storage"
    monkeypatch.setenv("LUSHAN_STORAGE", place)  # as a search hands it to its jobs
    check(compose([trial]))


def test_every_launcher_that_is_listed_is_there():
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher")
    compose([])  # Hydra finds its plugins
    for name in launcher_settings.SETTINGS:
        if ".hydra_" in name:
            part = "launcher" if "launcher" in name else "sweeper"
            assert list(launcher_settings._defaults(part, name)), name
