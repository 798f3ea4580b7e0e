"""Provenance of each key of a composed config: a YAML file, or the command line."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import yaml
from hydra.core.config_loader import ConfigLoader
from hydra.core.hydra_config import HydraConfig
from hydra.core.object_type import ObjectType
from hydra.core.override_parser.types import Override
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from lushan.common import parsing
from lushan.config import usage
from lushan.config.search_path import conf_folders
from lushan.config.signatures import known_parameters, parameters_of

COMMAND_LINE = "command line"


@dataclasses.dataclass(frozen=True)
class Place:
    """Place where a key was written."""

    file: str
    line: int | None = None


class Composer(Protocol):
    """Composer of `lushan.config.compose`, as far as errors and provenance ask it."""

    config_loader: ConfigLoader

    def parse_quietly(self, typed: Sequence[str], /) -> list[Override]:
        """Parse those overrides that can be."""

    def is_group(self, override: Override, /) -> bool:
        """Return whether an override chooses a group's option."""

    def without_values(
        self, config_name: str | None, parsed: list[Override], /
    ) -> DictConfig | None:
        """Return the config as its groups make it, before single keys are set."""


@dataclasses.dataclass(frozen=True)
class Composition:
    """The last composition: its composer, config and overrides."""

    composer: Composer
    config_name: str | None
    overrides: tuple[Override, ...]


_latest: list[Composition] = []


def remember(composition: Composition) -> None:
    """Keep how a config was composed, until the next one is; read once something is wrong."""
    _latest[:] = [composition]


def forget() -> None:
    """Forget how a config was composed: the next one is read from a run's folder."""
    _latest.clear()


def place_of_key(key: str) -> Place | None:
    """Return where a key of the last composed config was written; None if that is not known.

    A key that was written nowhere, because it is missing, has the place of the node around it.
    """
    if not _latest:
        return None
    composition = _latest[0]
    overrides = _job_overrides(composition)
    while key:
        if (place := _place(composition, overrides, key)) is not None:
            return place
        key = key.rpartition(".")[0]
    return None


def _job_overrides(composition: Composition) -> Sequence[Override]:
    """The overrides of the job of a sweep that is under way, else those that were composed."""
    if HydraConfig.initialized():
        written = HydraConfig.get().overrides
        lines = [str(line) for line in [*written.hydra, *written.task]]
        return composition.composer.parse_quietly(lines)
    return composition.overrides


def _place(composition: Composition, overrides: Sequence[Override], key: str) -> Place | None:
    for override in overrides:
        name = override.key_or_group
        inside = key.startswith(f"{name}.") and isinstance(override.value(), Mapping)
        if (name == key or name.startswith(f"{key}.") or inside) and (
            override.is_delete() or not composition.composer.is_group(override)
        ):
            return Place(COMMAND_LINE)
    lines = [str(override.input_line) for override in overrides]
    loader = composition.composer.config_loader
    try:
        defaults = loader.compute_defaults_list(
            composition.config_name, lines, RunMode.RUN
        ).defaults
    except Exception:  # noqa: BLE001 - only a help in saying what is wrong
        return None
    for default in reversed(defaults):
        file = path_of(composition.composer, default.config_path)
        if file is None:
            continue
        package = default.package or ""
        if package and not key.startswith(f"{package}.") and key != package:
            continue
        line = line_of(Path(file), key.removeprefix(package).lstrip(".").split("."))
        if line is not None:
            return Place(file, line)
    return None


def path_of(composer: Composer, config_path: str | None) -> str | None:
    """The file of a config, as it is searched for; None where it is not in a file."""
    if config_path is None:
        return None
    for source in composer.config_loader.get_sources():
        if source.scheme() == "file" and source.is_config(config_path):
            path = Path(source.path) / f"{config_path.removesuffix('.yaml')}.yaml"
            return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)
    return None


def line_of(file: Path, parts: Sequence[str]) -> int | None:
    """The line of a key in a YAML file, counted from 1; None where the file has no such key."""
    try:
        node: yaml.Node | None = parsing.compose_yaml(file.read_bytes())
    except (OSError, ValueError):
        return None
    line = 1
    for part in [p for p in parts if p]:
        if isinstance(node, yaml.SequenceNode) and part.isdigit() and int(part) < len(node.value):
            node = node.value[int(part)]
            line = node.start_mark.line + 1
            continue
        if not isinstance(node, yaml.MappingNode):
            return None
        found = next(((k, v) for k, v in node.value if k.value == part), None)
        if found is None:
            return None
        line, node = found[0].start_mark.line + 1, found[1]
    return line


