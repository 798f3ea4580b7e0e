"""Our heads as those that classes of transformers have: the same scores, in other places.

For tags most classes have one linear layer, as we do. For texts they put a dense layer with an
activation before it, which must then do nothing. `tanh` does nothing to what is small: a power of
two makes everything small before it, and large again behind it, without rounding. For GELU, ReLU
and SiLU `f(a) - f(-a)` is `a`: the scores themselves go through the dense layer, once as they are
and once negated.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from lushan.errors import UserError

_SMALL = 2.0**-13
"""tanh changes what is multiplied by it by less than 1e-6 of itself."""
_TINY = 2.0**-30
"""So little, that a layer norm's own epsilon is all that it divides by."""
_MIRRORED = ("gelu", "gelu_new", "gelu_pytorch_tanh", "relu", "silu", "swish")
"""Activations with f(a) - f(-a) = a."""


@dataclasses.dataclass(frozen=True)
class Place:
    """What a class of transformers has between its encoder and its scores.

    Attributes:
        dense: Name of the layer (H, H).
        out: Of the layer of the scores.
        activation: Between them; a field of the config where it is written `config.name`.
        norm: Name of a layer norm behind it.
    """

    dense: str
    out: str
    activation: str
    norm: str | None = None


_ROBERTA = Place("classifier.dense", "classifier.out_proj", "tanh")
_DEBERTA = Place("pooler.dense", "classifier", "config.pooler_hidden_act")
_MODERNBERT = Place("head.dense", "classifier", "config.classifier_activation", norm="head.norm")
TEXTS: Mapping[str, Place] = {
    "bert": Place("bert.pooler.dense", "classifier", "tanh"),
    "roberta": _ROBERTA,
    "xlm-roberta": _ROBERTA,
    "camembert": _ROBERTA,
    "electra": Place("classifier.dense", "classifier.out_proj", "gelu"),
    "deberta": _DEBERTA,
    "deberta-v2": _DEBERTA,
    "distilbert": Place("pre_classifier", "classifier", "relu"),
    "modernbert": _MODERNBERT,
}
"""By family, for scores of texts."""
WORDS: Mapping[str, Place] = {"modernbert": _MODERNBERT}
"""For scores of words, where they are no single layer."""
POOLINGS: Mapping[str, Sequence[str]] = {"modernbert": ("cls", "mean")}
"""What a family can make of a text; the others read its first token."""


def tagger(model: Any, scores: nn.Linear, labels: Sequence[str]) -> Any:
    """A model for token classification with the scores of a linear head.

    Args:
        model: The encoder, of transformers.
        scores: The head's layer.
        labels: What each score is of.

    Raises:
        UserError: transformers has no such class for this family, or none that fits.
    """
    made = _around(model, "TOKEN_CLASSIFICATION", labels, {})
    family = model.config.model_type
    if family in WORDS:
        _carry(made, WORDS[family], scores)
        return made
    prefix = f"{made.base_model_prefix}."
    own = [n for n, _ in made.named_parameters() if not n.startswith(prefix)]
    layers = {name.rpartition(".")[0] for name in own}
    layer = made.get_submodule(next(iter(layers))) if len(layers) == 1 else None
    if not isinstance(layer, nn.Linear) or layer.weight.shape != scores.weight.shape:
        raise UserError(
            f"the tagging head of a {family} model is more than one linear layer",
            key="task.head",
            hint="`lushan predict` uses the run as it is.",
        )
    layer.load_state_dict(scores.state_dict())
    return made


def classifier(
    model: Any, scores: nn.Linear, labels: Sequence[str], *, pooling: str, problem: str
) -> Any:
    """A model for sequence classification with the scores of a linear head.

    Args:
        model: The encoder, of transformers.
        scores: The head's layer.
        labels: What each score is of; one alone where it is a number.
        pooling: How a text's hidden states become one vector.
        problem: transformers' name for the kind: `regression`, ...

    Raises:
        UserError: transformers has no such class for this family or pooling.
    """
    family = model.config.model_type
    known = POOLINGS.get(family, ("cls",))
    if pooling not in known:
        raise UserError(
            f"a {family} classifier of transformers has no such pooling",
            key="task.pooling",
            value=pooling,
            hint=f"It has {' and '.join(known)}; `lushan predict` uses the run as it is.",
        )
    if family not in TEXTS:
        raise UserError(
            f"it is not known how the head fits a {family} classifier of transformers",
            key="model",
            value=family,
            hint=f"It fits {', '.join(TEXTS)}; `lushan predict` uses the run as it is.",
        )
    options = {"problem_type": problem}
    if family in POOLINGS:
        options["classifier_pooling"] = pooling
    made = _around(model, "SEQUENCE_CLASSIFICATION", labels, options)
    _carry(made, TEXTS[family], scores)
    return made


def _around(model: Any, kind: str, labels: Sequence[str], options: Mapping[str, Any]) -> Any:
    """A class of transformers around the weights of an encoder, its head still random."""
    import transformers

    classes: Any = getattr(transformers, f"MODEL_FOR_{kind}_MAPPING").get(type(model.config), None)
    if classes is None:
        raise UserError(
            f"transformers has no {kind.lower().replace('_', ' ')} for a {model.config.model_type}",
            key="model",
            hint="`lushan predict` uses the run as it is.",
        )
    config = copy.deepcopy(model.config)
    config.id2label = dict(enumerate(labels))
    config.label2id = {label: number for number, label in enumerate(labels)}
    for name, value in options.items():
        setattr(config, name, value)
    with torch.random.fork_rng():
        made = (classes[0] if isinstance(classes, tuple) else classes)(config)
    lacks, extra = made.base_model.load_state_dict(model.state_dict(), strict=False)
    if extra or any("pooler" not in name for name in lacks):
        raise UserError(
            f"the encoder does not fit a {type(made).__name__}: {[*lacks, *extra][0]}", key="model"
        )
    return made.eval()


@torch.no_grad()
def _carry(made: Any, place: Place, scores: nn.Linear) -> None:
    """Let the scores come out behind a dense layer and an activation as if they were not there."""
    dense, out = made.get_submodule(place.dense), made.get_submodule(place.out)
    activation = place.activation
    if activation.startswith("config."):
        activation = getattr(made.config, activation.removeprefix("config."))
    weight, bias = scores.weight, scores.bias
    count, width = weight.shape
    for layer in (dense, out):
        layer.weight.zero_()
        if layer.bias is not None:
            layer.bias.zero_()
    if activation == "tanh" and place.norm is None:
        dense.weight.copy_(torch.eye(width) * _SMALL)
        out.weight.copy_(weight / _SMALL)
    elif activation in _MIRRORED and 2 * count <= width:
        before, behind = _scales(made, place)
        dense.weight[: 2 * count] = torch.cat([weight, -weight]) * before
        out.weight[:, :count] = torch.eye(count) * behind
        out.weight[:, count : 2 * count] = -torch.eye(count) * behind
    else:
        raise UserError(
            f"{count} scores cannot be carried through the head of a {made.config.model_type} "
            f"classifier ({activation}, {width} wide)",
            key="task.head",
            hint="`lushan predict` uses the run as it is.",
        )
    out.bias.copy_(bias)


def _scales(made: Any, place: Place) -> tuple[float, float]:
    """What scores are multiplied by before a layer norm, and behind it; 1 where there is none."""
    if place.norm is None:
        return 1.0, 1.0
    norm = made.get_submodule(place.norm)
    norm.weight.fill_(1.0)
    if norm.bias is not None:
        norm.bias.zero_()
    return _TINY, float(norm.eps) ** 0.5 / _TINY
