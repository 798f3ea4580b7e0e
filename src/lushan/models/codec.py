"""Codec of a vocabulary of text and images: from token ids to what people see, and what may follow.

An image is the token that begins one, its codes, row by row, and the token that ends it.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from lushan.data.batch.batching import mix
from lushan.models.architectures import longest
from lushan.models.decoding import Settings
from lushan.models.image_codecs import ImageCodec
from lushan.models.stepwise import stepwise
from lushan.text.document_tokens import borders, tokens_of
from lushan.text.incremental import decode

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

BEGIN, END, CODE = "<|image|>", "<|/image|>", "<|image:{}|>"
"""Tokens that begin and end an image, and stand for its codes."""

Part = str | bytes
"""A text, or an image as PNG."""


@dataclasses.dataclass(frozen=True)
class Codec:
    """A tokenizer with tokens of images beside those of texts.

    Attributes:
        tokenizer: With tokens for images.
        images: Makes codes of images, and images of codes.
        begin: Id of the token that begins an image.
        end: Id of the token that ends one.
        first: Id of the token of the first code; the others follow.
    """

    tokenizer: PreTrainedTokenizerFast
    images: ImageCodec
    begin: int
    end: int
    first: int

    @classmethod
    def of(cls, tokenizer: Any, images: ImageCodec) -> Codec:
        """Give a tokenizer the tokens of images that it lacks."""
        names = [BEGIN, END, *(CODE.format(code) for code in range(images.codes))]
        missing = [name for name in names if name not in tokenizer.get_vocab()]
        tokenizer.add_tokens(missing, special_tokens=True)
        begin, end, first, *_ = ids = tokenizer.convert_tokens_to_ids(names)
        assert ids[2:] == list(range(first, first + images.codes)), "codes are not in one piece"
        return cls(tokenizer, images, begin, end, first)

    @property
    def is_code(self) -> range:
        """The ids of codes."""
        return range(self.first, self.first + self.images.codes)

    # From people's form to ids

    def text_ids(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the tokens of texts, in which what reads like a token of an image is text."""
        with _all_text(self.tokenizer.backend_tokenizer):
            return [ids.tolist() for ids in tokens_of(self.tokenizer, list(texts))]

    def image_ids(self, pictures: Sequence[Any]) -> list[list[int]]:
        """Return the tokens of images of Pillow, with those that begin and end each."""
        return [self.image_of(codes) for codes in self.images.encode(pictures)]

    def image_of(self, codes: Sequence[int]) -> list[int]:
        """Return the tokens of an image that has some codes, with those that begin and end it."""
        return [self.begin, *(self.first + code for code in codes), self.end]

    def drawing_prompt(self, text: Sequence[int]) -> list[int]:
        """Return what an image of a text is drawn from: the text's tokens, up to its begin."""
        return [borders(self.tokenizer)[0], *text, self.begin]

    # From ids to people's form

    def codes(self, ids: Sequence[int]) -> list[int]:
        """Return the codes among some ids."""
        return [token - self.first for token in ids if token in self.is_code]

    def parts(self, ids: Sequence[int]) -> list[Part]:
        """Return what people see of ids: texts, and images that are whole."""
        return self.parts_of([ids])[0]

    def parts_of(self, several: Sequence[Sequence[int]]) -> list[list[Part]]:
        """Return the same of several rows, whose images are decoded together."""
        rows = [self._pieces(ids) for ids in several]
        codes = [self.codes(piece) for row in rows for is_image, piece in row if is_image]
        images = iter(self.images.decode(codes))
        found: list[list[Part]] = [
            [next(images) if is_image else decode(self.tokenizer, piece) for is_image, piece in row]
            for row in rows
        ]
        return [[part for part in parts if part] for parts in found]

    def _pieces(self, ids: Sequence[int]) -> list[tuple[bool, Sequence[int]]]:
        """Return ids in pieces: texts, and images that are whole, which are marked."""
        found: list[tuple[bool, Sequence[int]]] = []
        start = at = 0
        while at < len(ids):
            end = at + 1 + self.images.tokens
            is_image = ids[at] == self.begin and len(self.codes(ids[at + 1 : end])) == end - at - 1
            if is_image:
                found += [(False, ids[start:at]), (True, ids[at:end])]
                start = end
            at = end if is_image else at + 1
        return [*found, (False, ids[start:])]


