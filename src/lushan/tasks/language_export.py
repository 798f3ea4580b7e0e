"""Export of tasks of language models: how texts begin and end."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from lushan.common.parsing import parse_json
from lushan.data.processing import require_tokenizer
from lushan.models.codec import BEGIN, CODE, Codec
from lushan.models.exported import TEXTS, ExportSpec, TrainedModel
from lushan.tasks.exporting import tokenizer_for
from lushan.tasks.language import LanguageTask
from lushan.text import parts
from lushan.text.document_tokens import borders
from lushan.vision import images

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

IdsOf = Callable[[Any, Any], list[int]]
"""From a tokenizer and an example to the token ids that the exported model reads."""


def causal(
    task: LanguageTask,
    trained: TrainedModel,
    rows: Mapping[str, Sequence[Any]],
    *,
    ids_of: IdsOf,
    prompt: str,
) -> ExportSpec:
    """Describe a causal language model.

    Args:
        task: The run's task.
        trained: The run's model.
        rows: The examples, in the column that the task reads.
        ids_of: Token ids of an example by the exported tokenizer alone.
        prompt: A prompt in Python, for the usage.
    """
    whole = trained.whole
    tokenizer = tokenizer_for(trained, whole.encoder.max_length or trained.max_length)
    _set_generation(trained.plain, task, tokenizer)
    trained.plain.generation_config.bos_token_id = borders(tokenizer)[0]
    (examples,) = rows.values()
    own_ids = task.prompts({name: list(values) for name, values in rows.items()})
    assert own_ids is not None
    longest = whole.encoder.max_length or max(map(len, own_ids))

    def ask(model: PreTrainedModel, theirs: object, example: object) -> Tensor:
        return _next(model, ids_of(theirs, example)[:longest])

    return ExportSpec(
        model=trained.plain,
        processor=_beginning(tokenizer),
        auto_class="AutoModelForCausalLM",
        pipeline="text-generation",
        usage='write = pipeline("text-generation", "DIR")\n'
        f"print(write({prompt}, max_new_tokens=64, do_sample=False))",
        notes=[f"Its training length was {trained.max_length} tokens."],
        examples=examples,
        ask=ask,
        expected=[_next(whole.encoder.model, ids[:longest]) for ids in own_ids],
    )


def image_text(task: LanguageTask, trained: TrainedModel) -> ExportSpec:
    """Describe a model of images and text, asked in messages with and without an image."""
    whole = trained.whole
    processor: Any = copy.copy(trained.processor)
    longest = whole.encoder.max_length or trained.max_length
    processor.tokenizer = _plain(tokenizer_for(trained, longest))
    _set_generation(trained.plain, task, processor.tokenizer)
    picture = images.noise(1)
    shown = {"type": "image", "image": picture}
    contents = [[shown, parts.text("What is it?")], "Good morning."]
    seen = parts.image({"path": "", "bytes": images.png(picture)})
    own = [[seen, parts.text("What is it?")], "Good morning."]

    def ask(model: PreTrainedModel, theirs: Any, content: object) -> Tensor:
        """Return all logits of a message."""
        given = theirs.apply_chat_template(
            [{"role": "user", "content": content}],
            add_generation_prompt=True,
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
        )
        return model(**given).logits[0]

    return ExportSpec(
        model=trained.plain,
        processor=processor,
        auto_class="AutoModelForImageTextToText",
        pipeline="image-text-to-text",
        usage='ask = pipeline("image-text-to-text", "DIR")\n'
        'seen = {"type": "image", "url": "image.png"}\n'
        'content = [seen, {"type": "text", "text": "What is it?"}]\n'
        'print(ask(text=[{"role": "user", "content": content}], max_new_tokens=64))',
        notes=[f"Its training length was {trained.max_length} tokens."],
        examples=contents,
        ask=ask,
        expected=[_answered(task, whole, content) for content in own],
    )


def _answered(task: LanguageTask, whole: Any, content: object) -> Tensor:
    """Return the logits of the run's own model for a message."""
    rows = {"messages": [[{"role": "user", "content": content}]]}
    prompts, media = task.prompts(rows), task.media(rows)
    assert prompts is not None
    assert media is not None
    given = {"input_ids": torch.tensor(prompts), **media[0]}
    return whole.encoder(**given).logits[0]


def _plain(tokenizer: PreTrainedTokenizerFast) -> PreTrainedTokenizerFast:
    """Make a tokenizer add nothing of its own: chat templates write all tokens."""
    from tokenizers import processors

    own: Any = processors.TemplateProcessing(single="$A", pair="$A $B:1", special_tokens=[])
    tokenizer.backend_tokenizer.post_processor = own
    return tokenizer


def _next(model: PreTrainedModel, ids: Sequence[int]) -> Tensor:
    given = torch.tensor([list(ids)])
    return model(input_ids=given, attention_mask=torch.ones_like(given)).logits[0]


