"""Text from a language model of transformers, by its own `generate`.

What stands here is around it: batches in which no row outgrows the model's positions, chance that
is each row's own, stop strings, and text that appears as it is written.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor

from lushan.data.batch.batching import mix
from lushan.errors import UserError, did_you_mean
from lushan.models.backbone import accepted
from lushan.models.language import TOKEN_TYPES, token_types
from lushan.models.stepwise import stepwise
from lushan.text.incremental import Reader, continuation
from lushan.vision.reader import Seen, joined

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

Ids = Sequence[int]
Finish = Literal["end", "stop", "length", "cancelled", "refused"]

_SPARE = 64
"""A static cache's length is a multiple of it: each length is compiled again."""


_OURS = ("return_dict_in_generate", "num_return_sequences", "inputs", "streamer")
"""Options of transformers' `generate` that are not the user's: one text a source is evaluated."""


@dataclasses.dataclass(frozen=True)
class Settings:
    """Settings of generation.

    Attributes:
        max_new_tokens: The longest text.
        temperature: Below 1 keeps to what is likely, above 1 goes astray; 0 is greedy.
        top_p: Draw from the likeliest tokens that together have this probability.
        top_k: Draw from so many of the likeliest tokens; 0 is all.
        seed: Of all chance.
        num_samples: Texts for each prompt.
        beams: Width of a beam search, which draws nothing; 1 is none.
        greedy: Take the likeliest token each time.
        repetition_penalty: Above 1 makes tokens that are there already less likely.
        stop: Strings that end a text, and are cut off.
    """

    max_new_tokens: int = 64
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    seed: int = 1
    num_samples: int = 1
    beams: int = 1
    greedy: bool = False
    repetition_penalty: float = 1.0
    stop: tuple[str, ...] = ()

    @property
    def draws(self) -> bool:
        """Return whether tokens are drawn at random."""
        return not self.greedy and self.temperature > 0 and self.beams == 1

    def with_new_tokens(self, tokens: int) -> Settings:
        """Return the same settings with another longest text."""
        return dataclasses.replace(self, max_new_tokens=tokens)

    def require_sound(self, named: Callable[[str], str] = str) -> None:
        """Refuse what has no meaning.

        Args:
            named: From a field to what the user calls it.
        """
        bounds = {
            "max_new_tokens": (self.max_new_tokens >= 1, "must be 1 or more"),
            "temperature": (self.temperature >= 0, "must be 0 or more"),
            "top_p": (0 < self.top_p <= 1, "must be above 0, and 1 at most"),
            "top_k": (self.top_k >= 0, "must be 0 or more"),
            "num_samples": (self.num_samples >= 1, "must be 1 or more"),
            "beams": (self.beams >= 1, "must be 1 or more"),
            "repetition_penalty": (self.repetition_penalty > 0, "must be above 0"),
            "stop": (all(self.stop), "an empty string would stop every text immediately"),
        }
        for field, (fine, problem) in bounds.items():
            if not fine:
                raise UserError(problem, key=named(field), value=getattr(self, field))
        if self.beams > 1 and self.num_samples > self.beams:
            raise UserError(
                f"a beam search with {self.beams} beams returns at most as many texts",
                key=named("num_samples"),
                value=self.num_samples,
            )
        if not self.draws and self.beams == 1 and self.num_samples > 1:
            raise UserError(
                "without sampling, all texts would be the same",
                key=named("num_samples"),
                value=self.num_samples,
                hint=f"Remove {named('greedy')}, or set {named('beams')}.",
            )


@dataclasses.dataclass(frozen=True)
class Written:
    """A text that a model has generated.

    Attributes:
        ids: Its tokens, with the one that ended it.
        text: Their text, up to a stop string.
        finish: `end` (the model ended it), `stop` (a stop string), `length`, `cancelled`, or
            `refused` by a guard.
    """

    ids: list[int]
    text: str
    finish: Finish


def endings_of(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast) -> list[int]:
    """The tokens by which a model ends a text: its own generation config's, and the tokenizer's."""
    own = getattr(model.generation_config, "eos_token_id", None)
    known = own if isinstance(own, list) else [own]
    found = [*known, tokenizer.eos_token_id]
    return list(dict.fromkeys(int(token) for token in found if token is not None))


