"""Pages of the site that are made when it is built, from signatures: a hook of mkdocs.

Commands with their options, a page for each config group with the arguments of its options, public
data sets, and the settings of other tools. Nothing of it is kept in the repository.
"""

from __future__ import annotations

import functools
import html
import posixpath
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import typer
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from lushan import public_sets
from lushan.cli.app import app
from lushan.common import parsing
from lushan.common.wording import plural
from lushan.config import peers, reference
from lushan.config.search_path import conf_folders
from lushan.config.usage import option_file, options_by_group, summary
from lushan.config.usage import text as train_help
from lushan.errors import UserError
from lushan.sets.space import size_text

OPTIONS = "reference/options"
LINK = re.compile(r"(?<!!)\[([^\]]+)\]\((\.\./[\w./-]+)(#[\w-]*)?\)")
"""A link to a file of a folder above."""
NEEDS: Mapping[str, list[str]] = {
    "processor": ["task=ner"],
}
"""Choices without which the options of a group cannot be composed."""

NOT_NODES = ("experiment", "debug", "hparams_search")
"""Groups whose options change the whole config."""


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put the pages of groups into the navigation."""
    pages = [{group: page_of(group)} for group in groups()]
    config.nav[-1]["Reference"].append({"Options of config groups": pages})
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages."""
    made = {
        "reference/commands.md": commands_page(),
        "reference/sets.md": sets_page(),
        "reference/peers.md": peers_page(),
        **{page_of(group): group_page(group, names) for group, names in groups().items()},
    }
    for path, content in made.items():
        files.append(File.generated(config, path, content=content))
    return files


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Name files of the repository that are no pages, in place of links that lead nowhere."""
    folder = posixpath.dirname(page.file.src_uri)

    def named(found: re.Match[str]) -> str:
        path = posixpath.normpath(posixpath.join(folder, found[2]))
        if not path.startswith("../"):
            return found[0]
        plain = path.removeprefix("../")
        return f"`{plain}`" if found[1].strip("`") == plain else f"{found[1]} (`{plain}`)"

    return LINK.sub(named, markdown)


# Config groups


@functools.cache
def groups() -> dict[str, list[str]]:
    """Return the names of options by their groups."""
    return options_by_group(conf_folders())


def page_of(group: str) -> str:
    """Return the path of a group's page."""
    return f"{OPTIONS}/{group.replace('/', '_')}.md"


def group_page(group: str, names: list[str]) -> str:
    """Write the page of a group: each option with its arguments."""
    parts = [f"# `{group}`", f"{plural(len(names), 'option')}; `{group}=NAME` chooses one."]
    tables = dict[tuple[str, ...], str]()
    for name in names:
        parts += option_part(group, name, tables)
    return "\n\n".join(parts)


def option_part(group: str, name: str, tables: dict[tuple[str, ...], str]) -> Iterator[str]:
    """Yield what is written of an option: what it is for, what it calls, and its arguments.

    Args:
        group: The group.
        name: The option.
        tables: Arguments to the option of the page that has their table.
    """
    file = option_file(conf_folders(), group, name)
    yield f"## `{name}`"
    if about := summary(file):
        yield html.escape(about, quote=False)
    written = f"```yaml\n{file.read_text(encoding='utf-8').strip()}\n```"
    if above := built_on(file, group):
        yield f"Builds on [`{above}`](#{above}), whose keys it has."
        yield written
        return
    found = described(group, name)
    if found is None or not found.arguments:
        yield written
        return
    if (first := tables.setdefault(tuple(a.key for a in found.arguments), name)) != name:
        yield f"Its keys are those of [`{first}`](#{first})."
        yield written
        return
    if found.target:
        yield f"Calls `{found.target}`."
    rows = ["| key | value | type | meaning |", "| --- | --- | --- | --- |"]
    for one in found.arguments:
        cells = (f"`{one.key}`", code(value_of(one)), code(one.type), cell(one.meaning))
        rows.append(f"| {' | '.join(cells)} |")
    yield "\n".join(rows)


def built_on(file: Path, group: str) -> str | None:
    """Return the option of the same group that an option changes; None where there is none."""
    content = parsing.read_yaml(file) or {}
    above = [
        one
        for one in content.get("defaults", ())
        if isinstance(one, str) and one in groups()[group]
    ]
    return above[0] if above else None


