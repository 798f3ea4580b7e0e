"""Comparison of a node of a config with the signature of what it names: keys, types of values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from lushan.config import types
from lushan.config.allow_list import require_arguments, rule_for
from lushan.config.build import METRICS, TARGET, given, is_reserved
from lushan.config.signatures import Parameter, Signature, signature
from lushan.errors import UnknownKey, UserError, did_you_mean

_RESERVED: Mapping[str, types.Kind] = {
    TARGET: ["str"],
    "_partial_": ["bool"],
    "_recursive_": ["bool"],
    "_args_": ["list", ["any"]],
    "_convert_": ["literal", "all"],
}


def require_node(key: str, node: object) -> None:
    """Refuse a group without `_target_`."""
    if not isinstance(node, Mapping) or TARGET not in node:
        hint = f"Choose an option of the group with {key.partition('.')[0]}=NAME."
        if key.startswith(f"{METRICS}."):
            hint = "For example, _target_: torchmetrics.text.WordErrorRate."
        problem = "this group needs a _target_"
        raise UserError(problem, key=key, value=node, hint=hint)


def bind(key: str, node: Mapping[str, Any]) -> Signature:
    """Compare a node with the signature of its target.

    Raises:
        UserError: See `check`.
    """
    found = signature(node[TARGET], key)
    require_arguments(node, key)
    own = _known_names(key, node, found)
    for name, value in node.items():
        if name in _RESERVED:
            require(f"{key}.{name}", value, _RESERVED[name])
        elif name in own:
            require(f"{key}.{name}", value, own[name].kind)
    if not node.get("_partial_"):
        _require_all(key, node, own.values())
    return found


def require_names(key: str, node: Mapping[str, Any]) -> dict[str, Parameter]:
    """Return what a node may set, once all its keys are among that, whatever their values are.

    Raises:
        UserError: There is no such key, or it is not the user's to set.
    """
    return _known_names(key, node, signature(node[TARGET], key))


def _known_names(key: str, node: Mapping[str, Any], found: Signature) -> dict[str, Parameter]:
    late = given(key)
    own = {n: p for n, p in found.parameters.items() if n not in late}
    takes_any = found.open and not rule_for(node[TARGET], key).closed
    for name, value in node.items():
        at = f"{key}.{name}"
        if is_reserved(name):
            if name not in _RESERVED:
                raise unknown(at, value, _RESERVED)
        elif name in late:
            raise UserError("the run sets this argument; a config cannot", key=at, value=value)
        elif name not in own and not takes_any:
            raise unknown(at, value, own, listed=_settable(own.values()))
    return own


def _require_all(key: str, node: Mapping[str, Any], parameters: Iterable[Parameter]) -> None:
    by_position = len(node.get("_args_") or ())
    for parameter in parameters:
        if parameter.positional and by_position > 0:
            by_position -= 1
        elif parameter.required and parameter.name not in node:
            raise UserError(
                f"this must be set: it has no default in {node[TARGET]}",
                key=f"{key}.{parameter.name}",
                hint=f"It must be {types.words(parameter.kind)}.",
            )


def _settable(parameters: Iterable[Parameter]) -> list[str]:
    return [p.name for p in parameters if types.writable(p.kind)]


def require(key: str, value: object, kind: types.Kind) -> None:
    """Refuse a value of another kind."""
    if types.fits(value, kind):
        return
    words = [option for option in types.options(kind) if isinstance(option, str)]
    near = did_you_mean(value, words) if isinstance(value, str) else None
    raise UserError(
        f"must be {types.bounds(value, kind) or types.words(kind)}",
        key=key,
        # `repr(None)` would not be shown, and is the mistake.
        value="null" if value is None else value,
        hint=near or types.repair(value, kind),
    )


def unknown(
    key: str, value: object, known: Iterable[str], *, listed: list[str] | None = None
) -> UserError:
    """The mistake of a key that does not exist."""
    names = listed or [n for n in known if not n.startswith("_")]
    hint = f"There are: {', '.join(names)}."
    return UnknownKey("unknown key", key=key, value=value, hint=hint)
