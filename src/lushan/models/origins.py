"""Origins of weights: which parts of a run are pretrained when it begins, and which are fresh."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from torch import nn

from lushan.models.peft.adaptation import adaptation_of

_NAMED = 3
"""Weights that are named where more are new."""


def origins(cfg: Mapping[str, Any], model: nn.Module, *, trains_tokenizer: bool) -> list[str]:
    """Two lines, `pretrained: ...` and `fresh: ...`, one of which names each part of a run."""
    parts = [*_parts(cfg, model), _processor(cfg["processor"], trained=trains_tokenizer)]
    lines = []
    for name, wanted in (("pretrained", True), ("fresh", False)):
        found = [part for part, is_pretrained in parts if is_pretrained is wanted]
        lines.append(f"{name}: {', '.join(found) or 'nothing'}")
    return lines


def _parts(cfg: Mapping[str, Any], model: nn.Module) -> Iterator[tuple[str, bool]]:
    """Encoder, head and adapter, each with whether it is pretrained."""
    encoder: Any = model.encoder
    inside = {id(weight) for weight in encoder.parameters()}
    head = sum(w.numel() for w in model.parameters() if id(w) not in inside)
    adaptation, checkpoint = adaptation_of(model), cfg["ckpt_path"]
    of_checkpoint = f"(checkpoint {checkpoint})"
    path = cfg["model"].get("path")
    if checkpoint and adaptation is None:
        yield f"encoder {of_checkpoint}", True
    elif isinstance(path, str):
        yield f"encoder ({path})", True
        if new := getattr(encoder, "new_weights", ()):
            more = ", ..." if len(new) > _NAMED else ""
            yield f"{len(new)} weights of it ({', '.join(new[:_NAMED])}{more})", False
    else:
        yield "encoder", False
    if adaptation is not None:
        of = of_checkpoint if checkpoint else f"({adaptation.method})"
        yield f"adapter {of}", bool(checkpoint)
    if head:
        of = of_checkpoint if checkpoint else f"({head:,} parameters)"
        yield f"head {of}", bool(checkpoint)


def _processor(node: Mapping[str, Any], *, trained: bool) -> tuple[str, bool]:
    if trained:
        return "tokenizer (trained on the training text)", False
    return f"processor ({node.get('path') or node['_target_']})", "path" in node
