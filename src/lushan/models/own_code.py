"""Models whose architecture is code of their own: found, kept in the run folder, known by its hash.

Nothing here runs such code unless the command line permits it (`lushan.run.remote_code`).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from lushan.errors import UserError
from lushan.run import remote_code
from lushan.run.files import sha256_file

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def own_class(config: Any, auto: str, revision: str | None = None) -> type[PreTrainedModel] | None:
    """The class in the code that came with a config; None where there is none, or it may not run.

    transformers prefers it to a class of its own, and so it is here.

    Args:
        config: An instance.
        auto: The class that chooses among architectures: `AutoModel`.
        revision: The hub's commit.
    """
    named = getattr(config, "auto_map", None) or {}
    if not remote_code.permitted() or auto not in named:
        return None
    from transformers.dynamic_module_utils import get_class_from_dynamic_module

    found: Any = get_class_from_dynamic_module(named[auto], config.name_or_path, revision=revision)
    found.register_for_auto_class(auto)  # what is saved of it has its code beside it
    return found


def require_whole(model: PreTrainedModel, part: object) -> None:
    """Refuse to keep a part of a model alone, whose code makes the whole."""
    if part is not model and is_own(model):
        raise UserError(
            f"{type(model).__name__} uses its own code, so its encoder cannot be used separately",
            key="model.path",
            hint="Use it with task=seq2seq.",
        )


def is_own(model: PreTrainedModel) -> bool:
    """Return whether a model's class came with it."""
    ask = getattr(type(model), "is_remote_code", None)
    return ask is not None and bool(ask())


def save_shape(encoder: Any, folder: Path) -> None:
    """Write what a model is without its weights: its config, and its code where that is its own.

    Args:
        encoder: With `model` and `config`, of transformers.
        folder: Does not exist.
    """
    folder.mkdir()
    if is_own(encoder.model):
        from transformers.dynamic_module_utils import custom_object_save

        custom_object_save(encoder.model, folder, config=encoder.config)
    encoder.config.save_pretrained(folder)


def hashes(folder: Path) -> dict[str, str]:
    """The SHA-256 of each file of code in a folder."""
    return {path.name: sha256_file(path) for path in sorted(folder.glob("*.py"))}
