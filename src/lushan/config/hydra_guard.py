"""Settings of Hydra itself that a config may make.

Hydra imports what `hydra.launcher`, `hydra.sweeper` and `hydra.callbacks` name, configures logging
by calling what the config says, sets environment variables and searches packages for configs: each
is a way for a config to run code, and each is checked before Hydra acts on it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from lushan.compat.omegaconf import is_empty, is_interpolation, node_at, raw_value
from lushan.config import launcher_settings
from lushan.config.allow_list import locate, nodes, user_prefixes
from lushan.config.launcher_settings import Typed
from lushan.config.rules import HYDRA_RULES
from lushan.errors import UserError
from lushan.run import inside
from lushan.run.identity import SWEEPS

if TYPE_CHECKING:
    from lushan.compat.hydra import CachingConfigRepository

TRUSTED = [f"{r.named}*" if r.named.endswith(".") else r.named for r in HYDRA_RULES]
"""Hydra's own list of what it may instantiate; `check_hydra` is stricter."""

ENVIRONMENT = (
    *("OMP_NUM_THREADS", "OMP_DYNAMIC", "OMP_PLACES", "OMP_PROC_BIND", "OMP_SCHEDULE"),
    *("MKL_NUM_THREADS", "MKL_DYNAMIC", "MKL_DOMAIN_NUM_THREADS", "MKL_CBWR"),
    *("MKL_THREADING_LAYER", "MKL_ENABLE_INSTRUCTIONS", "OPENBLAS_NUM_THREADS"),
    *("NUMEXPR_NUM_THREADS", "NUMEXPR_MAX_THREADS", "KMP_AFFINITY", "KMP_BLOCKTIME"),
    *("KMP_DUPLICATE_LIB_OK", "CUDA_VISIBLE_DEVICES", "TOKENIZERS_PARALLELISM"),
    *("NCCL_DEBUG", "NCCL_P2P_DISABLE", "NCCL_IB_DISABLE", "NCCL_SOCKET_IFNAME"),
    *("GLOO_SOCKET_IFNAME", "PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF"),
    *("PYTORCH_ENABLE_MPS_FALLBACK", "PYTORCH_MPS_HIGH_WATERMARK_RATIO"),
)
"""Variables that `hydra.job.env_set` may set, by their whole names: OMP_TOOL_LIBRARIES lets code
in, NCCL_DEBUG_FILE and MKL_VERBOSE_OUTPUT_FILE name a file that is written to."""

OURS = {
    "run.dir": "Run folders are below paths.output_dir.",
    "output_subdir": "The run folder has config.yaml and overrides.yaml.",
    "job.chdir": "Paths in a config are relative to the working folder.",
}
"""Keys of `hydra` that stay as conf/train.yaml has them, and where to look instead."""

_ALLOWED_VALUES: Mapping[str, tuple[object, ...]] = {
    "run.dir": (".",),
    "output_subdir": (None,),
    "job.chdir": (None, False),
}


def check_hydra(node: DictConfig, typed: Typed = ()) -> None:
    """Refuse what Hydra must not do for a config.

    Raises:
        UserError: It names code that did not come with Hydra or us, or changes what is ours.
    """
    for part in ("launcher", "sweeper", "callbacks"):
        written = _as_written(node[part], f"hydra.{part}")
        for key, inner in nodes(written, f"hydra.{part}"):
            locate(str(inner["_target_"]), key)
        if part != "callbacks" and isinstance(written, Mapping):
            launcher_settings.require(written, _resolved(node[part]), part, typed)
    for part in ("job_logging", "hydra_logging"):
        _check_logging(node[part], f"hydra.{part}")
    for name in node.job.env_set:
        if name not in ENVIRONMENT:
            raise UserError(
                "a config cannot set this variable",
                key=f"hydra.job.env_set.{name}",
                hint=f"Set it on the command line: {name}=... lushan train ...",
            )
    for key, hint in OURS.items():
        value = OmegaConf.select(node, key)
        if value not in _ALLOWED_VALUES[key]:
            raise UserError("this cannot be configured", key=f"hydra.{key}", value=value, hint=hint)


