"""Suggestions for a key that does not exist: by the table of peers' names, then by spelling."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from lushan.common import shell
from lushan.config.peers import PEERS, Peer, peer_of
from lushan.errors import nearest


def hint_for(
    name: str,
    value: object,
    keys: Collection[str],
    groups: Collection[str] = (),
    values: Mapping[str, Any] | None = None,
) -> str | None:
    """Suggest what to write instead of a key that does not exist; None where that is not certain.

    Args:
        name: The key, dotted.
        value: What was to be its value; None where nothing was given.
        keys: All keys that can be set.
        groups: All groups an option can be chosen of.
        values: The values of `keys` that are not null, as far as they are known.
    """
    leaf = name.rpartition(".")[2]
    near = nearest(name, [*groups, *keys])
    peer = peer_of(name)
    if near and (peer is None or near.rpartition(".")[2] == leaf):
        return f"Did you mean {near}?"
    if peer is not None:
        return from_peer(peer, value, keys, groups, values)
    if (suggestion := nearest(leaf, PEERS)) is not None:  # a peer's name, misspelt
        return from_peer(PEERS[suggestion], value, keys, groups, values)
    same = [key for key in keys if key.rpartition(".")[2] == leaf and not _is_node(key, keys)]
    least = min((key.count(".") for key in same), default=0)
    same = [key for key in same if key.count(".") == least]
    if len(same) == 1:  # `max_epochs=3`, `trainer.lr=1`
        text = as_text(value)
        whole = "." not in name and text is not None
        return f"Write {shell.quote(f'{same[0]}={text}')}." if whole else f"There is {same[0]}."
    return None


def from_peer(
    peer: Peer,
    value: object,
    keys: Collection[str],
    groups: Collection[str] = (),
    values: Mapping[str, Any] | None = None,
) -> str | None:
    """The hint of another tool's setting, of keys that exist; None where there are none."""
    lines = peer.overrides(as_text(value))
    names = [line.partition("=")[0] for line in lines]
    if any(name not in keys and name not in groups for name in names):
        group = peer.choose.partition("=")[0]
        lines = [peer.choose, *lines] if group and group in groups else []
    if lines:
        given = values or {}
        lines += [f"{key}=null" for key in peer.replaces if given.get(key) is not None]
    parts = [f"Write {shell.join(lines)}."] if lines else []
    return " ".join([*parts, *([peer.note] if peer.note else [])]) or None


def _is_node(key: str, keys: Collection[str]) -> bool:
    return any(other.startswith(f"{key}.") for other in keys)


def as_text(value: object) -> str | None:
    """A value as it is written on a command line; None of what is no single value."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, str | int | float) else None
