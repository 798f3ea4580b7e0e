"""The same server as replicas on a Ray cluster, through Ray Serve.

Each replica holds the runs, and batches what it is asked by itself; Ray spreads requests over them,
restarts one that died, and drains them at the end. Every machine of the cluster sees the folders
of the runs under the same names. The cluster is the one at `RAY_ADDRESS`, or this machine.
"""

from __future__ import annotations

import dataclasses
import importlib
import logging
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from lushan.common.terminal import echo
from lushan.errors import RunFailed, in_a_line
from lushan.launch import cluster
from lushan.serve.front import Access, Front
from lushan.serve.limits import Bounds

NAME = "lushan"


@dataclasses.dataclass(frozen=True)
class Address:
    """Where the server listens.

    Attributes:
        host: Of every machine of the cluster.
        port: Of the same.
    """

    host: str
    port: int


def serve(
    places: Sequence[tuple[str | None, str]],
    access: Access,
    bounds: Bounds,
    *,
    address: Address,
    replicas: int,
    started: Callable[[], None] = lambda: None,
) -> None:
    """Serve runs from replicas until a signal ends it.

    Args:
        places: From `early.named_places`.
        access: Who may ask.
        bounds: Of the requests of a replica.
        address: Where the server listens.
        replicas: How many hold the runs.
        started: Called when they answer.

    Raises:
        RunFailed: The replicas do not start; says why.
    """
    ray = cluster.started()
    ray_serve: Any = importlib.import_module("ray.serve")
    logging.getLogger("ray.serve").setLevel(logging.ERROR)
    with_gpu = ray.cluster_resources().get("GPU", 0) >= replicas
    options = {"host": address.host, "port": address.port}
    ray_serve.start(proxy_location="EveryNode", http_options=options)
    absolute = [(name, _absolute(place)) for name, place in places]

    def application() -> Front:  # built in each replica: Ray Serve knows functions alone
        from lushan.serve.app import make_app
        from lushan.serve.served import open_runs

        return make_app(open_runs(absolute, bounds), access, bounds)

    deployment = ray_serve.deployment(
        ray_serve.ingress(application)(),
        name=NAME,
        num_replicas=replicas,
        ray_actor_options={"num_cpus": 1, "num_gpus": int(with_gpu)},
        max_ongoing_requests=bounds.batch + bounds.waiting,
        graceful_shutdown_timeout_s=bounds.seconds,
        logging_config={"log_level": "ERROR"},  # its log of requests holds paths
    )
    ending: list[int] = []  # an Event would wait in the handler for its own lock
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, _: ending.append(number))
    try:
        ray_serve.run(deployment.bind(), name=NAME)
        echo(f"http://{address.host}:{address.port}/ ({replicas} replicas)", err=True)
        started()
        while not ending:
            time.sleep(0.2)
        echo("shutting down after the current requests", err=True)
    except RuntimeError as error:
        raise RunFailed(f"the replicas did not start: {in_a_line(error)}") from error
    finally:
        ray_serve.shutdown()


def _absolute(place: str) -> str:
    path = Path(place).expanduser()
    return str(path.absolute()) if path.exists() else place
