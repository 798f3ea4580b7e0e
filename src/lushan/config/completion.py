"""Completion in bash: `eval "$(lushan train -sc install=bash)"`."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from hydra._internal.core_plugins.bash_completion import BashCompletion

from lushan.config import origin, usage
from lushan.config.folders import conf_folders
from lushan.errors import UserError

if TYPE_CHECKING:
    from lushan.config.compose import Composer

COMMANDS = (
    *("train", "table", "runs", "eval", "predict", "score", "sync"),
    *("generate", "chat", "export", "page"),
    *("study", "reproduce", "compare", "audit", "report"),
)

# Hydra's own script completes a command without subcommands, and takes `=` out of bash's word
# breaks for every other program too; here what stands before the last break is cut off instead.
SCRIPT = f"""\
_lushan_completion() {{
  local line="${{COMP_LINE:0:COMP_POINT}}" word choices cut
  word="${{line##* }}"
  if [[ "$line" =~ ^[[:space:]]*[^[:space:]]+[[:space:]]+train[[:space:]] ]]; then
    choices="$(COMP_LINE="$line" "${{COMP_WORDS[0]}}" train -sc query=bash 2>/dev/null)"
  elif (( COMP_CWORD == 1 )); then
    choices="{" ".join(COMMANDS)}"
  else
    return
  fi
  COMPREPLY=($(compgen -W "$choices" -- "$word"))
  if [[ "$COMP_WORDBREAKS" == *=* && "$word" == *=* ]]; then
    cut="${{word%"${{word##*=}}"}}"
    COMPREPLY=("${{COMPREPLY[@]#"$cut"}}")
  fi
}}
complete -o nospace -o default -F _lushan_completion lushan"""

UNINSTALL = "complete -r lushan; unset -f _lushan_completion"


def complete(composer: Composer, config_name: str | None, arguments: list[str]) -> str:
    """What `-sc` is asked for.

    Args:
        composer: Knows the config.
        config_name: The primary config.
        arguments: `install=bash`, `uninstall=bash` or `query=bash`.

    Raises:
        UserError: It is something else.
    """
    answers = {
        "install=bash": lambda: SCRIPT,
        "uninstall=bash": lambda: UNINSTALL,
        "query=bash": lambda: "\n".join(
            query(composer, config_name, os.environ.get("COMP_LINE", ""))
        ),
    }
    if len(arguments) != 1 or arguments[0] not in answers:
        raise UserError(
            "completion is there for bash",
            key="-sc",
            value=" ".join(arguments),
            hint='Write eval "$(lushan train -sc install=bash)".',
        )
    return answers[arguments[0]]()


def query(composer: Composer, config_name: str | None, line: str) -> list[str]:
    """How the last word of a command line can go on."""
    line = re.sub(r"^\s*\S+\s+train\s?", "", line, count=1).lstrip()
    found = BashCompletion(composer.config_loader)._query(config_name, line)
    word = "" if line.endswith(" ") else (line.split() or [""])[-1]
    if "." in word and "=" not in word:
        # Keys that no file holds, but that what a group calls would take.
        base = composer.without_values(config_name, composer.parse_quietly(line.split()[:-1]))
        keys = origin.keys_of(base) if base is not None else ()
        known = {match.rstrip("=.") for match in found}
        depth = word.count(".")
        found += [
            f"{key}="
            for key in keys
            if key.startswith(word) and key.count(".") == depth and key not in known
        ]
    return sorted(_with_presets(found, word))


def _with_presets(found: list[str], word: str) -> set[str]:
    """Hydra's matches, and `experiment=ner/wnut17`: it sees folders in a group as groups only."""
    options = usage.options_by_group(conf_folders())
    ways = {f"{group}=" for group in options}
    if "=" in word:
        ways = {f"{group}={name}" for group, names in options.items() for name in names}
    # `experiment/` leads nowhere; `task/` does, to `task/head=`.
    dead = {f"{group}/" for group in options} - {
        f"{g.partition('/')[0]}/" for g in options if "/" in g
    }
    return {way for way in ways if way.startswith(word)} | (set(found) - dead)
