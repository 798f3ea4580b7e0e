"""The command `serve`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from lushan.cli.flags import require_ray
from lushan.cli.guard import GuardLabel, GuardRate, GuardRun, Redact, guard_of
from lushan.cli.models import examples
from lushan.common import extras
from lushan.errors import UserError

_MEGABYTE = 1 << 20
_NEEDED = ("fastapi", "starlette", "uvicorn", "prometheus_client")


def add_to(app: typer.Typer) -> None:
    """Give an application this command."""
    app.command(
        epilog=examples(
            "lushan serve outputs/sample_chat/0a1b2c3d4e",
            "lushan serve names=outputs/wnut17/0a1b2c3d4e answers=outputs/xquad/5f6a7b8c9d",
            "lushan serve RUN shop=hotels.yaml --guard GUARD --redact",
            "LUSHAN_KEY=... lushan serve RUN --host 0.0.0.0 --port 80",
            "lushan serve outputs/sample_chat/0a1b2c3d4e --ray --replicas 4",
        )
    )(serve)


def serve(
    runs: Annotated[
        list[str],
        typer.Argument(
            help="Run folders, models in Hugging Face format, or YAML files of assistants. "
            "NAME=RUN sets the name of one.",
            show_default=False,
        ),
    ],
    host: Annotated[
        str,
        typer.Option(
            help="Address to listen on. 0.0.0.0 is for other machines, and requires a key."
        ),
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port; 0 for any free port.", min=0, max=65535)] = 8000,
    key_file: Annotated[
        Path | None,
        typer.Option(
            help="File of API keys, one a line. LUSHAN_KEY sets another.", show_default=False
        ),
    ] = None,
    batch: Annotated[
        int, typer.Option(help="Number of texts that a model generates at a time.")
    ] = 16,
    queue: Annotated[
        int, typer.Option(help="Maximum number of texts in the queue; more are refused with 429.")
    ] = 64,
    timeout: Annotated[
        float, typer.Option(help="Timeout of a request in seconds; then 504.")
    ] = 300,
    max_body: Annotated[
        float,
        typer.Option(
            help="Maximum size of a request in megabytes; larger ones are refused with 413."
        ),
    ] = 4,
    max_new_tokens: Annotated[
        int, typer.Option(help="Maximum number of new tokens of a text.")
    ] = 4096,
    max_connections: Annotated[
        int | None,
        typer.Option(
            help="Maximum number of open connections; more are refused with 503. Default: 512.",
            show_default=False,
        ),
    ] = None,
    guard: GuardRun = None,
    guard_rate: GuardRate = None,
    guard_label: GuardLabel = None,
    redact: Redact = False,
    ray: Annotated[
        bool,
        typer.Option("--ray", help="Serve replicas on the Ray cluster at RAY_ADDRESS, or locally."),
    ] = False,
    replicas: Annotated[
        int | None,
        typer.Option(help="With --ray: number of replicas. Default: 2.", min=1),
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Load the runs, print what would be served, and exit.")
    ] = False,
) -> None:
    """Serve runs over HTTP: OpenAI's API for generation, /predict for other tasks, and a page.

    The page is at /, the API schema at /openapi.json, Prometheus metrics at /metrics. On SIGTERM
    or Ctrl-C the server finishes the current requests; a second signal stops it at once.
    """
    from lushan.inference import early

    require_ray("--replicas", replicas, ray=ray)
    if ray and (guard is not None or redact):
        key = "--redact" if guard is None else "--guard"
        raise UserError("is not supported with --ray yet", key=key)
    if ray and (check or not port):
        raise UserError("does not support --check or --port 0", key="--ray")
    if ray and max_connections is not None:
        raise UserError(
            "has no effect with --ray: its proxy limits connections", key="--max-connections"
        )
    extras.require("serve", *_NEEDED, what="serving", key="serve")
    places = early.named_places(runs)
    from lushan.serve import limits
    from lushan.serve.front import Access

    bounds = limits.Bounds(
        batch=batch,
        waiting=queue,
        seconds=timeout,
        body=int(max_body * _MEGABYTE),
        new_tokens=max_new_tokens,
        connections=limits.Bounds.connections if max_connections is None else max_connections,
    )
    bounds.require_sound()
    access = Access.of(host, key_file, os.environ)
    if ray:
        from lushan.launch.cluster import require

        require("ray.serve", "ray,serve")
        from lushan.serve import cluster

        address = cluster.Address(host, port)
        cluster.serve(places, access, bounds, address=address, replicas=replicas or 2)
        return
    from lushan.serve.listening import bound_socket

    listening = bound_socket(host, port)
    from lushan.serve import process

    checks = guard_of(guard, guard_label, guard_rate, redact)
    process.serve(places, access, bounds, listening=listening, guard=checks, check=check)
