"""Adapters that peft puts into a model's modules: LoRA and its kin, IA³."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import peft
from peft.mapping import PEFT_TYPE_TO_TUNER_MAPPING
from peft.tuners.tuners_utils import BaseTunerLayer
from peft.utils import (
    TRANSFORMERS_MODELS_TO_IA3_TARGET_MODULES_MAPPING,
    AuxiliaryTrainingWrapper,
)

from lushan.errors import UserError
from lushan.models.peft.adaptation import Adaptation

if TYPE_CHECKING:
    from transformers import PreTrainedModel

ALL = "all-linear"
"""peft's word for every linear module but the output projection."""

_MORE = {
    "LORA": {"modernbert": ["Wqkv"]},
    "ADALORA": {"modernbert": ["Wqkv"]},
    "IA3": {"modernbert": ["Wqkv", "mlp.Wo"], "electra": ["key", "value", "output.dense"]},
}
"""Method to model family to targets, for families that peft does not know."""

_FEEDFORWARD = {"modernbert": ["mlp.Wo"], "electra": ["output.dense"]}
"""IA³ targets whose input is scaled, not their output."""

_PLAIN_STARTS = (True, False, "gaussian", "orthogonal")
"""Ways to begin LoRA's weights that leave those of the base alone."""


class Tuned(Adaptation):
    """A model with adapters that peft has put into its modules.

    Args:
        model: Of transformers.
        config: Of the method; what it leaves open is filled in.

    Attributes:
        peft: peft's own model around it, for what only peft can do.
    """

    def __init__(self, model: PreTrainedModel, config: peft.PeftConfig) -> None:
        _refuse_other_base(config)
        choose_targets(model, config)
        projection = model.get_output_embeddings()
        with explained(model, config):
            # Its layers go into the model itself, in place; the wrapper stays outside.
            self.peft: Any = peft.get_peft_model(model, config)
        layers = [m for m in model.modules() if isinstance(m, BaseTunerLayer)]
        super().__init__(model, _name(config), changed=len(layers))
        self.config: Any = config
        _refuse_output(model, projection)

    def merged(self) -> PreTrainedModel:
        """A plain model of transformers with the same outputs; this one stays as it is.

        Raises:
            UserError: The method cannot be merged.
        """
        if getattr(self.model, "is_loaded_in_4bit", False):
            raise UserError(
                "4-bit weights cannot be merged without loss",
                key="peft.quantize",
                hint="Export only the adapter with --adapter.",
            )
        try:
            plain = copy.deepcopy(self.peft).merge_and_unload()
        except (AttributeError, NotImplementedError, TypeError):
            return super().merged()
        plain.__dict__.pop("peft_config", None)
        return plain.requires_grad_(True)

    def save(self, folder: str | Path) -> None:
        """Write the adapter alone, as peft does; `PeftModel.from_pretrained` reads it."""
        # Asked "auto", peft looks the base up on the hub.
        self.peft.save_pretrained(str(folder), save_embedding_layers=False)
        (Path(folder) / "README.md").unlink(missing_ok=True)  # a card of blanks


def _name(config: peft.PeftConfig) -> str:
    kind = str(getattr(config.peft_type, "value", config.peft_type)).lower()
    variants = {"use_dora": "dora", "use_rslora": "rslora"}
    return next((v for flag, v in variants.items() if getattr(config, flag, False)), kind)


def choose_targets(model: PreTrainedModel, config: Any) -> None:
    """Fill in the target modules where none are given, by the model's family.

    Raises:
        UserError: The family is unknown, and the method needs to know it.
    """
    if getattr(config, "target_modules", "") is not None or getattr(
        config, "target_parameters", None
    ):
        return
    family, kind = model.config.model_type, config.peft_type.value
    if family in (known := _known(config)):
        if kind != "IA3":  # which peft fills in; of Mixtral's it loses the others, too
            config.target_modules = set(known[family])
        return
    if family in _MORE.get(kind, {}):
        config.target_modules = set(_MORE[kind][family])
        if hasattr(config, "feedforward_modules") and config.feedforward_modules is None:
            config.feedforward_modules = set(_FEEDFORWARD[family])
    elif kind == "IA3":
        raise UserError(
            f"the key, value and feed-forward modules of a {family} model are unknown",
            key="peft.config.target_modules",
            hint="Write peft.config.target_modules=[...] and its subset "
            "peft.config.feedforward_modules=[...].",
        )
    else:
        config.target_modules = ALL


def _known(config: Any) -> Any:
    """Return peft's targets for a method, by model family."""
    if config.peft_type.value == "IA3":
        return TRANSFORMERS_MODELS_TO_IA3_TARGET_MODULES_MAPPING
    return getattr(PEFT_TYPE_TO_TUNER_MAPPING[config.peft_type], "target_module_mapping", {})


def _refuse_other_base(config: Any) -> None:
    start = getattr(config, "init_lora_weights", True)
    if start not in _PLAIN_STARTS:
        raise UserError(
            "this initialisation changes the base or needs data, but the base must stay frozen",
            key="peft.config.init_lora_weights",
            value=start,
            hint="Write true, gaussian or orthogonal.",
        )


def _refuse_output(model: PreTrainedModel, projection: Any) -> None:
    """The loss is computed from the output projection's weights, so it must be a plain one."""
    if projection is None:
        return
    weight = projection.weight
    for name, module in model.named_modules():
        base = module.get_base_layer() if isinstance(module, BaseTunerLayer) else None
        if isinstance(module, AuxiliaryTrainingWrapper):
            base = getattr(module, "original_module", None)
        if base is projection or (base is not None and getattr(base, "weight", None) is weight):
            raise UserError(
                f"{name} is the output projection, or shares its weights, and cannot be adapted",
                key="peft.config.target_modules",
                hint="Choose other modules, or exclude it with peft.config.exclude_modules.",
            )


@contextmanager
def explained(model: PreTrainedModel, config: Any) -> Iterator[None]:
    """Raise what peft refuses as a mistake in the config, without its advice about models."""
    named = {n.rpartition(".")[2] for n, m in model.named_modules() if hasattr(m, "weight")}
    try:
        with warnings.catch_warnings():
            # It sets fan_in_fan_out right by itself where a module wants it.
            warnings.filterwarnings("ignore", message="fan_in_fan_out is set to")
            warnings.filterwarnings("ignore", category=FutureWarning)
            yield
    except (ValueError, TypeError, NotImplementedError, KeyError) as error:
        text = str(error).strip().splitlines()[0]
        raise UserError(
            f"this adapter does not fit a {model.config.model_type} model: {text}",
            key="peft.config",
            value=getattr(config, "target_modules", None),
            hint=f"Modules: {', '.join(sorted(named))}.",
        ) from error
