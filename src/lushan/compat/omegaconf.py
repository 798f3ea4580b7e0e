"""Private names of OmegaConf.

Its public access resolves interpolations; what stands in a node as it was written (a config that is
checked before anything is resolved, a node whose interpolation has no value yet) has none.
"""

from __future__ import annotations

from typing import Any

from omegaconf import DictConfig, ListConfig, Node


def node_at(container: DictConfig | ListConfig, key: Any) -> Any:
    """Return the node at a key or place, unresolved; None where there is none."""
    return container._get_node(key)


def is_empty(container: DictConfig | ListConfig) -> bool:
    """Return whether a mapping or list is null or `???`.

    `OmegaConf.is_missing` asks the parent by key, and a node at hand may have none.
    """
    return container._is_none() or container._is_missing()


def is_interpolation(node: Node) -> bool:
    """Return whether a node is written as `${...}`."""
    return bool(node._is_interpolation())


def raw_value(node: Node) -> object:
    """Return what stands in a node, unresolved: `${...}` as text."""
    return node._value()