class Grammar:
    """Lets codes stand in images alone, as many as an image has; called by `generate`.

    Args:
        codec: Of the vocabulary.
        draws: Whether an image may begin.
        most: Tokens that a row has in the end, with its prompt: no image begins that would not fit.
    """

    def __init__(self, codec: Codec, *, draws: bool = True, most: int | None = None) -> None:
        self.codec, self.draws, self.most = codec, draws, most

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Scores (B, V) of what follows ids (B, L), -inf for what must not."""
        codec = self.codec
        places = torch.arange(input_ids.shape[1], device=input_ids.device)
        begun, ended = (
            torch.where(input_ids == token, places, -1).amax(1)
            for token in (codec.begin, codec.end)
        )
        inside = begun > ended  # (B,)
        whole = input_ids.shape[1] - 1 - begun >= codec.images.tokens
        is_code = torch.zeros(scores.shape[1], dtype=torch.bool, device=scores.device)
        is_code[codec.first : codec.first + codec.images.codes] = True
        is_end, is_begin = (torch.zeros_like(is_code) for _ in range(2))
        after = input_ids.shape[1] + codec.images.tokens + 2
        fits = self.draws and (self.most is None or after <= self.most)
        is_end[codec.end], is_begin[codec.begin] = True, not fits
        outside = ~(is_code | is_end | is_begin)
        within = torch.where(whole[:, None], is_end, is_code)
        return scores.masked_fill(~torch.where(inside[:, None], within, outside), float("-inf"))


class Guidance:
    """Classifier-free guidance (Ho and Salimans, 2022): away from what is drawn without a prompt.

    The second half of a batch is the first without its prompts, and gets the same scores and so
    the same tokens.

    Args:
        scale: 1 is the prompt alone; above, further away from what has none.
    """

    def __init__(self, scale: float) -> None:
        self.scale = scale

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:  # noqa: ARG002
        """Return guided scores (B, V)."""
        prompted, plain = scores.float().log_softmax(-1).chunk(2)
        return (plain + self.scale * (prompted - plain)).repeat(2, 1)


def draw(
    model: Any,
    codec: Codec,
    prompts: Sequence[Sequence[int]],
    settings: Settings,
    scale: float,
    numbers: Sequence[int] = (),
) -> list[list[int]]:
    """Draw images.

    Args:
        model: Of transformers.
        codec: Of its vocabulary.
        prompts: From `drawing_prompt`, each with `settings.num_samples` images.
        settings: How codes are drawn.
        scale: Of the guidance; see `Guidance`.
        numbers: The number of each prompt's first image, where the same prompt stands there more
            than once and is to get other images; 0 by default.

    Returns:
        The codes of each image, the images of a prompt side by side.
    """
    copies = settings.num_samples
    rows = [list(prompt) for prompt in prompts for _ in range(copies)]
    firsts = [number for number in numbers or [0] * len(prompts) for _ in range(copies)]
    seeds = [mix(settings.seed, firsts[i] + i % copies, *row) for i, row in enumerate(rows)]
    before: list[Any] = []
    if scale != 1:
        rows, seeds, before = rows + [codec.drawing_prompt([])] * len(rows), seeds * 2, [scale]
    processors = [*map(Guidance, before), Grammar(codec)]
    found = _written(model, codec, rows, settings, seeds, processors, codec.images.tokens)
    return [codec.codes(ids) for ids in found[: len(prompts) * copies]]


def caption(
    model: Any, codec: Codec, prompts: Sequence[Sequence[int]], settings: Settings
) -> list[str]:
    """Write the likeliest text after each prompt, which holds an image.

    Args:
        model: Of transformers.
        codec: Of its vocabulary.
        prompts: Ids.
        settings: How many tokens a text has at most, as far as the model has room.
    """
    rows = [list(prompt) for prompt in prompts]
    greedy = dataclasses.replace(settings, greedy=True)
    bound = longest(model)
    room = settings.max_new_tokens if bound is None else bound - max(map(len, rows))
    tokens = min(settings.max_new_tokens, room)
    if tokens < 1:  # an image fills all that the model can read
        return ["" for _ in rows]
    found = _written(model, codec, rows, greedy, [], [Grammar(codec, draws=False)], tokens)
    return [decode(codec.tokenizer, ids).strip() for ids in found]


def compose(
    model: Any,
    codec: Codec,
    prompts: Sequence[Sequence[int]],
    settings: Settings,
    scale: float = 1.0,
) -> list[list[int]]:
    """Write texts with images in them: any number of both, in any order.

    Args:
        model: Of transformers.
        codec: Of its vocabulary.
        prompts: Ids, each with `settings.num_samples` continuations.
        settings: How tokens are drawn, and how many at most: images are whole within these.
        scale: Of the guidance of each image, away from what is drawn without all that is before it.

    Returns:
        The tokens of each continuation, those of a prompt side by side.
    """
    copies = settings.num_samples
    rows = [list(prompt) for prompt in prompts for _ in range(copies)]
    numbers = [i % copies for i in range(len(rows))]
    alone = dataclasses.replace(settings, num_samples=1)

    found: list[list[int]] = [[] for _ in rows]

    def so_far(places: Sequence[int]) -> tuple[list[list[int]], list[int]]:
        return [rows[i] + found[i] for i in places], [numbers[i] for i in places]

    def write_on(places: Sequence[int]) -> None:
        limits = [settings.max_new_tokens - len(found[i]) for i in places]
        some, theirs = so_far(places)
        new = _continued(model, codec, some, alone, limits, theirs, begins=scale != 1)
        for i, ids in zip(places, new, strict=True):
            found[i] += ids

    write_on(range(len(rows)))
    # With guidance a text ends where an image begins, which is drawn by itself.
    while places := [i for i, ids in enumerate(found) if ids[-1:] == [codec.begin]]:
        some, theirs = so_far(places)
        drawn = draw(model, codec, some, alone, scale, theirs)
        for i, codes in zip(places, drawn, strict=True):
            found[i] += codec.image_of(codes)[1:]
        write_on(places)
    return found


def _continued(
    model: PreTrainedModel,
    codec: Codec,
    rows: Sequence[list[int]],
    settings: Settings,
    limits: Sequence[int],
    numbers: Sequence[int],
    *,
    begins: bool,
) -> list[list[int]]:
    """Return what is written after rows.

    Args:
        model: Of transformers.
        codec: Of its vocabulary.
        rows: Ids.
        settings: How tokens are drawn.
        limits: How many of each row at most, as far as the model has room.
        numbers: Of each among those with the same prompt.
        begins: Whether a row ends with what begins an image.
    """
    bound = longest(model)
    seeds = [mix(settings.seed, n, *row) for n, row in zip(numbers, rows, strict=True)]
    # Rows of the same room are written together: none depends on how long another's prompt is.
    rooms: dict[int, list[int]] = {}
    for i, (row, limit) in enumerate(zip(rows, limits, strict=True)):
        rooms.setdefault(limit if bound is None else min(limit, bound - len(row)), []).append(i)
    found: list[list[int]] = [[] for _ in rows]
    for room, places in rooms.items():
        if room < 1:
            continue
        some, theirs = [rows[i] for i in places], [seeds[i] for i in places]
        grammar = [Grammar(codec, most=max(map(len, some)) + room)]
        new = _written(model, codec, some, settings, theirs, grammar, room, begins=begins)
        for i, ids in zip(places, new, strict=True):
            found[i] = ids
    return found


def _written(
    model: Any,
    codec: Codec,
    rows: Sequence[Sequence[int]],
    settings: Settings,
    seeds: Sequence[int],
    processors: list[Any],
    tokens: int,
    *,
    begins: bool = False,
) -> list[list[int]]:
    """Return the new tokens of rows, by `generate` of transformers.

    Args:
        model: Of transformers.
        codec: Of its vocabulary.
        rows: Ids.
        settings: How tokens are drawn.
        seeds: One a row.
        processors: Change the scores.
        tokens: How many at most.
        begins: Whether a row ends with what begins an image.
    """
    from transformers import GenerationConfig

    from lushan.models.sampling import Sampling

    end = borders(codec.tokenizer)[1]
    pad = codec.tokenizer.pad_token_id
    width = max(map(len, rows))
    ids = torch.tensor([[pad] * (width - len(row)) + list(row) for row in rows])
    mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in rows])
    if settings.draws:
        sampling = Sampling(
            seeds,
            temperature=settings.temperature,
            top_k=settings.top_k,
            top_p=settings.top_p,
        )
        processors = [*processors, sampling]
    make: Any = GenerationConfig
    stops = [end, *[codec.begin] * begins]
    config = make(max_new_tokens=tokens, do_sample=False, eos_token_id=stops, pad_token_id=pad)
    with torch.inference_mode(), stepwise(model):
        found = model.generate(
            input_ids=ids.to(model.device),
            attention_mask=mask.to(model.device),
            generation_config=config,
            logits_processor=processors,
        )
    new = found[:, width:].tolist()
    if begins:
        new = [row[: row.index(codec.begin) + 1] if codec.begin in row else row for row in new]
    return [row[: row.index(end)] if end in row else row for row in new]


@contextlib.contextmanager
def _all_text(backend: Tokenizer) -> Iterator[None]:
    before = backend.encode_special_tokens
    backend.encode_special_tokens = True
    try:
        yield
    finally:
        backend.encode_special_tokens = before
