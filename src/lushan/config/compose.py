"""Composition of one config by Hydra, from `conf/` and a command line.

`conf/` is searched in the folder the user works in first, then in the package. Whatever goes wrong
on the way is a `UserError`, and what a composed config asks of Hydra itself is checked before Hydra
acts on it.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.config_search_path import ConfigSearchPath, SearchPathQuery
from hydra.core.default_element import ResultDefault
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob, Override, OverrideType
from hydra.core.plugins import Plugins
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict

from lushan.common.override_text import quoted
from lushan.compat.hydra import ConfigLoader, Hydra, search_path
from lushan.compat.omegaconf import node_at
from lushan.config import environment, expansion, explain, provenance
from lushan.config.check import OPTIONAL
from lushan.config.folders import PRIMARY, built_in_conf
from lushan.config.hydra_guard import check_hydra, check_search_path, require_own_sweep
from lushan.config.init_from import starting_from
from lushan.config.launcher_settings import Typed, typed_values
from lushan.config.repository import Repository, merged, replace_launchers
from lushan.config.search_path import before_ours
from lushan.errors import UserError
from lushan.launch.combinations import Combinations
from lushan.launch.fork import ForkLauncher

if TYPE_CHECKING:
    from lushan.compat.hydra import CachingConfigRepository

Known = dict[tuple[str | None, ...], DictConfig | None]
"""A config's name and the groups chosen, to what they make before single keys are set."""

_of_signatures: set[str] = set()
"""Keys of which this process has seen that no file holds them; see `Composer.compose_config`."""

environment.register()  # in each process that composes or resolves


class _Loader(ConfigLoader):
    """Hydra's loader, which checks the places it searches and the config of each job of a sweep."""

    def __init__(self, config_search_path: ConfigSearchPath, typed: Typed = ()) -> None:
        super().__init__(config_search_path)
        self.typed = typed  # goes with the jobs of a sweep into other processes
        self.repository = Repository(config_search_path)

    def merge(self, defaults: list[ResultDefault], repo: CachingConfigRepository) -> DictConfig:
        """Merge the files of a defaults list, once for all jobs that choose the same ones."""
        return merged(defaults, repo, super().merge)

    def get_mode(
        self,
        config_name: str | None,
        overrides: list[str],
        parsed_overrides: list[Override] | None = None,
    ) -> RunMode:
        """Return the mode as Hydra's does, which gives what it parsed to its own class only."""
        return super().get_mode(
            config_name, overrides, parsed_overrides or Composer.parse(overrides)
        )

    def load_sweep_config(
        self, master_config: DictConfig, sweep_overrides: list[str]
    ) -> DictConfig:
        """Load as Hydra's does, and check: a preset of this job may set something of Hydra."""
        lines = [emptied(line) for line in sweep_overrides]
        cfg = super().load_sweep_config(master_config, lines)
        check_hydra(cfg.hydra, self.typed)
        return cfg

    def check_search_path(
        self, config_name: str | None, overrides: list[Override], repo: CachingConfigRepository
    ) -> None:
        """Refuse places of code, for composing, completing a word or showing a config."""
        check_search_path(repo, config_name, overrides)


@functools.lru_cache(maxsize=1000)
def _parsed(line: str) -> Override:
    """Parse an override; the cells of a study share most of theirs, and nothing changes one."""
    (parsed,) = OverridesParser.create().parse_overrides([quoted(line)])
    return parsed


@functools.cache
def _register_own() -> None:
    """Let Hydra know our launchers and our sweeper, once in a process."""
    for plugin in (ForkLauncher, Combinations):
        Plugins.instance().register(plugin)


