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
            help="Run folders, models in Hugging Face format, or the YAML files of assistants; "
            "NAME=RUN names one.",
            show_default=False,
        ),
    ],
    host: Annotated[
        str, typer.Option(help="Address to listen at; other machines reach 0.0.0.0 with a key.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="0 takes one that is free.", min=0, max=65535)] = 8000,
    key_file: Annotated[
        Path | None,
        typer.Option(
            help="A file of keys, one a line; LUSHAN_KEY holds another.", show_default=False
        ),
    ] = None,
    batch: Annotated[int, typer.Option(help="Texts that a model writes at a time.")] = 16,
    queue: Annotated[
        int, typer.Option(help="Texts that may wait beside them; more are refused with 429.")
    ] = 64,
    timeout: Annotated[float, typer.Option(help="Seconds of a request; then 504.")] = 300,
    max_body: Annotated[
        float, typer.Option(help="Megabytes of a request; larger ones are refused with 413.")
    ] = 4,
    max_new_tokens: Annotated[int, typer.Option(help="Tokens of a text, at most.")] = 4096,
    max_connections: Annotated[
        int | None,
        typer.Option(
            help="Open at a time, 512 when not given; requests of more are refused with 503.",
            show_default=False,
        ),
    ] = None,
    guard: GuardRun = None,
    guard_rate: GuardRate = None,
    guard_label: GuardLabel = None,
    redact: Redact = False,
    ray: Annotated[
        bool,
        typer.Option(
            "--ray", help="Serve from replicas on the Ray cluster at RAY_ADDRESS, or here."
        ),
    ] = False,
    replicas: Annotated[
        int | None,
        typer.Option(help="With --ray: how many hold the runs; 2 when not given.", min=1),
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Load the runs, say what would be served, and end.")
    ] = False,
) -> None:
    """Serve runs: OpenAI's interface for those that write, /predict for others, and a page.

    The page is at /, the document at /openapi.json, counts for Prometheus at /metrics. A first
    SIGTERM or Ctrl-C ends the server after the requests that have begun, a second one at once.
    """
    from lushan.inference import early

    require_ray("--replicas", replicas, ray=ray)
    if ray and (guard is not None or redact):
        key = "--redact" if guard is None else "--guard"
        raise UserError("replicas of --ray are not guarded yet", key=key)
    if ray and (check or not port):
        raise UserError("--ray takes no --check, and a port that is known", key="--ray")
    if ray and max_connections is not None:
        raise UserError("connections of --ray are its proxy's", key="--max-connections")
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
