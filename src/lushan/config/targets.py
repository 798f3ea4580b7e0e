"""What a `_target_` may name.

A config is data that names code, and code can do anything. So a name must begin with an allowed
prefix before anything is imported for it; and what it resolves to must be a class (or a function
of ours), defined where the rule says, whatever the name that led there:
`torch.optim.lr_scheduler.torch.load` begins well and is `torch.serialization.load`.

A user allows a package of their own by the environment, `LUSHAN_TARGETS=my_package.`, or by
`conf/targets.yaml` (a list) in the folder they work in; a config cannot.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import os
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

from lushan.errors import UserError, did_you_mean

ENVIRONMENT = "LUSHAN_TARGETS"
FILE = Path("conf") / "targets.yaml"
NAME = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+")


@dataclass(frozen=True)
class Rule:
    """One kind of thing that may be a target.

    Attributes:
        named: How its name begins.
        lives: Where the object may really be defined: beginnings of module and qualified name.
        bases: Full names of classes, one of which it must derive from; empty for any class.
        functions: Whether functions defined there may be called too.
    """

    named: str
    lives: tuple[str, ...]
    bases: tuple[str, ...] = ()
    functions: bool = False


def _own(prefix: str) -> Rule:
    return Rule(prefix, (prefix,), functions=True)


_LOGGER = "lightning_fabric.loggers.logger.Logger"
_CONFIG = "transformers.configuration_utils.PreTrainedConfig"

RULES = (
    # Ours, less what writes files, runs runs or reads configs.
    _own("lushan.data.sources."),
    _own("lushan.text.tokenizers."),
    _own("lushan.models."),
    _own("lushan.tasks."),
    _own("lushan.optim."),
    Rule("lushan.trainer.Trainer", ("lushan.trainer.Trainer",)),
    Rule("lushan.callbacks.", ("lushan.callbacks.",)),
    Rule("lushan.tracking.", ("lushan.tracking.",)),
    Rule(
        "torch.optim.",
        ("torch.optim.",),
        ("torch.optim.optimizer.Optimizer", "torch.optim.lr_scheduler.LRScheduler"),
    ),
    Rule(
        "torchmetrics.",
        ("torchmetrics.",),
        ("torchmetrics.metric.Metric", "torchmetrics.collections.MetricCollection"),
    ),
    Rule(
        "transformers.",
        ("transformers.",),
        (
            _CONFIG,
            "transformers.modeling_utils.PreTrainedModel",
            "torch.optim.optimizer.Optimizer",
        ),
    ),
    Rule("peft.", ("peft.",), ("peft.config.PeftConfigMixin",)),
    Rule(
        "pytorch_lightning.callbacks.",
        ("pytorch_lightning.callbacks.",),
        ("pytorch_lightning.callbacks.callback.Callback",),
    ),
    Rule("pytorch_lightning.loggers.", ("pytorch_lightning.loggers.",), (_LOGGER,)),
    Rule(
        "pytorch_lightning.strategies.",
        ("pytorch_lightning.strategies.",),
        ("pytorch_lightning.strategies.strategy.Strategy",),
    ),
    Rule(
        "pytorch_lightning.profilers.",
        ("pytorch_lightning.profilers.",),
        ("pytorch_lightning.profilers.profiler.Profiler",),
    ),
    Rule(
        "pytorch_lightning.plugins.",
        ("pytorch_lightning.plugins.", "lightning_fabric.plugins."),
    ),
    Rule("pytorch_lightning.Trainer", ("pytorch_lightning.trainer.trainer.Trainer",)),
)

HYDRA_RULES = (
    Rule("hydra._internal.core_plugins.", ("hydra._internal.core_plugins.",)),
    Rule("hydra_plugins.", ("hydra_plugins.",)),
    Rule("hydra.experimental.callbacks.", ("hydra.experimental.callbacks.",)),
    Rule("optuna.samplers.", ("optuna.samplers.",), ("optuna.samplers._base.BaseSampler",)),
    Rule("optuna.pruners.", ("optuna.pruners.",), ("optuna.pruners._base.BasePruner",)),
    Rule("lushan.runs.launcher.", ("lushan.runs.launcher.",)),
    Rule("lushan.runs.combinations.", ("lushan.runs.combinations.",)),
    Rule("lushan.search.sweeper.", ("lushan.search.sweeper.",)),
)
"""What may stand under `hydra`: launchers, sweepers and callbacks that came with Hydra or us."""


@dataclass(frozen=True)
class Identity:
    """What an object really is, whatever name led to it.

    Attributes:
        module: Where it is defined.
        qualname: Its name there.
        kind: `class`, `function` (written in Python at the top of a module), or else its type.
        bases: Full names of the classes it derives from, itself first.
    """

    module: str
    qualname: str
    kind: str
    bases: tuple[str, ...] = ()

    @property
    def full(self) -> str:
        """Module and qualified name in one."""
        return f"{self.module}.{self.qualname}"


def identify(thing: object) -> Identity:
    """Say what an object is."""
    module = str(getattr(thing, "__module__", None) or "")
    qualname = str(getattr(thing, "__qualname__", None) or "")
    if isinstance(thing, type):
        bases = tuple(f"{c.__module__}.{c.__qualname__}" for c in inspect.getmro(thing))
        return Identity(module, qualname, "class", bases)
    if isinstance(thing, FunctionType):
        # A dot in the name: a method, or something made inside another function.
        return Identity(module, qualname, "method" if "." in qualname else "function")
    if isinstance(thing, ModuleType):
        return Identity(thing.__name__, "", "module")
    return Identity(module, qualname, type(thing).__name__)


def user_prefixes() -> tuple[str, ...]:
    """The beginnings that the user allows, from the environment and `conf/targets.yaml`.

    Raises:
        UserError: The file is no list of dotted names.
    """
    return _user_prefixes(os.environ.get(ENVIRONMENT, ""), Path.cwd())


@functools.cache
def _user_prefixes(environment: str, folder: Path) -> tuple[str, ...]:
    entries: list[object] = [part for part in re.split(r"[,\s]+", environment) if part]
    file = folder / FILE
    if file.is_file():
        import yaml

        try:
            listed = yaml.safe_load(file.read_text(encoding="utf-8"))
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise UserError(f"it cannot be read: {error}", file=file) from error
        if not isinstance(listed, list | None):
            raise UserError("it must be a list of prefixes", file=file, hint="- my_package.")
        entries += listed or []
    prefixes = []
    for entry in entries:
        name = entry.removesuffix("*").removesuffix(".") if isinstance(entry, str) else ""
        if not all(part.isidentifier() for part in name.split(".")):
            raise UserError(
                "an allowed target is the dotted name of a package, module or class",
                value=entry,
                key=None if file.is_file() else ENVIRONMENT,
                file=file if file.is_file() else None,
                hint=f"As in {ENVIRONMENT}=my_package.",
            )
        prefixes.append(name)
    if prefixes and str(folder) not in sys.path:
        # Their package may stand beside the command; last, so that it hides nothing installed.
        sys.path.append(str(folder))
    return tuple(prefixes)


def rules_for(key: str) -> tuple[Rule, ...]:
    """The rules for a target at a dotted key."""
    if key == "hydra" or key.startswith("hydra."):
        return HYDRA_RULES
    if key.startswith("trial."):  # what a search hands to its trials
        return tuple(rule for rule in HYDRA_RULES if rule.named == "optuna.pruners.")
    # `my_package` allows itself and what is in it, not `my_package_evil`.
    theirs = user_prefixes()
    lives = tuple(name for p in theirs for name in (p, f"{p}."))
    return RULES + tuple(Rule(name, lives, functions=True) for name in lives)


def judge_name(name: object, key: str) -> Rule:
    """Refuse a target by its name, before anything is imported for it.

    Args:
        name: What stands at `_target_`.
        key: The dotted key of the node.

    Returns:
        The rule that it begins well by.

    Raises:
        UserError: No rule allows it.
    """
    at = f"{key}._target_" if key else "_target_"
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise UserError("a target is the dotted name of a class or function", key=at, value=name)
    rules = rules_for(key)
    rule = next((r for r in rules if _begins(name, r.named)), None)
    if rule is None:
        raise UserError(
            "this target is not allowed", key=at, value=name, hint=_how_to_allow(name, rules)
        )
    private = [part for part in name.removeprefix(rule.named).split(".") if part.startswith("_")]
    if private:
        raise UserError("a target is never a private name", key=at, value=name)
    return rule


def judge(name: str, what: Identity, key: str) -> None:
    """Refuse a target by what it really is.

    Raises:
        UserError: It is not what its rule allows.
    """
    rule = judge_name(name, key)
    at = f"{key}._target_" if key else "_target_"
    allowed_kind = what.kind == "class" or (what.kind == "function" and rule.functions)
    home = any(_begins(what.full, place) for place in rule.lives)
    if not home:
        raise UserError(
            f"this target is not allowed: it is really {what.full or what.kind}",
            key=at,
            value=name,
            hint=_how_to_allow(what.full, rules_for(key)),
        )
    if not allowed_kind:
        sort = "classes and functions" if rule.functions else "classes"
        raise UserError(
            f"this target is not allowed: of {rule.named} only {sort} are, this is a {what.kind}",
            key=at,
            value=name,
        )
    if rule.bases and what.kind == "class" and not set(rule.bases) & set(what.bases):
        kinds = ", ".join(base.rsplit(".", 1)[1] for base in rule.bases)
        raise UserError(
            f"this target is not allowed: of {rule.named} only kinds of {kinds} are",
            key=at,
            value=name,
        )


def locate(name: str, key: str = "") -> Any:
    """Import what a target names, after its name was judged, and judge what it is.

    Raises:
        UserError: It is not allowed, or there is no such thing.
    """
    judge_name(name, key)
    thing = _import(name, key)
    judge(name, identify(thing), key)
    return thing


def _import(name: str, key: str) -> Any:
    at = f"{key}._target_" if key else "_target_"
    first, *rest = name.split(".")
    path = first
    try:
        thing: Any = importlib.import_module(first)
        for part in rest:
            path = f"{path}.{part}"
            try:
                thing = getattr(thing, part)
            except AttributeError:
                if not isinstance(thing, ModuleType):
                    raise
                thing = importlib.import_module(path)
    except ModuleNotFoundError as error:
        if error.name and not f"{path}.".startswith(f"{error.name}."):
            raise UserError(
                f"importing {path} needs the package {error.name!r}, which is not installed",
                key=at,
                value=name,
            ) from error
        parent = path.rpartition(".")[0]
        raise UserError(
            f"there is no {path}", key=at, value=name, hint=_near(path, sys.modules.get(parent))
        ) from error
    except AttributeError as error:
        raise UserError(f"there is no {path}", key=at, value=name) from error
    return thing


def nodes(config: Any, key: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every mapping with a `_target_`, wherever it stands, outer ones first.

    Args:
        config: Plain and resolved.
        key: The dotted key of `config`.

    Yields:
        (dotted key, the mapping)
    """
    if isinstance(config, Mapping):
        if "_target_" in config:
            yield key, config
        for name, value in config.items():
            yield from nodes(value, f"{key}.{name}" if key else str(name))
    elif isinstance(config, list | tuple):
        for i, value in enumerate(config):
            yield from nodes(value, f"{key}.{i}" if key else str(i))


def _begins(name: str, prefix: str) -> bool:
    return name.startswith(prefix) if prefix.endswith(".") else name == prefix


def _near(path: str, parent: ModuleType | None) -> str | None:
    names = [n for n in dir(parent) if not n.startswith("_")] if parent else []
    return did_you_mean(path.rpartition(".")[2], names)


def _how_to_allow(name: str, rules: tuple[Rule, ...]) -> str:
    if rules is HYDRA_RULES:
        return "Under `hydra` only what Hydra, its plugins and lushan bring may be named."
    if name.split(".", maxsplit=1)[0] in {rule.named.split(".")[0] for rule in RULES}:
        near = did_you_mean(name, [rule.named for rule in RULES])
        return near or "Allowed are: " + ", ".join(rule.named for rule in RULES) + "."
    package = name.partition(".")[0]
    return f"If you trust that package: {ENVIRONMENT}={package}. in the environment, or `- \
{package}.` in conf/targets.yaml."
