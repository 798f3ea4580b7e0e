"""An adapter alone, as peft keeps it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from lushan.common import parsing
from lushan.engine.components import make_encoder
from lushan.errors import RunFailed, UserError
from lushan.export.written import Written
from lushan.inference.load import Loaded
from lushan.models.exported import TEXTS
from lushan.models.peft import bottleneck
from lushan.models.peft.adaptation import adaptation_of
from lushan.run.artifacts import is_run
from lushan.run.files import write_json

if TYPE_CHECKING:
    from transformers import PreTrainedModel

CONFIG = "adapter_config.json"
_CLOSE = 1e-4


def write_adapter(loaded: Loaded, folder: Path) -> Written:
    """Write a run's adapter, and its tokenizer, and put it on its base again to see.

    Raises:
        UserError: The run has no adapter, or a head that would be left behind.
        RunFailed: On its base it is not the run's model.
    """
    adaptation = adaptation_of(loaded.model)
    whole: Any = loaded.model
    if adaptation is None:
        raise UserError("this run has no adapter", key="--adapter", hint="Remove it.")
    if hasattr(whole, "head"):
        raise UserError(
            "the head of this model is not part of its adapter and would be missing",
            key="--adapter",
            hint="Remove --adapter to merge the adapter.",
        )
    adaptation.save(folder)
    loaded.tokenizer.save_pretrained(folder)
    base = _name_base(loaded, folder / CONFIG)
    distance = _apart(loaded, folder)
    if distance > _CLOSE:
        raise RunFailed(
            f"the adapter on its base does not match the run's model: outputs differ by "
            f"{distance:.2g} of "
            "the largest one; nothing was written"
        )
    ours = isinstance(adaptation, bottleneck.Bottlenecked)
    attach = 'from peft import PeftModel\nmodel = PeftModel.from_pretrained(base, "DIR")'
    if ours:
        attach = 'from lushan.models.peft import bottleneck\nmodel = bottleneck.load(base, "DIR")'
    return Written(
        usage=f"base = ...  # {base}\n{attach}",
        notes=[f"It is an adapter ({adaptation}), and belongs to its base: {base}."],
        proof=[f"on its base it matches the run's model; largest difference {distance:.1e}"],
        library="peft",
    )


def _name_base(loaded: Loaded, config: Path) -> str:
    """Write down what the adapter belongs to; in words, what that is."""
    path = loaded.cfg["model"].get("path")
    settings = parsing.read_json(config)
    if path is None:
        name, description = (
            None,
            f"the model that seed {loaded.cfg['seed']} makes by the config below",
        )
    elif is_run(path):
        name, description = None, f"the run {Path(path).name}, written out by `lushan export`"
    else:
        is_folder = Path(path).expanduser().is_dir()
        name = str(Path(path).expanduser().resolve()) if is_folder else str(path)
        description = Path(path).name if is_folder else str(path)
    if "base_model_name_or_path" in settings:  # peft's; our own format has none
        settings["base_model_name_or_path"] = name
        write_json(config, settings)
    return description


def _apart(loaded: Loaded, folder: Path) -> float:
    """Return the largest difference between the run's model and the adapter on a new base."""
    plain = {**loaded.cfg, "peft": None}
    with torch.random.fork_rng(), torch.inference_mode(mode=False):
        base = make_encoder(plain, loaded.task, loaded.tokenizer).model
        if isinstance(adaptation_of(loaded.model), bottleneck.Bottlenecked):
            again: Any = bottleneck.load(base, folder)
        else:
            from peft import PeftModel

            again = PeftModel.from_pretrained(base, folder)
    whole: Any = loaded.model
    apart = largest = 0.0
    for text in TEXTS:
        ids = torch.tensor([loaded.tokenizer(text)["input_ids"][: loaded.limits.max_length]])
        ours = _outputs(whole.encoder.model, ids)
        theirs = _outputs(again.eval(), ids)
        apart = max(apart, float((ours - theirs[:, -ours.shape[1] :]).abs().max()))
        largest = max(largest, float(ours.abs().max()))
    return apart / max(largest, 1e-6)


def _outputs(model: PreTrainedModel, ids: Tensor) -> Tensor:
    given = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    if model.config.is_encoder_decoder:
        given["decoder_input_ids"] = ids
    return model(**given).logits