def generate(
    model: Any,
    prompts: Sequence[Ids],
    settings: Settings,
    *,
    tokenizer: PreTrainedTokenizerFast,
    endings: Sequence[int],
    cache_length: int | None = None,
    show: Callable[[str], Any] | None = None,
    cancelled: Callable[[], bool] | None = None,
    media: Sequence[Seen] | None = None,
) -> list[list[Written]]:
    """Continue some prompts in one batch.

    The text of a prompt is a function of the model, the prompt, the settings and the number of the
    sample: the others in the batch have no part in it, up to what arithmetic in other shapes
    rounds otherwise.

    Args:
        model: Of transformers, in evaluation mode.
        prompts: Tokens; of an encoder-decoder, the sources. Together they have room (`grouped`).
        settings: How.
        tokenizer: Of the model.
        endings: Tokens that end a text.
        cache_length: Compile the step, on a cache of so many tokens; None is a cache that grows.
        show: Gets text of the first row as it comes.
        cancelled: Whether to end at once, asked after each token.
        media: What the model reads of the images of each prompt.

    Returns:
        For each prompt its texts, `settings.num_samples` of them.
    """
    from transformers import GenerationConfig

    copies = 1 if settings.beams > 1 else settings.num_samples
    rows = [prompt for prompt in prompts for _ in range(copies)]
    is_whole = bool(model.config.is_encoder_decoder)
    befores: list[Ids] = [() for _ in rows] if is_whole else rows
    start = 1 if is_whole else max(map(len, rows))  # of what is new in a row
    watch = _Watch(settings, tokenizer, befores, start, endings, show, cancelled)
    make: Any = GenerationConfig
    given = padded(rows, tokenizer.pad_token_id, left=not is_whole, device=model.device)
    if media is not None:
        given |= _of_images(model, [seen for seen in media for _ in range(copies)], given)
    config = make(
        max_new_tokens=settings.max_new_tokens,
        do_sample=False,  # chance is in the scores
        num_beams=settings.beams,
        num_return_sequences=settings.num_samples if settings.beams > 1 else 1,
        eos_token_id=list(endings) or None,
        pad_token_id=tokenizer.pad_token_id,
        **_cache(cache_length),
    )
    # What is compiled may be met again outside.
    mode = torch.inference_mode() if cache_length is None else torch.no_grad()
    with mode, stepwise(model):
        found = model.generate(
            **given,
            generation_config=config,
            logits_processor=processors(
                settings, rows, [row % copies for row in range(len(rows))], is_whole=is_whole
            ),
            stopping_criteria=watch.criteria,
            synced_gpus=False,  # to find out whether they are, FSDP is imported: a second
        )
    new = found[:, start:].tolist()
    each = settings.num_samples
    written = [watch.close(row, ids, row * len(rows) // len(new)) for row, ids in enumerate(new)]
    return [written[at : at + each] for at in range(0, len(written), each)]


class _Watch:
    """State of a batch that is being generated: stop strings seen, and the texts of its rows."""

    def __init__(
        self,
        settings: Settings,
        tokenizer: PreTrainedTokenizerFast,
        befores: Sequence[Ids],
        start: int,
        endings: Sequence[int],
        show: Callable[[str], Any] | None,
        cancelled: Callable[[], bool] | None,
    ) -> None:
        from lushan.models.sampling import Reading, StopStrings

        self.tokenizer, self.befores, self.endings = tokenizer, befores, frozenset(endings)
        self.stops, self.show = settings.stop, show
        self.start = start
        self.reading: Reading | None = None
        self.criteria: Any = []
        if settings.beams > 1:
            if self.stops:
                self.criteria = [StopStrings(self._beams, self.stops)]
        elif self.stops or show or cancelled:
            readers = [
                Reader(tokenizer, before, stops=self.stops, endings=endings) for before in befores
            ]
            self.reading = Reading(readers, show, cancelled)
            self.criteria = [self.reading]

    def _beams(self, rows: list[list[int]]) -> list[str]:
        """Return the texts of beams beyond their prompts, some beams a prompt."""
        each = len(rows) // len(self.befores)
        return [
            continuation(self.tokenizer, self.befores[row // each], ids[self.start :])
            for row, ids in enumerate(rows)
        ]

    def close(self, row: int, ids: list[int], prompt: int) -> Written:
        """Return the text of a row that has ended.

        Args:
            row: Its number.
            ids: The new tokens of the batch's row, padding and all.
            prompt: The number of its prompt.
        """
        if self.reading is not None:
            return self._as_read(row, ids)
        end = next((i for i, token in enumerate(ids) if token in self.endings), None)
        if end is not None:
            ids = ids[: end + 1]
        elif self.stops:  # a beam that was stopped is filled up
            while ids and ids[-1] == self.tokenizer.pad_token_id:
                ids = ids[:-1]
        kept = ids if end is None else ids[:-1]
        text = continuation(self.tokenizer, self.befores[prompt], kept)
        at = min((i for stop in self.stops if (i := text.find(stop)) >= 0), default=None)
        if at is not None:
            return Written(ids, text[:at], "stop")
        return Written(ids, text, "length" if end is None else "end")

    def _as_read(self, row: int, ids: list[int]) -> Written:
        assert self.reading is not None
        reader = self.reading.readers[row]
        rest = reader.finish()
        if rest and row == 0 and self.show is not None:
            self.show(rest)
        finish: Finish = "length"
        if reader.stopped:
            finish = "stop"
        elif reader.ended:
            finish = "end"
        elif self.reading.over:
            finish = "cancelled"
        return Written(ids[: reader.count], reader.text, finish)


def padded(
    rows: Sequence[Ids], pad_id: int, *, left: bool, device: torch.device
) -> dict[str, Tensor]:
    """Return `input_ids` and `attention_mask`, (B, L), with padding on one side."""
    width = max(map(len, rows))
    ids, mask = [], []
    for row in rows:
        gap = width - len(row)
        padding, real = [pad_id] * gap, list(row)
        ids.append(padding + real if left else real + padding)
        mask.append([0] * gap + [1] * len(row) if left else [1] * len(row) + [0] * gap)
    return {
        "input_ids": torch.tensor(ids, dtype=torch.int64, device=device),
        "attention_mask": torch.tensor(mask, dtype=torch.int64, device=device),
    }


def _of_images(model: Any, media: Sequence[Seen], given: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return what a model takes besides tokens for the images of some rows."""
    names = accepted(model)
    found = {n: v.to(model.device) for n, v in joined(list(media)).items() if n in names}
    if TOKEN_TYPES in names and found:
        found[TOKEN_TYPES] = token_types(model.config, given["input_ids"])
    return found


def processors(
    settings: Settings, rows: Sequence[Ids], samples: Sequence[int], *, is_whole: bool
) -> list[Any]:
    """Return what changes the scores of some rows at each step.

    Args:
        settings: How texts are written.
        rows: Tokens of each prompt.
        samples: The number of each row among the texts of its prompt, which its chance depends on.
        is_whole: Whether an encoder reads the prompts, so that rows begin without them.
    """
    from lushan.models.sampling import RepetitionPenalty, Sampling

    made: list[Any] = []
    if settings.repetition_penalty != 1.0:
        lengths = [1 if is_whole else len(row) for row in rows]
        beams = [length for length in lengths for _ in range(settings.beams)]
        made.append(RepetitionPenalty(settings.repetition_penalty, beams))
    if settings.draws:
        seeds = [
            mix(settings.seed, sample, *row) for sample, row in zip(samples, rows, strict=True)
        ]
        made.append(
            Sampling(
                seeds,
                temperature=settings.temperature,
                top_k=settings.top_k,
                top_p=settings.top_p,
            )
        )
    return made


def _cache(length: int | None) -> dict[str, Any]:
    if length is None:
        return {}
    rounded = -(-length // _SPARE) * _SPARE
    return {"cache_implementation": "static", "max_cache_len": rounded}


def require_options(options: Mapping[str, Any], key: str) -> None:
    """Refuse options that transformers' `generate` has not, or that are not the user's."""
    import transformers

    empty: Any = transformers.GenerationConfig
    known = [name for name in vars(empty()) if name[0] != "_"]
    for name, value in options.items():
        if name not in known or name in _OURS or name.startswith("output_"):
            raise UserError(
                "unknown option of generation",
                key=f"{key}.{name}",
                value=value,
                hint=did_you_mean(name, set(known) - set(_OURS)),
            )