def _beginning(tokenizer: PreTrainedTokenizerFast) -> PreTrainedTokenizerFast:
    """Make a tokenizer begin a text with the token that began documents, and not end it."""
    from tokenizers import Tokenizer, processors

    begin = tokenizer.convert_ids_to_tokens(borders(tokenizer)[0])
    backend = tokenizer.backend_tokenizer
    wanted = [borders(tokenizer)[0], *tokenizer("a", add_special_tokens=False)["input_ids"]]
    if list(tokenizer("a")["input_ids"]) == wanted:
        return tokenizer
    before = parse_json(backend.to_str(), bounded=False)["post_processor"]
    ours: Any = processors.TemplateProcessing(
        single=f"{begin} $A",
        pair=f"{begin} $A $B:1",
        special_tokens=[(begin, borders(tokenizer)[0])],
    )
    if before is not None and before["type"] == "ByteLevel":
        same: Any = Tokenizer.from_str(backend.to_str()).post_processor
        ours = processors.Sequence([same, ours])
    backend.post_processor = ours
    return tokenizer


def _set_generation(
    model: PreTrainedModel, task: LanguageTask, tokenizer: PreTrainedTokenizerFast
) -> None:
    """Let `generate` end texts where the run's do."""
    config, endings = model.generation_config, task.endings(model)
    config.eos_token_id = endings[0] if len(endings) == 1 else endings
    config.pad_token_id = tokenizer.pad_token_id


def masked(trained: TrainedModel) -> ExportSpec:
    """Describe a masked language model."""
    whole = trained.whole
    cut = {"truncation": True, "max_length": trained.max_length, "return_tensors": "pt"}
    tokenizer = tokenizer_for(trained, trained.max_length)

    def ask(model: PreTrainedModel, theirs: PreTrainedTokenizerFast, text: str) -> Tensor:
        return model(**theirs(text, **cut)).logits[0]

    return ExportSpec(
        model=trained.plain,
        processor=tokenizer,
        auto_class="AutoModelForMaskedLM",
        pipeline="fill-mask",
        usage=f'fill = pipeline("fill-mask", "DIR")\n'
        f'print(fill("Anna lives in {tokenizer.mask_token}."))',
        notes=[f"Its training length was {trained.max_length} tokens."],
        examples=TEXTS,
        ask=ask,
        expected=[ask(whole.encoder.model, tokenizer, text) for text in TEXTS],
    )


def seq2seq(
    task: LanguageTask,
    trained: TrainedModel,
    column: str,
    *,
    ids_of: IdsOf,
    prefix: str,
    decoding: Mapping[str, Any],
    notes: Sequence[str],
) -> ExportSpec:
    """Describe an encoder-decoder.

    Args:
        task: The run's task.
        trained: The run's model.
        column: The column of the sources.
        ids_of: Token ids of a source by the exported tokenizer alone.
        prefix: Put before each source.
        decoding: Options of `generate`.
        notes: What the model's user must know, beside the length.
    """
    whole = trained.whole
    longest = trained.max_length
    _set_generation(trained.plain, task, require_tokenizer(trained.processor))
    trained.plain.generation_config.update(**decoding)
    own_ids = task.prompts({column: list(TEXTS)})
    assert own_ids is not None

    def ask(model: PreTrainedModel, theirs: object, text: str) -> Tensor:
        return _target(model, ids_of(theirs, text)[:longest])

    return ExportSpec(
        model=trained.plain,
        processor=tokenizer_for(trained, longest),
        auto_class="AutoModelForSeq2SeqLM",
        usage='tokenizer = AutoTokenizer.from_pretrained("DIR")\n'
        'model = AutoModelForSeq2SeqLM.from_pretrained("DIR")\n'
        f'ids = tokenizer({prefix!r} + "a source", return_tensors="pt").input_ids\n'
        "print(tokenizer.decode(model.generate(ids)[0], skip_special_tokens=True))",
        notes=[f"Sources are truncated to {longest} tokens.", *notes],
        examples=TEXTS,
        ask=ask,
        expected=[_target(whole.encoder.model, ids[:longest]) for ids in own_ids],
    )


def _target(model: PreTrainedModel, ids: Sequence[int]) -> Tensor:
    given = torch.tensor([list(ids)])
    start = model.config.decoder_start_token_id or 0
    written = torch.tensor([[start, *ids[: len(ids) // 2 + 1]]])
    return model(
        input_ids=given, attention_mask=torch.ones_like(given), decoder_input_ids=written
    ).logits[0]


_WITH_IMAGES = """\
tokenizer = AutoTokenizer.from_pretrained("DIR")
model = AutoModelForCausalLM.from_pretrained("DIR")
# Codes of an image after <|image|>: `lushan generate RUN` draws images from them."""


def with_images(task: LanguageTask, trained: TrainedModel, codec: Codec) -> ExportSpec:
    """Describe a causal model of a vocabulary of texts and images."""
    whole = trained.whole
    longest = whole.encoder.max_length or trained.max_length
    trained.plain.generation_config.eos_token_id = borders(task.tokenizer)[1]
    trained.plain.generation_config.pad_token_id = task.tokenizer.pad_token_id

    def ask(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, text: str) -> Tensor:
        ids = tokenizer(text, add_special_tokens=False)["input_ids"][:longest]
        return model(input_ids=torch.tensor([ids])).logits[0]

    codes = "".join(CODE.format(code) for code in range(min(4, codec.images.codes)))
    examples = [*TEXTS, f"a circle{BEGIN}{codes}"]
    return ExportSpec(
        model=trained.plain,
        processor=tokenizer_for(trained, longest),
        auto_class="AutoModelForCausalLM",
        usage=_WITH_IMAGES,
        examples=examples,
        ask=ask,
        expected=[ask(whole.encoder.model, task.tokenizer, text) for text in examples],
        notes=["It represents images as tokens; their codec is part of lushan."],
    )
