"""Fresh models that are smaller than their presets: half of a small run's time is their products.

How wide a model is decides nothing of when a run saves, dies, resumes or is refused.
"""

from __future__ import annotations

from collections.abc import Iterable

WIDTHS = {
    "bert_tiny": {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1},
    "deberta_tiny": {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1},
    "gpt2_tiny": {"n_embd": 32},
    "llama_tiny": {"hidden_size": 32, "head_dim": 8, "intermediate_size": 32},
    "qwen_tiny": {"hidden_size": 32, "head_dim": 8, "intermediate_size": 32},
    "t5_tiny": {"d_model": 32, "d_kv": 8, "d_ff": 32},
}
"""Preset to keys of `model.config`."""
WIDE = ("model.config.hidden_size=128", "model.config.intermediate_size=512")
"""A BERT as wide as its preset, for tests of disks that fill up and of what is not stored."""


def narrowed(overrides: Iterable[str]) -> list[str]:
    """Return overrides with widths for the model that they choose, where they give none."""
    given = dict(line.partition("=")[::2] for line in overrides)
    sizes = {f"model.config.{key}": n for key, n in WIDTHS.get(given.get("model", ""), {}).items()}
    return [*overrides, *(f"{key}={n}" for key, n in sizes.items() if key not in given)]
