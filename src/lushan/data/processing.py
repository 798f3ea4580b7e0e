"""Processors: what makes a model's inputs of texts, of images, or of both.

A processor is a tokenizer, an image processor, or one of transformers that holds several of them.
What the rest asks of one is asked here.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lushan.common.override_text import typed
from lushan.configurable import configurable
from lushan.errors import UserError
from lushan.run import checksums
from lushan.run.artifacts import PROCESSOR, is_run
from lushan.run.files import intact, read_json
from lushan.text import hub, tokenizers

if TYPE_CHECKING:
    from transformers import BaseImageProcessor, PreTrainedTokenizerFast, ProcessorMixin

    Processor = PreTrainedTokenizerFast | BaseImageProcessor | ProcessorMixin
    """What makes a model's inputs: of text, of images, or of both."""

IMAGES, WHOLE = "preprocessor_config.json", "processor_config.json"
"""Files of an image processor, and of one that holds several."""
FILES = (WHOLE, IMAGES, *tokenizers.FILES)
"""Files of any processor; each kind has some of them."""

_OF_OTHERS = ("auto_map", "chat_template", "processor_class")
"""Settings of a processor that decide nothing of its inputs: templates are the tasks'."""

_MOST_RENAMED = 0.05
"""Share of ids that may have got another meaning: BERT has 3 % that are unused."""


def tokenizer_of(processor: Processor) -> Any | None:
    """Return the tokenizer in a processor, or that it is; None where it has none."""
    inside = getattr(processor, "tokenizer", None)
    if inside is not None:
        return inside
    return processor if hasattr(processor, "get_vocab") else None


def require_tokenizer(processor: Processor) -> PreTrainedTokenizerFast:
    """Return the tokenizer of a processor.

    Raises:
        UserError: It has none.
    """
    found = tokenizer_of(processor)
    if found is None:
        raise UserError(
            "this task needs text, but the processor has no tokenizer",
            key="processor",
            value=type(processor).__name__,
            hint="Write processor=bpe, or processor=pretrained with the path of a tokenizer.",
        )
    return found


def require_image_processor(processor: Processor) -> Any:
    """Return the image processor in a processor, or that it is.

    Raises:
        UserError: It has none.
    """
    found = getattr(processor, "image_processor", processor)
    if "pixel_values" not in getattr(found, "model_input_names", ()):
        raise UserError(
            "this task needs images, but the processor does not support them",
            key="processor",
            value=type(processor).__name__,
            hint="Write processor=image, or processor=pretrained with the path of an image "
            "processor.",
        )
    return found


def vocabulary(processor: Processor) -> dict[str, int]:
    """Return what a model must know of a processor's tokenizer; nothing where it has none."""
    found = tokenizer_of(processor)
    if found is None:
        return {}
    return {"vocab_size": len(found), "pad_token_id": found.pad_token_id}


@configurable
def pretrained(path: str, prefix_space: bool = True, scripts: list[str] | None = None) -> Processor:
    """Load the processor of a checkpoint: its tokenizer, its image processor, or both in one.

    Args:
        path: A folder, a .gguf file, `pkg://package/inside`, a Hub id, or the folder of an earlier
            run.
        prefix_space: Byte-level tokenizers (RoBERTa, ModernBERT) and SentencePiece (XLM-R, E5)
            tokenize the first word of a text, and every word of a pre-split sentence, as if a space
            preceded it. Turn this off if words are Chinese characters. It has no effect on other
            tokenizers.
        scripts: As in `model`; both must have the same value.

    Raises:
        UserError: There is none, or its tokenizer has no fast version.
    """
    if is_run(path):
        processor = stored(Path(path).expanduser())
    else:
        place = hub.find(path, key="processor.path", scripts=scripts)
        with hub.explained(place, key="processor.path", what="processor"):
            processor = read(place)
    tokenizer = tokenizer_of(processor)
    if tokenizer is not None:
        tokenizers.adapt(tokenizer, path, prefix_space=prefix_space)
    return processor


def stored(run: Path) -> Processor:
    """Load the processor of a run from its folder.

    Raises:
        UserError: A file of it is missing or damaged.
    """
    folder = checksums.verified(run, PROCESSOR)
    others = [name for name in (IMAGES, WHOLE) if (folder / name).is_file()]
    for name in others or tokenizers.FILES:  # transformers would make another of what is left
        with intact(folder / name) as path:
            read_json(path)
    place = hub.local(folder, key="processor")
    with intact(folder), hub.explained(place, key="processor", what="processor"):
        return read(place)


def read(place: hub.Place) -> Processor:
    """Load a processor by the class of transformers that its files are for."""
    import transformers

    auto: Any = transformers.AutoTokenizer
    if not hub.has_file(place, IMAGES) and not hub.has_file(place, WHOLE):
        return auto.from_pretrained(place.path, **place.options)
    auto = transformers.AutoProcessor
    if any(hub.has_file(place, name) for name in (WHOLE, *tokenizers.FILES)):
        return auto.from_pretrained(place.path, **place.options)
    # The same pixels wherever it runs: transformers would take torchvision where that is installed.
    auto = transformers.AutoImageProcessor
    return auto.from_pretrained(place.path, backend="pil", **place.options)


def fingerprint(processor: Processor) -> str:
    """Return a hash of everything that decides what a processor makes of its inputs."""
    if hasattr(processor, "backend_tokenizer"):
        return tokenizers.fingerprint(require_tokenizer(processor))
    parts = [type(processor).__name__]
    if hasattr(processor, "get_attributes"):
        names = sorted(processor.get_attributes())
        parts += [f"{name} {fingerprint(getattr(processor, name))}" for name in names]
        own = {n: v for n, v in processor.to_dict().items() if n not in {*names, *_OF_OTHERS}}
        parts.append(json.dumps(own, sort_keys=True, default=str))
    else:
        parts.append(processor.to_json_string())
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def require_same_ids(
    processor: Processor, path: str, *, key: str, scripts: list[str] | None = None
) -> str | None:
    """Refuse a tokenizer whose ids are other tokens to the weights that will read them.

    Args:
        processor: Of the run.
        path: Where the weights come from, with the tokenizer that they were trained with; nothing
            is compared where there is none.
        key: What named `path`, for the error.
        scripts: What the weights' vocabulary is pruned to; see `pretrained`.

    Returns:
        A note where a few ids differ, as of unused ones that were given a meaning.
    """
    tokenizer = tokenizer_of(processor)
    try:
        other = None if tokenizer is None else tokenizer_of(pretrained(path, scripts=scripts))
    except UserError:
        return None
    if tokenizer is None or other is None:
        return None
    mine = {number: token for token, number in tokenizer.get_vocab().items()}
    theirs = {number: token for token, number in other.get_vocab().items()}
    both = mine.keys() & theirs.keys()
    differ = sorted(number for number in both if mine[number] != theirs[number])
    if not differ:
        return None
    first = differ[0]
    problem = (
        f"{len(differ):,} of {len(both):,} ids are different tokens for the weights of {path}: "
        f"{first} is {mine[first]!r} here, but {theirs[first]!r} there"
    )
    if len(differ) > _MOST_RENAMED * len(both):
        raise UserError(
            problem,
            key="processor",
            hint=f"Write processor=pretrained {typed('processor.path', str(path))}, or remove "
            f"{key}.",
        )
    return f"tokenizer: {problem}"
