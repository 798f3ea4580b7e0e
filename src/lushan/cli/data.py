"""The commands of public data sets: `lushan data list` and `lushan data get`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from lushan.cli.flags import AsJson, echo_json
from lushan.cli.models import examples
from lushan.common.terminal import echo, hint
from lushan.errors import UserError

if TYPE_CHECKING:
    from lushan.public_sets import DataSet

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="List and download the public data sets of the presets.",
)


def add_to(other: typer.Typer) -> None:
    """Give an application these commands."""
    other.add_typer(app, name="data")


@app.command("list", epilog=examples("lushan data list", "lushan data list --json"))
def list_sets(as_json: AsJson = False) -> None:
    """List public data sets: size, whether they are downloaded, licence."""
    from lushan import public_sets
    from lushan.sets.space import size_text
    from lushan.sets.store import local

    sets = public_sets.known()
    if as_json:
        echo_json([_described(one) for one in sets.values()])
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
            help="Name of a data set, of a preset or on the Hub, or a YAML file for a data set.",
            show_default=False,
        ),
    ],
    as_json: AsJson = False,
    yes: Annotated[bool, typer.Option("--yes", help="Download without confirmation.")] = False,
) -> None:
    """Download data sets to the cache and verify them; print their folders."""
    from lushan import public_sets
    from lushan.sets import store

    sets = [public_sets.find(name) for name in names]
    found = []
    for one in sets:
        folder = store.local(one.name)
        if folder is None:
            _introduce(one)
            _require_consent(one, yes=yes)
        if folder is None or folder.parent == store.cache():  # where it is checked, too
            folder = store.get(one, lambda line: echo(f"note: {line}", err=True))
        found.append({**_described(one), "folder": str(folder)})
        if not as_json:
            echo(folder)
    if as_json:
        echo_json(found)


def _introduce(one: DataSet) -> None:
    from lushan.sets.space import size_text

    hint(f"{one.name}: {one.title}\n  {one.licence}; {one.source}")
    hint(f"  {size_text(one.bytes)} to download. {one.note or ''}".rstrip())


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
            "the data set is large or has a restrictive licence, so your consent is required",
            value=one.name,
            hint="Add --yes.",
        )
    typer.confirm("Download it?", abort=True, err=True)
