"""Settings of a launcher or sweeper that a config file may make.

How many jobs run at a time, and what they ask of a cluster, is data. What starts programs, sets
environments or names a server is not: a file could be another person's. Such a setting counts only
where the user made it, on the command line or in their own configuration folder, and is shown.
"""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from lushan.common import parsing
from lushan.common.terminal import echo
from lushan.compat import names
from lushan.config.folders import personal_conf
from lushan.errors import UserError
from lushan.run.redaction import redact_arguments

if TYPE_CHECKING:
    from hydra.core.override_parser.types import Override

_SUBMITIT = "hydra_plugins.hydra_submitit_launcher.submitit_launcher."
_QUEUE = (
    *("timeout_min", "cpus_per_task", "gpus_per_node", "tasks_per_node", "mem_gb", "nodes"),
    *("name", "stderr_to_stdout"),
)
_SEARCH = ("n_trials", "n_jobs", "direction", "study_name", "sampler.*", "pruner.*")

SETTINGS: Mapping[str, tuple[str, ...]] = {
    "lushan.launch.fork.ForkLauncher": ("jobs",),
    "lushan.launch.combinations.Combinations": ("max_batch_size",),
    "lushan.search.sweeper.Search": (*_SEARCH, "preset"),
    names.BASIC_LAUNCHER: (),
    names.BASIC_SWEEPER: ("max_batch_size",),
    "hydra_plugins.hydra_optuna_sweeper.optuna_sweeper.OptunaSweeper": (
        *_SEARCH,
        "max_failure_rate",
    ),
    "hydra_plugins.hydra_joblib_launcher.joblib_launcher.JoblibLauncher": (
        *("n_jobs", "inner_max_num_threads", "backend", "prefer", "require", "verbose"),
        *("timeout", "batch_size", "max_nbytes", "mmap_mode"),
    ),
    f"{_SUBMITIT}LocalLauncher": _QUEUE,
    f"{_SUBMITIT}SlurmLauncher": (
        *_QUEUE,
        *("partition", "qos", "comment", "constraint", "exclude", "gres", "account"),
        *("cpus_per_gpu", "gpus_per_task", "mem_per_gpu", "mem_per_cpu", "signal_delay_s"),
        *("max_num_timeout", "array_parallelism", "use_srun"),
    ),
    "lushan.launch.ray.RayLauncher": (
        *("ray.init.num_cpus", "ray.init.num_gpus", "ray.init.object_store_memory"),
        *("ray.init.log_to_driver", "ray.remote.num_cpus", "ray.remote.num_gpus"),
        *("ray.remote.memory", "ray.remote.max_calls", "ray.remote.max_retries"),
    ),
    "hydra_plugins.hydra_ray_launcher.ray_aws_launcher.RayAWSLauncher": (),
}
"""Each permitted launcher and sweeper, and the patterns of the keys that any file may set."""

_OVERRIDES = ("params.", "search_space.")
"""Settings that become overrides of jobs, which are checked as such."""
_STORAGE = "storage"
_LOCAL_DATABASE = re.compile(r"sqlite:///[^/.][^?#]*\.db")
# Into a batch script, a line each: a line break would begin a command.
_PLAIN = re.compile(r"[\w .,:;@%+=/*&|!()\[\]-]*")

Typed = Sequence[tuple[str, Any]]
"""Keys and plain values, as the person at the command line wrote them."""


def typed_values(overrides: Iterable[Override]) -> Typed:
    """Return what overrides set, by dotted key."""
    return [
        (override.key_or_group, override.value())
        for override in overrides
        if not override.is_delete() and not override.is_sweep_override()
    ]