class Composer(Hydra):
    """Hydra over our `conf/`, which checks what it composes and raises plain errors."""

    def __init__(
        self,
        config_dir: str | None = None,
        typed: Sequence[str] = (),
        known: Known | None = None,
    ) -> None:
        """Search our folders.

        Args:
            config_dir: A further folder.
            typed: Overrides that the person at the command line wrote, and no file.
            known: What groups made in earlier compositions of the same files; added to.
        """
        path = search_path(str(built_in_conf()))
        for provider, folder in before_ours().items():  # each right before the built-in one
            path.prepend(provider, f"file://{folder}", anchor=SearchPathQuery(provider="main"))
        if config_dir is not None:
            chosen = Path(config_dir).resolve()
            if not chosen.is_dir():
                raise UserError("the folder does not exist", key="--config-dir", value=config_dir)
            path.prepend(
                "command-line", f"file://{chosen}", anchor=SearchPathQuery(provider="schema")
            )
        _register_own()
        replace_launchers()
        self.typed = typed_values(self.parse_quietly(typed))
        self._first_of_many = known is not None and not known
        self._known: Known = {} if known is None else known
        super().__init__(task_name=PRIMARY, config_loader=_Loader(path, self.typed))

    def compose_config(  # type: ignore[override]  # the flags in between go through as they are
        self,
        config_name: str | None,
        overrides: list[str],
        run_mode: RunMode,
        parsed_overrides: list[Override] | None = None,
        **options: Any,
    ) -> DictConfig:
        """Compose, as Hydra does, and check the result.

        A key that no YAML file holds, but whose node names a target, may be set without a `+`:
        the target's signature is the schema, which `check` applies.

        Raises:
            UserError: An override or a file is wrong, or asks of Hydra what is not allowed.
        """
        # Logging is configured by the run, never by a config that was not checked.
        options["with_log_configuration"] = False
        with self.as_user_errors(config_name, overrides):
            given = parsed_overrides or self.parse(overrides)
            parsed = [self._emptied(override) for override in given]
            if run_mode is RunMode.MULTIRUN:
                parsed = self._spelled_out(config_name, parsed)
            cfg = self._composed(config_name, parsed, run_mode, options)
            expansion.require_bounded(OmegaConf.to_container(cfg, resolve=False))
            provenance.remember(provenance.Composition(self, config_name, tuple(parsed)))
            if config_name is not None:  # else it is Hydra's own, and only shown
                self._check_hydra(cfg.hydra, run_mode)
            return cfg

    def _check_hydra(self, hydra: DictConfig, run_mode: RunMode) -> None:
        try:
            check_hydra(hydra, self.typed)
            if run_mode is RunMode.MULTIRUN:
                require_own_sweep(hydra)
        except UserError as error:
            raise explain.with_provenance(error) from error.__cause__

    def _composed(
        self,
        config_name: str | None,
        parsed: list[Override],
        run_mode: RunMode,
        options: dict[str, Any],
    ) -> DictConfig:
        """Compose, with `++` before keys of signatures where a key is, or turns out to be, one."""
        lines = parsed
        if self._first_of_many or any(o.key_or_group in _of_signatures for o in parsed):
            lines = self._spelled_out(config_name, parsed)
        try:
            return self._compose(config_name, lines, run_mode, options)
        except Exception:
            again = self._spelled_out(config_name, parsed)
            if again == lines:
                raise
            return self._compose(config_name, again, run_mode, options)

    def _compose(
        self,
        config_name: str | None,
        parsed: list[Override],
        run_mode: RunMode,
        options: dict[str, Any],
    ) -> DictConfig:
        lines = [str(override.input_line) for override in parsed]
        return super().compose_config(
            config_name, lines, run_mode, parsed_overrides=parsed, **options
        )

    @staticmethod
    def parse(overrides: Sequence[str]) -> list[Override]:
        """Parse overrides by Hydra's grammar."""
        return [_parsed(line) for line in overrides]

    @classmethod
    def parse_quietly(cls, overrides: Sequence[str]) -> list[Override]:
        """Parse those overrides that can be."""
        found = []
        for line in overrides:
            with suppress(HydraException):
                found += cls.parse([line])
        return found

    def spelled_out(self, overrides: Sequence[str]) -> list[str]:
        """A job's overrides with `++` before keys that only a target's signature has."""
        parsed = self.parse(list(overrides))
        return [str(override.input_line) for override in self._spelled_out(PRIMARY, parsed)]

    def _spelled_out(self, config_name: str | None, parsed: list[Override]) -> list[Override]:
        """Put `++` before the keys that a target's signature must have, as no file has them."""
        plain = [o for o in parsed if o.type is OverrideType.CHANGE and "." in o.key_or_group]
        if not plain:
            return parsed
        base = self.without_values(config_name, parsed)
        if base is None:
            return parsed
        result: list[Override] = []
        for override in parsed:
            added = override in plain and _only_in_a_signature(base, override)
            if added:
                _of_signatures.add(override.key_or_group)
            result += self.parse([f"++{override.input_line}"]) if added else [override]
        return result

    def without_values(self, config_name: str | None, parsed: list[Override]) -> DictConfig | None:
        """The config as its groups make it, before single keys are set; None if that fails too."""
        groups = [o for o in parsed if "." not in o.key_or_group and not o.is_sweep_override()]
        # A key at the top (`sed=1`) is no group, and may be the mistake.
        groups = [o for o in groups if self.is_group(o)]
        key = (config_name, *(str(o.input_line) for o in groups))
        if key not in self._known:
            options = {"skip_missing_defaults": True}
            try:
                self._known[key] = self._compose(config_name, groups, RunMode.RUN, options)
            except Exception:  # noqa: BLE001 - only a help in saying what is wrong
                self._known[key] = None
        return self._known[key]

    def without_glob(self, override: Override) -> str:
        """An override as text, with `experiment=glob(*)` spelled out.

        Hydra's own glob sees only the options that stand in a group's folder itself.

        Raises:
            UserError: No option is like that.
        """
        line, glob = str(override.input_line), override.value()
        if not isinstance(glob, Glob):
            return line
        group = override.key_or_group
        options = provenance.options_of(self, group)
        chosen = [name for name in options if _matches(name, glob)]
        if not chosen:
            raise UserError(
                "no option matches",
                key=group,
                value=line.partition("=")[2],
                file=provenance.COMMAND_LINE,
                hint=f"There are: {', '.join(options)}." if options else None,
            )
        return f"{line.partition('=')[0]}={','.join(chosen)}"

    @classmethod
    def _emptied(cls, override: Override) -> Override:
        line = str(override.input_line)
        changed = emptied(line)
        return override if changed == line else cls.parse([changed])[0]

    def is_group(self, override: Override) -> bool:
        """Return whether an override chooses a group's option."""
        loader: Any = self.config_loader
        return bool(loader.repository.group_exists(override.key_or_group))

    @contextmanager
    def as_user_errors(self, config_name: str | None, overrides: Sequence[str]) -> Iterator[None]:
        """Turn what Hydra and OmegaConf raise into a `UserError`."""
        try:
            yield
        except UserError:
            raise
        except Exception as error:
            if not explain.is_of_composition(error):
                raise
            raise explain.explain(error, self, config_name, list(overrides)) from error


