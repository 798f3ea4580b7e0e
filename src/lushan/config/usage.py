"""Help of `lushan train`: the groups with their options, read from the folders.

Neither Hydra nor anything else that takes time is imported for it.
"""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

from lushan.config.search_path import conf_folders

_HEAD = """\
Usage: lushan train [OVERRIDES] [FLAGS]

Train and evaluate the run of a config, or print its stored result.

  lushan train experiment=ner/wnut17                     a preset, on a public data set
  lushan train model=minilm optimizer.lr=3e-5            group options and single keys
  lushan train -m task/head=linear,crf seed=1,2,3        a sweep: every combination

Overrides:
  group=option    select one of the options below
  key=value       set a key, such as trainer.max_steps=100 or
                  optimizer.layer_decay=0.9; all arguments of a group's target can be set
  ~key            remove a key

Flags:
  -m, --multirun         run a sweep
  --cfg job              print the config and exit; -p PACKAGE prints a part of it
  --info defaults        print the config files that are used
  --config-dir FOLDER    add a folder of config files
  --trust-remote-code    run the code that comes with a model; read it first
  --quiet                hide progress and hints

Groups (a conf/ in this folder is searched first):
"""


def flags() -> list[str]:
    """The long flags that the help names."""
    return sorted(set(re.findall(r"--[a-z][a-z-]+", _HEAD)))


def text() -> str:
    """The whole help."""
    options = options_by_group(conf_folders())
    width = max(len(group) for group in options)
    lines = []
    for group, names in options.items():
        lines += textwrap.wrap(
            ", ".join(names),
            width=96,
            initial_indent=f"  {group:<{width}}  ",
            subsequent_indent=" " * (width + 4),
            break_on_hyphens=False,
        )
    return _HEAD + "\n".join(lines)


def options_by_group(folders: list[Path]) -> dict[str, list[str]]:
    """Each top-level group, and each group inside one that is a node of its own, to its options."""
    found: dict[str, set[str]] = {}
    for folder in folders:
        for file in sorted(folder.glob("*/**/*.yaml")):
            group, *rest = file.relative_to(folder).with_suffix("").parts
            if group == "hydra" and len(rest) < 2:
                continue
            # `task/head=crf` is chosen as a group; `experiment=ner/wnut17` as one option.
            if group == "hydra":  # and `hydra/sweeper/pruner=asha`
                group, rest = "/".join([group, *rest[:-1]]), rest[-1:]
            elif len(rest) > 1 and _is_placed_below(folder / group, rest[0]):
                group, rest = f"{group}/{rest[0]}", rest[1:]
            found.setdefault(group, set()).add("/".join(rest))
    return {group: sorted(names) for group, names in sorted(found.items())}


def option_file(folders: list[Path], group: str, name: str) -> Path:
    """Return the file of an option that is there; of several, that in the first folder."""
    return next(f for folder in folders if (f := folder / group / f"{name}.yaml").is_file())


def summary(file: Path) -> str:
    """Return the comment at the head of a config file."""
    found = []
    for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
        if not line.startswith("#"):
            break
        found.append(line.lstrip("# ").rstrip())
    return " ".join(line for line in found if not line.startswith("@package"))


def _is_placed_below(group: Path, inner: str) -> bool:
    """Return whether options of a group choose one of the inner group in their defaults."""
    wanted = f"- {inner}:"
    return any(
        line.strip().startswith(wanted)
        for file in group.glob("*.yaml")
        for line in file.read_text(encoding="utf-8", errors="replace").splitlines()
    )