def described(group: str, name: str) -> reference.Option | None:
    """Describe an option; None where it can be composed only beside choices of the user's."""
    if group in NOT_NODES or group.startswith("hydra/"):
        return None
    head = group.removeprefix("task/")
    tasks = [[f"task={task}"] for task in groups()["task"]] if head != group else [[]]
    for more in tasks:
        try:
            return reference.option(group, name, [*NEEDS.get(group, []), *more])
        except UserError:
            continue
    return None


def value_of(one: reference.Argument) -> str:
    """Return the value that holds, as YAML writes it."""
    if one.current is reference.NOTHING or one.current == "???":
        return "required"
    return reference.written(one.current) or "''"


def cell(text: str) -> str:
    """Return a text as a cell of a table."""
    return html.escape(" ".join(text.split()), quote=False).replace("|", "\\|")


def code(text: str) -> str:
    """Return a text as code in a cell, shortened where it is long."""
    short = text if len(text) <= 80 else f"{text[:77]}..."
    return f"`{short}`".replace("|", "\\|") if short else ""


# Commands


def commands_page() -> str:
    """Write the page of all commands."""
    parts = ["# Commands", "Each command has `--help`, from which this page is made."]
    for words, command in all_commands(typer.main.get_command(app)):
        parts += command_part(words, command)
    return "\n\n".join(parts)


def all_commands(group: Any, before: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    """Yield the words of each command, and the command."""
    for name, found in group.commands.items():
        if hasattr(found, "commands"):
            yield from all_commands(found, (*before, name))
        else:
            yield " ".join((*before, name)), found


def command_part(words: str, command: Any) -> Iterator[str]:
    """Yield what is written of a command: what it does, what it takes, examples."""
    yield f"## `lushan {words}`"
    if words == "train":
        yield f"```text\n{train_help().partition('Groups (')[0].strip()}\n```"
        return
    yield html.escape(str(command.help or "").strip(), quote=False)
    rows = []
    for param in command.params:
        if param.param_type_name == "argument":
            name = param.metavar or param.name.upper()
        else:
            name = ", ".join(param.opts)
        about = cell(str(getattr(param, "help", None) or ""))
        default = getattr(param, "default", None)
        plain = not isinstance(default, bool) and isinstance(default, str | int | float)
        shown = code(str(default)) if plain and default != "" else ""
        rows.append(f"| {code(name)} | {'required' if param.required else shown} | {about} |")
    if rows:
        yield "\n".join(["| | default | |", "| --- | --- | --- |", *rows])
    if command.epilog:
        lines = [line.strip() for line in str(command.epilog).splitlines()]
        examples = [line for line in lines if line.startswith("lushan ")]
        yield "```\n" + "\n".join(examples) + "\n```"


# Data sets, and other tools


def sets_page() -> str:
    """Write the page of the public data sets."""
    parts = [
        "# Data sets",
        "`lushan data get NAME` downloads one; a preset does so when it needs one. "
        "[How it works](../data.md#data-sets-of-the-presets).",
    ]
    for one in public_sets.known().values():
        facts = {
            "licence": one.licence,
            "from": f"<{one.source}>",
            "presets": ", ".join(f"`data={preset}`" for preset in one.presets),
            "on the hub": f"`{one.hub}`" if one.hub else "",
            "to download": size_text(one.bytes),
            "files": ", ".join(f"`{name}`" for name in one.files),
            "note": one.note or "",
        }
        lines = [f"| {name} | {text} |" for name, text in facts.items() if text]
        parts += [f"## `{one.name}`", one.title, "\n".join(["| | |", "| --- | --- |", *lines])]
        if len(one.downloads) <= 10:
            hashes = [f"{d.sha256 or 'git:' + str(d.git_blob)}  {d.name}" for d in one.downloads]
            parts.append("```text\n" + "\n".join(hashes) + "\n```")
    return "\n\n".join(parts)


def peers_page() -> str:
    """Write the page of other tools' settings."""
    rows = ["| there | here | |", "| --- | --- | --- |"]
    for name, peer in sorted(peers.PEERS.items()):
        choose = f"{peer.choose} " if peer.choose else ""
        here = choose + peer.write.replace("{}", peers.VALUE) if peer.write else ""
        rows.append(f"| `{name}` | {code(here)} | {cell(peer.note)} |")
    return "\n\n".join(
        [
            "# Settings of other tools",
            "The names that transformers, LLaMA-Factory, axolotl, ms-swift, Lightning, NeMo, "
            "torchtune and lightning-hydra-template have for a setting. "
            "`lushan train NAME=VALUE` says the same.",
            "\n".join(rows),
        ]
    )