def require_own_sweep(node: DictConfig) -> None:
    """Refuse a sweep folder in which Hydra's `multirun.yaml` would replace another file.

    Hydra writes it before the first job, which removes it again.

    Raises:
        UserError: There is such a file, and it is not left by an earlier sweep.
    """
    with suppress(OmegaConfBaseException):
        folder = Path(str(node.sweep.dir))
        path = folder / "multirun.yaml"
        ours = folder.name == SWEEPS and inside.is_inside(path, folder.parent)
        if path.is_symlink() or (path.exists() and not ours):
            raise UserError(
                "Hydra would replace this file",
                key="hydra.sweep.dir",
                file=path,
                value=str(folder),
                hint="Choose a folder without one, or keep the default of hydra.sweep.dir.",
            )


def _as_written(node: object, key: str) -> object:
    """Return a node in plain values, unresolved: the names in `${oc.env:NAME}` are not checked yet.

    Raises:
        UserError: What stands there is a mapping or list that stands somewhere else.
    """
    if not isinstance(node, DictConfig | ListConfig):
        return node
    if is_empty(node):
        return None
    if isinstance(node, ListConfig):
        return [_member(node, place, f"{key}.{place}") for place in range(len(node))]
    return {name: _member(node, name, f"{key}.{name!s}") for name in node}


def _resolved(node: object) -> Any:
    """Return a node in plain values; without those that cannot be resolved before a job begins."""
    if not isinstance(node, DictConfig):
        return node
    found = {}
    for name in node:
        with suppress(OmegaConfBaseException):
            found[name] = _resolved(node[name])
    return found


def _member(node: DictConfig | ListConfig, name: Any, key: str) -> object:
    value = node_at(node, name)
    if not is_interpolation(value):
        return _as_written(value if OmegaConf.is_config(value) else raw_value(value), key)
    text = raw_value(value)
    with suppress(OmegaConfBaseException):
        if isinstance(node[name], DictConfig | ListConfig | Mapping | list | tuple):
            raise UserError(
                "this must be a literal value, not an interpolation", key=key, value=text
            )
    return text


def _check_logging(node: DictConfig | None, key: str) -> None:
    # `()`, `class`, `ext://` and queue listeners of logging's dictConfig all name code.
    for part in ("handlers", "formatters", "filters", "incremental"):
        if node and part in node:
            raise UserError(
                "the run configures logging",
                key=f"{key}.{part}",
                hint=f"Leave {key.replace('.', '/')} at none. The log is in the run's log.txt.",
            )


def check_search_path(
    repository: CachingConfigRepository, config_name: str | None, parsed: Sequence[Override]
) -> None:
    """Refuse places to search for configs that would be imported.

    Raises:
        UserError: A place of `hydra.searchpath` is not a folder, nor of an allowed package.
    """
    for override in parsed:
        if override.key_or_group.replace("[", ".").startswith("hydra.searchpath"):
            _check_places(override.value(), "command line")
    if config_name is None or not repository.config_exists(config_name):
        return
    primary = repository.load_config(config_path=config_name)
    assert primary is not None  # it exists
    try:
        places = OmegaConf.select(primary.config, "hydra.searchpath")
    except OmegaConfBaseException:
        places = None
    if places is not None:
        if OmegaConf.is_config(places):
            places = OmegaConf.to_container(places, resolve=False)
        _check_places(places, f"{config_name.removesuffix('.yaml')}.yaml")


def _check_places(places: object, origin: str) -> None:
    for place in places if isinstance(places, list) else [places]:
        scheme, found, rest = str(place).partition("://")
        if not found and "$" not in scheme:
            continue
        if scheme == "file" and "$" not in rest:
            continue
        package = rest.replace("/", ".")
        if scheme == "pkg" and any(
            package == p or package.startswith(f"{p}.") for p in user_prefixes()
        ):
            continue
        raise UserError(
            "configs can only be in folders",
            key="hydra.searchpath",
            value=place,
            file=origin,
            hint="Write hydra.searchpath=[file://FOLDER], or --config-dir FOLDER.",
        )