def place_of_choice(composer: Composer, configs: Sequence[str], choice: str) -> Place | None:
    """Find where a file chooses an option in its defaults list; None where no file does.

    Args:
        composer: Knows where files are.
        configs: The files to begin with, `experiment/ner/wnut17`; those they choose come next.
        choice: What is chosen, `model/bert_tiny`.
    """
    waiting, seen = list(configs), set()
    while waiting:
        config = waiting.pop(0)
        file = path_of(composer, config)
        if file is None or config in seen:
            continue
        seen.add(config)
        for option, line in _choices_of(Path(file), config.rpartition("/")[0]):
            if option == choice:
                return Place(file, line)
            waiting.append(option)
    return None


def _choices_of(file: Path, folder: str) -> Iterator[tuple[str, int]]:
    """Return what a defaults list chooses, `model/bert_tiny`, and on which line."""
    try:
        node: yaml.Node | None = parsing.compose_yaml(file.read_bytes())
    except (OSError, ValueError):
        return
    pairs = node.value if isinstance(node, yaml.MappingNode) else ()
    lists = [v for k, v in pairs if k.value == "defaults" and isinstance(v, yaml.SequenceNode)]
    for entry in (entry for found in lists for entry in found.value):
        chosen = entry.value if isinstance(entry, yaml.MappingNode) else [(None, entry)]
        for key, value in chosen:
            words = str(key.value).split() if key is not None else []
            group = words[-1].partition("@")[0] if words else ""
            for option in value.value if isinstance(value, yaml.SequenceNode) else [value]:
                path = "/".join(
                    part for part in (group, str(option.value).partition("@")[0]) if part
                )
                inside = f"{folder}/{path}" if folder else path
                yield (path[1:] if path.startswith("/") else inside), option.start_mark.line + 1


def known_options(group: str) -> list[str]:
    """The options of a group, by who composed last; none where that is not known."""
    return options_of(_latest[0].composer, group) if _latest else []


def options_of(composer: Composer, group: str) -> list[str]:
    """The options of a group, those in folders below it included: `ner/wnut17`."""
    loader = composer.config_loader
    found = list(loader.get_group_options(group, ObjectType.CONFIG))
    for folder in loader.get_group_options(group, ObjectType.GROUP):
        found += [f"{folder}/{name}" for name in options_of(composer, f"{group}/{folder}")]
    return found


def own_options_of(composer: Composer, group: str) -> list[str]:
    """The options of a group without those of groups below it that are chosen by themselves.

    `task/head` is one; `experiment/ner` only sorts files.
    """
    below = [g for g in usage.options_by_group(conf_folders()) if g.startswith(f"{group}/")]
    inner = tuple(f"{other.removeprefix(f'{group}/')}/" for other in below)
    return [name for name in options_of(composer, group) if not name.startswith(inner)]


def options_by(composer: Composer) -> Callable[[str], list[str]]:
    """Return what gives the options of a group."""
    return lambda group: options_of(composer, group)


def groups_of(composer: Composer, group: str = "") -> list[str]:
    """The names of all groups: `task`, `task/head`."""
    found = []
    for name in composer.config_loader.get_group_options(group, ObjectType.GROUP):
        path = f"{group}/{name}" if group else name
        if path != "hydra":
            found += [path, *groups_of(composer, path)]
    return found


def known_groups() -> list[str]:
    """The names of all groups, by who composed last; none where that is not known."""
    return groups_of(_latest[0].composer) if _latest else []


def values_of(cfg: DictConfig) -> dict[str, Any]:
    """Dotted key to value, of single values that are set."""
    plain = OmegaConf.to_container(cfg, resolve=False, throw_on_missing=False)
    found: dict[str, Any] = {}

    def walk(node: object, prefix: str) -> None:
        for name, value in node.items() if isinstance(node, dict) else ():
            found[f"{prefix}{name}"] = value
            walk(value, f"{prefix}{name}.")

    walk(plain, "")
    return found


def keys_of(cfg: DictConfig) -> Iterator[str]:
    """Yield all dotted keys that may be set: those of the files, and those that targets take.

    A hint is the same whatever was composed before it: targets that are not known are read.
    """
    return _keys_of(cfg, parameters_of)


def known_keys_of(cfg: DictConfig) -> Iterator[str]:
    """Yield the same at once: without the arguments of targets that were not read before."""
    return _keys_of(cfg, known_parameters)


def _keys_of(cfg: DictConfig, parameters: Callable[[object], list[str]]) -> Iterator[str]:
    plain = OmegaConf.to_container(cfg, resolve=False, throw_on_missing=False)
    yield from dict.fromkeys(_keys(plain, "", parameters))


def _keys(node: object, prefix: str, parameters: Callable[[object], list[str]]) -> Iterator[str]:
    if not isinstance(node, dict):
        return
    for name in parameters(node.get("_target_")):
        yield f"{prefix}{name}"
    for name, value in node.items():
        if f"{prefix}{name}" == "hydra" or str(name).startswith("_"):
            continue
        yield f"{prefix}{name}"
        yield from _keys(value, f"{prefix}{name}.", parameters)