def require(
    written: Mapping[str, Any], resolved: Mapping[str, Any], part: str, typed: Typed
) -> None:
    """Refuse what a file may not set of a launcher or sweeper; show what the person has set.

    Args:
        written: The node as composed, interpolations unresolved.
        resolved: The same, resolved as far as that is possible.
        part: `launcher` or `sweeper`.
        typed: Overrides of the command line.
    """
    target = str(written.get("_target_"))
    allowed = SETTINGS.get(target)
    if allowed is None:  # refused as a target
        return
    usual = _defaults(part, target)
    values = dict(_leaves(resolved))
    for name, value in _leaves(written):
        key = f"hydra.{part}.{name}"
        if name.startswith("_") or name.startswith(_OVERRIDES):
            continue
        if (
            any(node.get(name, ...) == value for node in usual)
            or any(fnmatchcase(name, pattern) for pattern in allowed)
            or (name == _STORAGE and is_local_database(values.get(name)))
        ):
            _require_plain(key, values.get(name))
        else:
            _show(key, value, _origin(key, value, part, typed))


def is_local_database(place: object) -> bool:
    """Return whether a search's storage is a file below the working folder, or none."""
    if place is None:
        return True
    return (
        isinstance(place, str)
        and _LOCAL_DATABASE.fullmatch(place) is not None
        and ".." not in place.split("/")
    )


def require_storage(place: object, key: str) -> None:
    """Refuse a database elsewhere that a config names and the environment does not.

    Raises:
        UserError: A run would send its numbers there.
    """
    if isinstance(place, str) and "://" in place and not is_local_database(place):
        if place in os.environ.values():
            return
        raise UserError(
            "a config cannot set a remote database",
            key=key,
            value=place,
            hint="Set it on the command line of the search: hydra.sweeper.storage=URL.",
        )


def _leaves(node: object, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield dotted key and value; a list is one value, an empty mapping is nothing."""
    if isinstance(node, Mapping):
        for name, value in node.items():
            yield from _leaves(value, f"{prefix}.{name}" if prefix else str(name))
    else:
        yield prefix, node


@functools.cache
def _defaults(part: str, target: str) -> Sequence[Mapping[str, Any]]:
    """Return the settings that Hydra's plugins bring for a target, by dotted key."""
    from hydra.core.config_store import ConfigNode, ConfigStore
    from omegaconf import OmegaConf

    group = ConfigStore.instance().repo.get("hydra", {}).get(part, {})
    entries = (entry.node for entry in group.values() if isinstance(entry, ConfigNode))
    found = [dict(_leaves(OmegaConf.to_container(node, resolve=False))) for node in entries]
    return [node for node in found if node.get("_target_") == target]


def _require_plain(key: str, value: object) -> None:
    for word in value if isinstance(value, list) else [value]:
        if isinstance(word, str) and (not _PLAIN.fullmatch(word) or ".." in word.split("/")):
            raise UserError(
                "must be letters, digits and plain punctuation in one line, without `..`",
                key=key,
                value=word,
            )


def _origin(key: str, value: object, part: str, typed: Typed) -> str:
    """Return where the person made a setting.

    Raises:
        UserError: They did not: a file of the working folder did, or one from elsewhere.
    """
    refusal = UserError(
        "only the command line or your own configuration folder can set this, because it can "
        "start programs, set environments or name a server",
        key=key,
        value=value,
        hint=f"Write {key}=VALUE on the command line, or put it into "
        f"{personal_conf() / 'hydra' / part}/NAME.yaml and select it with hydra/{part}=NAME.",
    )
    if "${" in str(value).replace("${oc.env:", ""):
        raise refusal
    if any(_at(known, name, key) == value for name, known in typed):
        return "command line"
    for file in sorted((personal_conf() / "hydra" / part).glob("*.yaml")):
        node = parsing.read_yaml(file)
        if _at(node, f"hydra.{part}", key) == value:
            return str(file)
    raise refusal


def _at(value: object, name: str, key: str) -> object:
    """Return the value of `key` in what was set at `name`; ... where it has none."""
    if name == key:
        return value
    if not key.startswith(f"{name}."):
        return ...
    for part in key[len(name) + 1 :].split("."):
        if not isinstance(value, Mapping) or part not in value:
            return ...
        value = value[part]
    return value


@functools.cache
def _report(line: str) -> None:
    echo(line, err=True)


def _show(key: str, value: object, origin: str) -> None:
    _report(f"{redact_arguments([f'{key}={value}'])[0]} ({origin})")
