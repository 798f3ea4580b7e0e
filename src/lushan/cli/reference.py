"""The commands that say what can be configured: `options` and `explain`."""

from __future__ import annotations

import shutil
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lushan.cli.flags import AsJson, echo_json
from lushan.cli.models import examples
from lushan.common.terminal import echo
from lushan.errors import UserError

if TYPE_CHECKING:
    from lushan.config.reference import Argument, Option


def add_to(app: typer.Typer) -> None:
    """Give an application these commands."""
    app.command(
        epilog=examples(
            "lushan options",
            "lushan options optimizer",
            "lushan options optimizer/adamw",
            "lushan options experiment/sample/ner",
            "lushan options --schema schemas",
        )
    )(options)
    app.command(
        epilog=examples(
            "lushan explain optimizer.lr",
            "lushan explain data.max_length experiment=sample/ner",
        )
    )(explain)


def options(
    name: Annotated[
        str, typer.Argument(help="Config group, or an option of it.", metavar="[GROUP[/NAME]]")
    ] = "",
    as_json: AsJson = False,
    schema: Annotated[
        Path | None,
        typer.Option(help="Write JSON schemas of the config files to this folder, for editors."),
    ] = None,
) -> None:
    """List the config groups, the options of a group, or the keys of an option."""
    if schema is not None:
        if name:
            raise UserError(
                "--schema writes the schemas of all groups", value=name, hint="Remove the name."
            )
        _write_schemas(schema, as_json=as_json)
        return
    from lushan.config.search_path import conf_folders
    from lushan.config.usage import option_file, options_by_group, summary

    folders = conf_folders()
    known = options_by_group(folders)
    if name and name not in known:
        inside = [group for group in known if name.startswith(f"{group}/")]
        group = max(inside, key=len, default=name.partition("/")[0])
        show_option(group, name.removeprefix(group).removeprefix("/"), as_json=as_json)
        return
    if not name and not as_json:
        echo("\n".join(f"{group}: {', '.join(several)}" for group, several in known.items()))
        return
    summaries = {
        group: {option: summary(option_file(folders, group, option)) for option in several}
        for group, several in known.items()
        if group == name or not name
    }
    if as_json:
        echo_json(summaries)
    else:
        _print_options(name, summaries[name])


def _write_schemas(folder: Path, *, as_json: bool) -> None:
    """Write a schema for each group, and `config.json` for files of the whole config."""
    from lushan.config.folders import built_in_conf
    from lushan.config.json_schema import schemas, written
    from lushan.run.files import write_page

    found = schemas(built_in_conf())
    for name, schema in found.items():
        folder.mkdir(parents=True, exist_ok=True)
        write_page(folder / name, written(schema))
    files = [str(folder / name) for name in found]
    if as_json:
        echo_json(files)
    else:
        echo("\n".join(files))


def _print_options(group: str, summaries: dict[str, str]) -> None:
    width = max(map(len, summaries))
    for option, text in summaries.items():
        echo(_wrapped(f"{option:<{width}}  {text}".rstrip(), width + 2))
    echo(f"\nSelect one with {group}=NAME. `lushan options {group}/NAME` lists its keys.")


def show_option(group: str, name: str, *, as_json: bool = False) -> None:
    """Print an option of a group with the arguments of what it calls."""
    from lushan.config import reference

    found = reference.option(group, name)
    if as_json:
        rows = [one.as_dict() for one in found.arguments]
        content = {
            "choice": found.choice,
            "summary": found.summary,
            "target": found.target,
            "arguments": rows,
        }
        echo_json(content)
        return
    _print_option(found)


def _print_option(found: Option) -> None:
    echo(_wrapped(f"{found.choice}  {found.summary}", 2))
    if found.target is not None:
        echo(f"  calls {found.target}")
    if not found.arguments:
        echo(f"  {found.file}:\n")
        echo(textwrap.indent(found.file.read_text(encoding="utf-8").strip(), "    "))
    for one in found.arguments:
        echo()
        echo(_wrapped(f"{one.key}  {_value(one)}  ({one.type})", 4))
        if one.meaning:
            echo(_wrapped(f"    {one.meaning}", 4))


def _value(one: Argument) -> str:
    from lushan.config.reference import NOTHING, written

    if one.current is NOTHING or one.current == "???":
        return "required"
    return f"= {written(one.current) or repr('')}"


def explain(
    key: Annotated[
        str, typer.Argument(help="Config key, such as optimizer.lr.", show_default=False)
    ],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(help="Overrides, as for `lushan train`.", show_default=False),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Explain a config key: value, where it is set, type, default, meaning, example."""
    from lushan.config.reference import NOTHING, argument, written

    if "=" in key:
        raise UserError("this is an override, not a key", value=key, hint=key.partition("=")[0])
    found, place = argument(key, overrides or ())
    where = None if place is None else place.file + (f":{place.line}" if place.line else "")
    if as_json:
        content = found.as_dict() | {"place": where}
        echo_json(content)
        return
    default = "none"
    if found.default is not NOTHING:
        default = written(found.default) or repr("")
    lines = {
        "value": _value(found).removeprefix("= ") + (f"   {where}" if where else "   by default"),
        "type": found.type,
        "default": default,
        "meaning": found.meaning or "not documented",
        "example": f"lushan train {' '.join([*(overrides or ()), found.example])}",
    }
    echo(found.key)
    for name, text in lines.items():
        echo(_wrapped(f"  {name:<8} {text}", 11))


def _wrapped(text: str, indent: int) -> str:
    width = min(100, shutil.get_terminal_size((100, 24)).columns)
    return textwrap.fill(
        text, width, subsequent_indent=" " * indent, break_long_words=False, break_on_hyphens=False
    )
