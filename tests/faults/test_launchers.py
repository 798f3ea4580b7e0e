"""Processes that others start: torchrun on two agents, on two hosts, SLURM's variables."""

import contextlib
import json
import os
import random
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest
import torch.distributed.run

from lushan.run.folder import RunFolder
from tests.helpers import command, forked, narrow
from tests.helpers.waiting import until

pytestmark = pytest.mark.slow

RUN = (
    "data=sample_ner",
    "data.limit=40",
    *narrow.narrowed(command.SMALL),
    "trainer.max_steps=4",
    "trainer.max_epochs=null",
    "name=several",
)
PARALLEL = ("trainer.strategy=ddp", "trainer.devices=1", "trainer.num_nodes=2")
SCRIPT = Path(__file__).parents[2] / "scripts" / "two_hosts.sh"


def free_port():
    """One that no connection of other tests is given by the system before it is used."""
    lowest = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    while True:
        port = random.SystemRandom().randrange(lowest // 2, lowest)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return str(port)


def ended(processes, timeout=300):
    """The output of each process; all must end well, and whoever fails ends the others."""
    deadline = time.monotonic() + timeout
    with ThreadPoolExecutor(len(processes)) as readers:
        outputs = [readers.submit(process.communicate) for process in processes]
        while time.monotonic() < deadline and not all(output.done() for output in outputs):
            if any(p.returncode for p in processes):
                deadline = min(deadline, time.monotonic() + 20)
            time.sleep(0.1)
        for process in (p for p, o in zip(processes, outputs, strict=True) if not o.done()):
            for one in psutil.Process(process.pid).children(recursive=True):
                one.kill()  # they hold the pipe
            process.kill()
        texts = [output.result()[0] for output in outputs]
    assert [p.returncode for p in processes] == [0] * len(processes), "\n".join(texts)
    return texts


def torchrun(*words, more, cwd, ranks):
    """An agent, whose ranks are forked like itself: `test_two_hosts` has those of the shell."""
    return forked.Command(
        list(map(str, [*words, "-m", "lushan", "train", *RUN, *more])),
        cwd,
        os.environ | {"OMP_NUM_THREADS": "1"},
        merged=True,
        ranks=ranks,
        program=Path(torch.distributed.run.__file__),
    )


def require_one_run(cwd, first, other):
    """One folder, complete, owned and notified of by the first process alone."""
    (folder,) = {path.parent for path in Path(cwd).glob("outputs/several/*/run.json")}
    assert RunFolder(folder).state == "complete"
    assert RunFolder(folder).result().extra["steps"] == 4
    assert f"run: {folder.relative_to(cwd)}" in first
    assert "run: " not in other
    return folder


@pytest.mark.slow(3)
def test_torchrun_on_two_agents(tmp_path):
    common = ["--nnodes", 2, "--nproc-per-node", 1, "--rdzv-backend", "static"]
    common += ["--master-addr", "127.0.0.1", "--master-port", free_port()]
    agents = [
        torchrun(*common, "--node-rank", rank, more=PARALLEL, cwd=tmp_path, ranks=1)
        for rank in (0, 1)
    ]
    folder = require_one_run(tmp_path, *ended(agents))
    # Their results are there for one process, too.
    again = command.cli("train", *RUN, cwd=tmp_path)
    assert again.folder == folder


@pytest.mark.slow(6)
def test_torchrun_starts_again_what_was_killed(tmp_path):
    longer = ["trainer.max_steps=16", "callbacks.checkpoints.every_n_steps=3"]
    options = ["--nproc-per-node", 2, "--max-restarts", 1, "--rdzv-backend", "c10d"]
    options += ["--rdzv-endpoint", f"localhost:{free_port()}"]
    agent = torchrun(*options, more=[*longer, "trainer=fsdp_sim"], cwd=tmp_path, ranks=4)
    states = "outputs/several/*/checkpoints/step-*"
    until(lambda: len(list(tmp_path.glob(states))) >= 2, said=lambda: "no state was saved")
    _, other, *_ = psutil.Process(agent.pid).children()  # two more wait to be started
    other.kill()
    (text,) = ended([agent])
    assert "resuming from" in text
    (folder,) = tmp_path.glob("outputs/several/*")
    assert RunFolder(folder).result().extra["steps"] == 16


def test_srun_with_two_tasks(tmp_path):
    def task(number):
        variables = {
            "OMP_NUM_THREADS": "1",
            "MASTER_PORT": port,
            "SLURM_JOB_ID": "4242",
            "SLURM_JOB_NAME": "train",
            "SLURM_STEP_ID": "0",
            "SLURM_NTASKS": "2",
            "SLURM_NTASKS_PER_NODE": "1",
            "SLURM_NNODES": "2",
            "SLURM_NODELIST": "127.0.0.1",
            "SLURM_PROCID": str(number),
            "SLURM_LOCALID": "0",
            "SLURM_NODEID": str(number),
        }
        return command.started("train", *RUN, *PARALLEL, cwd=tmp_path, env=variables, merged=True)

    port = free_port()
    require_one_run(tmp_path, *ended([task(0), task(1)]))


@pytest.mark.slow(25)
@pytest.mark.long
@pytest.mark.skipif(os.getuid() != 0, reason="only root can make network namespaces")
@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
def test_two_hosts(strategy, tmp_path):
    probe = subprocess.run(["ip", "netns", "add", "lushan-probe"], check=False, capture_output=True)
    if probe.returncode:
        pytest.skip("no network namespaces here")
    subprocess.run(["ip", "netns", "del", "lushan-probe"], check=True)
    both = subprocess.Popen(
        [SCRIPT, *RUN, f"trainer.strategy={strategy}"],
        cwd=tmp_path,
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHON": sys.executable, "PORT": free_port()},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    (text,) = ended([both])
    require_one_run(tmp_path, text, "")


@pytest.mark.slow(80)
@pytest.mark.fault(57)
@pytest.mark.long
@pytest.mark.timeout(1200)
def test_a_node_of_ray_that_leaves(tmp_path):
    """Its job is begun on another one, and resumes from its last state."""
    pytest.importorskip("hydra_plugins.hydra_ray_launcher")
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    try:
        node = cluster.add_node(num_cpus=1)
        longer = ["trainer.max_steps=400", "callbacks.checkpoints.every_n_steps=3"]
        process = command.popen(
            *("train", "-m", "hydra/launcher=ray", "seed=1", *RUN, *longer),
            f"hydra.launcher.ray.init.address={cluster.address}",
            cwd=tmp_path,
            env={"OMP_NUM_THREADS": "1"},
        )
        until(
            lambda: list(tmp_path.glob("outputs/several/*/checkpoints/step-*")),
            500,  # on a busy machine each of Ray's processes takes long
            process=process,
            said=lambda: "no state was saved",
        )
        cluster.remove_node(node, allow_graceful=False)
        cluster.add_node(num_cpus=1)
        done = command.ended(process, tmp_path, timeout=600)
    finally:
        cluster.shutdown()
    assert done.code == 0, done.err
    assert done.out.splitlines()[-1] == "1 job: 1 complete"
    (state,) = tmp_path.glob("outputs/several/*/run.json")
    folder = RunFolder(state.parent)
    assert "resuming from" in folder.log_txt.read_text()
    assert folder.result().extra["steps"] == 400
    assert json.loads(state.read_text())["attempts"] == 2
