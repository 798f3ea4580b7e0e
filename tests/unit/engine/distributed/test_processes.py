"""Which processes there are, and what is said where they are not those of the config."""

import subprocess
import types

import pytest
from pytorch_lightning.plugins.environments import LightningEnvironment, SLURMEnvironment

from lushan.engine import lifecycle
from lushan.engine.devices import require_alone
from lushan.engine.distributed import rank_launcher
from lushan.engine.distributed.rank_launcher import (
    Launcher,
    Observer,
    environment,
    others_named,
)
from lushan.engine.trainer import Trainer
from lushan.errors import RunFailed, UserError

SRUN = {
    "SLURM_JOB_ID": "123456",
    "SLURM_JOB_NAME": "train",
    "SLURM_NTASKS": "4",
    "SLURM_NTASKS_PER_NODE": "2",
    "SLURM_NNODES": "2",
    "SLURM_NODELIST": "node[07-08]",
    "SLURM_PROCID": "3",
    "SLURM_LOCALID": "1",
    "SLURM_NODEID": "1",
    "SLURM_STEP_ID": "0",
}
TORCHRUN = {
    "TORCHELASTIC_RUN_ID": "none",
    "RANK": "1",
    "GROUP_RANK": "0",
    "LOCAL_RANK": "0",
    "LOCAL_WORLD_SIZE": "2",
    "WORLD_SIZE": "2",
}


@pytest.fixture(autouse=True)
def nobody_started_it(monkeypatch):
    for name in (*SRUN, *TORCHRUN):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def started(monkeypatch):
    """Let the environment be as a launcher leaves it."""

    def by(variables, **changed):
        for name, value in {**variables, **changed}.items():
            if value is None:
                monkeypatch.delenv(name, raising=False)
            else:
                monkeypatch.setenv(name, value)

    return by


def test_slurm_says_who_is_who(started):
    started(SRUN)
    found = environment(2)
    assert isinstance(found, SLURMEnvironment)
    assert not found.auto_requeue
    assert (found.global_rank(), found.local_rank(), found.node_rank()) == (3, 1, 1)
    assert (found.world_size(), found.main_address) == (4, "node07")
    assert lifecycle.rank() == 3


def test_several_processes_without_srun_are_refused(started):
    started(SRUN, SLURM_STEP_ID=None)
    with pytest.raises(UserError, match="not started by srun"):
        environment(2)


def test_slurm_must_say_how_many_a_machine_has(started):
    started(SRUN, SLURM_NTASKS_PER_NODE=None)
    with pytest.raises(UserError, match="ntasks-per-node"):
        environment(2)


def test_a_job_of_one_task_starts_its_own_processes(started):
    started(SRUN, SLURM_NTASKS="1", SLURM_PROCID="0")
    assert isinstance(environment(1), LightningEnvironment)
    assert lifecycle.rank() == 0


def test_a_shell_in_slurm_is_a_machine_like_another(started):
    started(SRUN, SLURM_JOB_NAME="bash", SLURM_NTASKS="1", SLURM_PROCID="0")
    assert environment(1) is None


def test_torchrun_is_found_by_lightning(started):
    started(TORCHRUN)
    assert environment(2) is None
    assert lifecycle.rank() == 1


def test_other_machines_need_somebody_to_start_them():
    with pytest.raises(UserError, match=r"docs/scale\.md"):
        environment(2)


@pytest.mark.parametrize("variables", [SRUN, TORCHRUN])
def test_several_processes_and_a_config_for_one(variables, started):
    require_alone()
    started(variables)
    with pytest.raises(UserError, match=r"processes were started.*for one"):
        Trainer(accelerator="cpu", devices=1, logger=False)


def test_other_processes_than_were_started(started, tmp_path):
    started(TORCHRUN, RANK="0")
    trainer = Trainer(accelerator="cpu", devices=4, strategy="ddp", default_root_dir=tmp_path)
    with pytest.raises(UserError, match="do not match the config"):
        trainer.strategy.launcher.launch(lambda: None, trainer=trainer)


def test_matrices_are_cut_for_whole_groups():
    trainer = Trainer(accelerator="cpu", devices=3, tensor_parallel=2, logger=False)
    with pytest.raises(UserError, match="not a multiple"):
        trainer.strategy.setup_environment()
    with pytest.raises(UserError, match="1 or more"):
        Trainer(accelerator="cpu", devices=1, tensor_parallel=0, logger=False)


@pytest.mark.parametrize(
    "printed",
    [
        "[../third_party/gloo/gloo/transport/tcp/pair.cc:547] Connection closed by peer [::1]:4711",
        "Application timeout caused pair closure",
    ],
)
def test_who_does_not_answer_is_named(printed):
    strategy = types.SimpleNamespace(lost=["rank 1 did not respond and was terminated"])
    named = pytest.raises(
        RunFailed, match=r"^rank 1 did not respond and was terminated: see its error"
    )
    with named, others_named(strategy):
        raise RuntimeError(printed)


def test_an_error_of_its_own_is_not_hidden_by_who_does_not_answer():
    strategy = types.SimpleNamespace(lost=["rank 1 did not respond and was terminated"])
    with pytest.raises(RuntimeError, match="shapes do not fit"), others_named(strategy):
        raise RuntimeError("shapes do not fit")


@pytest.fixture
def first(monkeypatch):
    """Stands for the first rank; what becomes of it says whether the observer has ended it."""
    monkeypatch.setattr(rank_launcher, "NOTICE", 0.5)
    process = subprocess.Popen(["sleep", "60"])
    yield process
    process.kill()
    process.wait()


@pytest.fixture
def launcher():
    """Has started one other rank, which ends badly at once."""
    launcher = Launcher(LightningEnvironment(), num_processes=2, num_nodes=1)
    launcher.procs = [subprocess.Popen(["false"])]
    return launcher


def test_who_sees_to_the_end_of_the_others_is_not_ended_itself(first, launcher):
    observer = Observer(first.pid, launcher.procs, sleep_period=0)
    launcher.procs[0].wait()
    observer.start()
    launcher.end_children(grace=1.0)
    observer.join()
    assert first.poll() is None
    assert launcher.lost == ["rank 1 ended with exit code 1"]


@pytest.mark.slow(1)
def test_who_waits_in_vain_is_ended(first, launcher, capfd):
    Observer(first.pid, launcher.procs, sleep_period=0).start()
    assert first.wait(timeout=50) == -9
    assert "while this one waited for it" in capfd.readouterr().err
