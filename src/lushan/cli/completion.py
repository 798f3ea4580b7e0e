"""Completion in bash, zsh and fish: `eval "$(lushan completion bash)"`.

A shell's script gives the line up to the cursor in `LUSHAN_COMPLETE`, and gets the completions of
its last word, a line each: the word, and after a tab what it means. Overrides of `train`
are completed by Hydra and the signatures of what they set, everything else by typer.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import typer

from lushan.cli.models import examples
from lushan.common.terminal import echo
from lushan.errors import UserError, one_of

VARIABLE = "LUSHAN_COMPLETE"

# Bash breaks words at `=` and `:`, and replaces only what stands behind the last break.
BASH = r"""
_lushan_completion() {
  local line="${COMP_LINE:0:COMP_POINT}" word cut i IFS=$'\n'
  word="${line##* }"
  COMPREPLY=($(LUSHAN_COMPLETE="$line" "${COMP_WORDS[0]}" 2>/dev/null))
  for i in "${!COMPREPLY[@]}"; do COMPREPLY[i]="${COMPREPLY[i]%%$'\t'*}"; done
  if [[ ${#COMPREPLY[@]} -eq 1 && "${COMPREPLY[0]}" == *[=/.] ]]; then
    compopt -o nospace 2>/dev/null
  fi
  if [[ "$COMP_WORDBREAKS" == *=* && "$word" == *=* ]]; then
    cut="${word%"${word##*=}"}"
    COMPREPLY=("${COMPREPLY[@]#"$cut"}")
  fi
}
complete -o default -F _lushan_completion lushan
"""

ZSH = r"""
#compdef lushan
_lushan_completion() {
  local -a found open closed
  local way
  local line="${(j: :)words[1,CURRENT-1]} $PREFIX"
  found=("${(@f)$(LUSHAN_COMPLETE="$line" ${words[1]} 2>/dev/null)}")
  for way in $found; do
    way="${way%%$'\t'*}"
    if [[ "$way" == *[=/.] ]]; then open+=("$way"); elif [[ -n "$way" ]]; then closed+=("$way"); fi
  done
  if (( ! ${#open} && ! ${#closed} )); then _files; return; fi
  (( ${#open} )) && compadd -Q -S '' -- $open
  (( ${#closed} )) && compadd -Q -- $closed
  return 0
}
(( $+functions[compdef] )) || { autoload -Uz compinit && compinit; }
compdef _lushan_completion lushan
"""

FISH = r"""
function _lushan_completion
  set -l line (commandline -cp | string collect)
  set -l found (LUSHAN_COMPLETE=$line lushan 2>/dev/null)
  if test (count $found) -gt 0
    printf '%s\n' $found
  else
    __fish_complete_path (commandline -ct)
  end
end
complete -c lushan -f -a '(_lushan_completion)'
"""

SCRIPTS: Mapping[str, str] = {"bash": BASH, "zsh": ZSH, "fish": FISH}


def add_to(app: typer.Typer) -> None:
    """Give an application the command that prints a shell's script."""
    app.command(
        epilog=examples(
            'eval "$(lushan completion bash)"      in ~/.bashrc',
            'eval "$(lushan completion zsh)"       in ~/.zshrc',
            "lushan completion fish | source      in ~/.config/fish/config.fish",
        )
    )(completion)


def completion(
    shell: Annotated[str, typer.Argument(help="Shell: bash, zsh or fish.", show_default=False)],
) -> None:
    """Print a shell script that completes commands, options and overrides."""
    if shell not in SCRIPTS:
        hint = one_of(shell, SCRIPTS)
        raise UserError(
            "completion is not available for this shell", key="SHELL", value=shell, hint=hint
        )
    echo(SCRIPTS[shell].strip())


def complete(app: typer.Typer, line: str) -> int:
    """Print completions of the last word of a command line; return the exit code."""
    words = line.split()
    if words[1:2] == ["train"] and (len(words) > 2 or line[-1:].isspace()):
        for way in _overrides(line):
            echo(way)
        return 0
    from lushan.compat.typer import completions

    for item in completions(app, line, program="lushan", variable=VARIABLE):
        echo(f"{item.value}\t{' '.join(item.help.split())}" if item.help else str(item.value))
    return 0


def _overrides(line: str) -> list[str]:
    from lushan.config import override_completion as overrides
    from lushan.config import usage
    from lushan.config.compose import Composer
    from lushan.config.flags import flags_of
    from lushan.config.folders import PRIMARY

    words = [*line.split(), *([""] if line[-1:].isspace() else [])]
    word = words[-1]
    if word.startswith("-"):
        return [flag for flag in usage.flags() if flag.startswith(word)]
    try:
        flags = flags_of(words[2:-1])
    except UserError:  # a line that is not finished
        return overrides.query(Composer(), PRIMARY, line)
    return overrides.query(Composer(flags.config_dir), flags.config_name or PRIMARY, line)
