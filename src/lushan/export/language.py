"""Runs of language models as transformers keeps them: they end texts and begin prompts alike."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from lushan.common.parsing import parse_json
from lushan.export.forms import DIALOGUES, TEXTS, Form, plain_model, tokenizer_for
from lushan.inference.load import Loaded
from lushan.tasks.language import borders
from lushan.tasks.seq2seq import Seq2Seq


def causal_form(loaded: Loaded) -> Form:
    """A causal language model, of raw text or of dialogues."""
    task, is_chat = loaded.task, "messages" in loaded.task.fields
    model = plain_model(loaded)
    tokenizer = _beginning(tokenizer_for(loaded, model, _positions(loaded)))
    whole: Any = loaded.model
    _set_generation(model, loaded)
    own_ids = task.prompts({next(iter(task.fields)): list(DIALOGUES if is_chat else TEXTS)})
    assert own_ids is not None
    longest = whole.encoder.max_length or max(map(len, own_ids))

    def ids_of(theirs: Any) -> list[list[int]]:
        if is_chat:
            return [_templated(theirs, messages) for messages in DIALOGUES]
        return [list(theirs(text)["input_ids"]) for text in TEXTS]

    def ask(asked: Any, theirs: Any) -> list[Tensor]:
        return [_next(asked, ids[:longest]) for ids in ids_of(theirs)]

    usage = 'write = pipeline("text-generation", "DIR")\n'
    usage += (
        'print(write([{"role": "user", "content": "Hello"}], max_new_tokens=64, do_sample=False))'
        if is_chat
        else 'print(write("Once", max_new_tokens=64, do_sample=False))'
    )
    return Form(
        model=model,
        tokenizer=tokenizer,
        auto="AutoModelForCausalLM",
        pipeline="text-generation",
        usage=usage,
        notes=[f"It was trained on {loaded.limits.max_length} tokens at a time."],
        ask=ask,
        expected=[_next(whole.encoder.model, ids[:longest]) for ids in own_ids],
    )


def _next(model: Any, ids: Sequence[int]) -> Tensor:
    given = torch.tensor([list(ids)])
    return model(input_ids=given, attention_mask=torch.ones_like(given)).logits[0]


def _templated(tokenizer: Any, messages: Any) -> list[int]:
    found = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=True)
    return list(found["input_ids"])


def _beginning(tokenizer: Any) -> Any:
    """A tokenizer that begins a prompt with the token that began documents, and does not end it."""
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


def _positions(loaded: Loaded) -> int:
    whole: Any = loaded.model
    return int(whole.encoder.max_length or loaded.limits.max_length)


def _set_generation(model: Any, loaded: Loaded) -> None:
    """Let `generate` end texts where the run's do."""
    config, tokenizer = model.generation_config, loaded.tokenizer
    endings = loaded.task.endings(model)
    config.eos_token_id = endings[0] if len(endings) == 1 else endings
    config.pad_token_id = tokenizer.pad_token_id
    if not model.config.is_encoder_decoder:
        config.bos_token_id = borders(tokenizer)[0]


def masked_form(loaded: Loaded) -> Form:
    """A masked language model."""
    whole: Any = loaded.model
    longest = loaded.limits.max_length

    def ask(asked: Any, theirs: Any) -> list[Tensor]:
        cut = {"truncation": True, "max_length": longest, "return_tensors": "pt"}
        inputs = (theirs(text, **cut) for text in TEXTS)
        return [asked(**given).logits[0] for given in inputs]

    model = plain_model(loaded)
    tokenizer = tokenizer_for(loaded, model, longest)
    return Form(
        model=model,
        tokenizer=tokenizer,
        auto="AutoModelForMaskedLM",
        pipeline="fill-mask",
        usage=f'fill = pipeline("fill-mask", "DIR")\n'
        f'print(fill("Anna lives in {loaded.tokenizer.mask_token}."))',
        notes=[f"It was trained on {longest} tokens at a time."],
        ask=ask,
        expected=ask(whole.encoder.model, tokenizer),
    )


def seq2seq_form(loaded: Loaded) -> Form:
    """An encoder-decoder, of pairs or of texts with gaps."""
    task, whole = loaded.task, loaded.model
    inner: Any = whole.encoder
    model = plain_model(loaded)
    _set_generation(model, loaded)
    notes = [f"A source is read up to {loaded.limits.max_length} tokens."]
    prefix, is_spans = "", False
    if isinstance(task, Seq2Seq):
        prefix, is_spans = task.prefix, task.objective == "spans"
        model.generation_config.update(**task.decoding)
    if prefix:
        notes.append(f"Each source begins with {prefix!r}.")
    if is_spans:
        notes.append(
            "It fills gaps: a source has <extra_id_0>, <extra_id_1>, ... where text is missing, "
            "and ends in the tokenizer's last token alone."
        )
    own_ids = task.prompts({next(iter(task.fields)) if is_spans else "source": list(TEXTS)})
    assert own_ids is not None
    longest = loaded.limits.max_length

    def ids_of(theirs: Any) -> list[list[int]]:
        if is_spans:
            end = [borders(theirs)[1]]
            return [theirs(t, add_special_tokens=False)["input_ids"] + end for t in TEXTS]
        return [list(theirs(prefix + text)["input_ids"]) for text in TEXTS]

    def ask(asked: Any, theirs: Any) -> list[Tensor]:
        return [_target(asked, ids[:longest]) for ids in ids_of(theirs)]

    return Form(
        model=model,
        tokenizer=tokenizer_for(loaded, model, longest),
        auto="AutoModelForSeq2SeqLM",
        pipeline=None,
        usage='tokenizer = AutoTokenizer.from_pretrained("DIR")\n'
        'model = AutoModelForSeq2SeqLM.from_pretrained("DIR")\n'
        f'ids = tokenizer({prefix!r} + "a source", return_tensors="pt").input_ids\n'
        "print(tokenizer.decode(model.generate(ids)[0], skip_special_tokens=True))",
        notes=notes,
        ask=ask,
        expected=[_target(inner.model, ids[:longest]) for ids in own_ids],
    )


def _target(model: Any, ids: Sequence[int]) -> Tensor:
    given = torch.tensor([list(ids)])
    start = model.config.decoder_start_token_id or 0
    written = torch.tensor([[start, *ids[: len(ids) // 2 + 1]]])
    return model(
        input_ids=given, attention_mask=torch.ones_like(given), decoder_input_ids=written
    ).logits[0]