def _matches(name: str, glob: Glob) -> bool:
    included = any(fnmatchcase(name, pattern) for pattern in glob.include)
    return included and not any(fnmatchcase(name, pattern) for pattern in glob.exclude)


def _only_in_a_signature(cfg: DictConfig, override: Override) -> bool:
    parent, _, name = override.key_or_group.rpartition(".")
    node = OmegaConf.select(cfg, parent, throw_on_missing=False) if parent else None
    if isinstance(node, DictConfig) and "_target_" in node and name not in node:
        return True
    # `optimizer.algorithm={_target_: torch.optim.AdamW, betas: [0.9, 0.99]}`
    # Taken as it stands: `processor.path` is that of a model which has none before its key is set.
    if not isinstance(node, DictConfig) or name not in list(node):  # the mapping itself resolves it
        return False
    inner = node_at(node, name)
    is_node = isinstance(inner, DictConfig) and "_target_" in inner
    return is_node and isinstance(override.value(), Mapping)


def compose(
    overrides: Sequence[str] = (), *, config_dir: str | None = None, known: Known | None = None
) -> DictConfig:
    """The config of a job, without Hydra's own node; see `composed`."""
    return composed(overrides, config_dir=config_dir, known=known)[0]


def composed(
    overrides: Sequence[str] = (), *, config_dir: str | None = None, known: Known | None = None
) -> tuple[DictConfig, dict[str, str | None]]:
    """The config of a job, without Hydra's own node, and the chosen option of each group.

    Args:
        overrides: As on the command line: `["model=minilm", "optimizer.lr=3e-5"]`.
        config_dir: A further folder to search, last.
        known: One mapping for configs that are composed one after the other, which saves time.

    Raises:
        UserError: An override or a file is wrong.
    """
    lines = starting_from(overrides)
    cfg = Composer(config_dir, known=known).compose_config(PRIMARY, lines, RunMode.RUN)
    chosen: dict[str, str | None] = dict(cfg.hydra.runtime.choices)
    with open_dict(cfg):
        del cfg["hydra"]
    return cfg, {name: option for name, option in chosen.items() if not name.startswith("hydra/")}


def emptied(line: str) -> str:
    """`peft=null` in Hydra's own words, `~peft`; any other override as it is."""
    group, _, value = line.partition("=")
    return f"~{group}" if group in OPTIONAL and value == "null" else line
