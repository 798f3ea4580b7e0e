"""The commands of public data sets: `lushan data list` and `lushan data get`."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from lushan.cli.models import AsJson, examples
from lushan.common.terminal import echo
from lushan.errors import UserError

if TYPE_CHECKING:
    from lushan.public_sets import DataSet

app = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="Public data sets that the presets read."
)


def add_to(other: typer.Typer) -> None:
    """Give an application these commands."""
    other.add_typer(app, name="data")


@app.command("list", epilog=examples("lushan data list", "lushan data list --json"))
def list_sets(as_json: AsJson = False) -> None:
    """List the sets: size, whether they are here, licence."""
    from lushan import public_sets
    from lushan.sets.space import size_text
    from lushan.sets.store import local

    sets = public_sets.known()
    if as_json:
        echo(json.dumps([_described(one) for one in sets.values()], ensure_ascii=False, indent=2))
        return
    width = max(map(len, sets))
    for name, one in sets.items():
        here = local(name)
        size = size_text(one.bytes)
        echo(
            f"{name:<{width}}  {size:>8}  {'here' if here else '-':<4}  {one.title}; {one.licence}"
        )
    echo("\nDownload one with `lushan data get NAME`; presets also do so when they need it.")


@app.command(
    "get",
    epilog=examples(
        "lushan data get wnut17",
        "lushan data get wnut17 weibo_ner --yes --quiet",
        "lushan data get leondz/wnut_17",
        "lushan data get mine.yaml",
    ),
)
def get_sets(
    names: Annotated[
        list[str],
        typer.Argument(
            metavar="NAME...",
            help="Of a set, of a preset, on the hub, or a file that describes a set.",
            show_default=False,
        ),
    ],
    as_json: AsJson = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print the folders only.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Download without asking.")] = False,
) -> None:
    """Download sets to the cache and check them; print their folders."""
    from lushan import public_sets
    from lushan.sets import store

    sets = [public_sets.find(name) for name in names]
    found = []
    for one in sets:
        folder = store.local(one.name)
        if folder is None:
            if not quiet:
                _introduce(one)
            _require_consent(one, yes=yes)
        if folder is None or folder.parent == store.cache():  # where it is checked, too
            folder = store.get(one, lambda line: echo(f"note: {line}", err=True))
        found.append({**_described(one), "folder": str(folder)})
        if not as_json:
            echo(folder)
    if as_json:
        echo(json.dumps(found, ensure_ascii=False, indent=2))


def _introduce(one: DataSet) -> None:
    from lushan.sets.space import size_text

    echo(f"{one.name}: {one.title}\n  {one.licence}; {one.source}", err=True)
    echo(f"  {size_text(one.bytes)} to download. {one.note or ''}".rstrip(), err=True)


def _described(one: DataSet) -> dict[str, object]:
    from lushan.sets.store import local

    return {
        "name": one.name,
        "title": one.title,
        "licence": one.licence,
        "source": one.source,
        "bytes": one.bytes,
        "presets": list(one.presets),
        "hub": one.hub,
        "downloads": [
            {"name": d.name, "url": d.urls[0], "bytes": d.bytes, "sha256": d.sha256}
            for d in one.downloads
        ],
        "folder": str(local(one.name) or "") or None,
    }


def _require_consent(one: DataSet, *, yes: bool) -> None:
    """Ask where a set is large or its terms are not everyone's."""
    from lushan.sets.store import needs_consent

    if yes or not needs_consent(one):
        return
    if not sys.stdin.isatty():
        raise UserError(
            "it is large, or its licence does not allow everything: you have to agree",
            value=one.name,
            hint="Write --yes.",
        )
    typer.confirm("Download it?", abort=True, err=True)
