"""A model that writes: a trained run of a language model, or a folder in Hugging Face format."""

from __future__ import annotations

import contextlib
import dataclasses
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch

from lushan.compat.transformers import compiles_whole, loading
from lushan.data.field_roles import inputs, prompt_of
from lushan.data.fields import DIALOGUES, DOCUMENTS, PAIRS, Fields, Messages
from lushan.errors import UserError
from lushan.inference.dialogues import split
from lushan.inference.early import is_ours
from lushan.inference.exported import graph_of
from lushan.inference.load import Loaded, load, quiet
from lushan.inference.too_long import too_long
from lushan.models.decoding import Settings, Written, endings_of, generate
from lushan.models.packed_weights import pack_weights
from lushan.models.prompt_groups import Group, grouped
from lushan.text import hub
from lushan.text.chat import ChatTemplate, own
from lushan.text.document_tokens import borders, tokens_of
from lushan.text.rendering import Unfit

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

    from lushan.vision.reader import Seen

Dtype = Literal["auto", "float32", "bf16"]
DTYPES: Mapping[str, Any] = {"float32": torch.float32, "bf16": torch.bfloat16}

WORTH_COMPILING = 20_000
"""Tokens to write from which on a compiled step makes up for the minute that compiling takes."""


def _no_media(prompts: Sequence[Any]) -> None:
    del prompts


@dataclasses.dataclass
class TextGenerator:
    """A model that generates text, with its tokenizer and the form of its prompts.

    Attributes:
        place: The run's folder, or where else it was read from.
        model: Of transformers, in evaluation mode.
        tokenizer: Its own.
        fields: What is read for it, of which the first input is its prompt (`prompt_of`).
        encode: From prompts to their tokens; messages may stand in a mapping with `tools`.
        media: From prompts to what the model reads of their images; None where it sees none.
        endings: Tokens that end a text.
        positions: Tokens that prompt and text may have together (of an encoder-decoder, each);
            None where nothing bounds them.
        trained: Tokens it has seen at a time; None where that is not known.
        needs_dynamic_cache: Whether its own `forward` was replaced, and wants a cache that grows.
        template: How dialogues are written, where that is known.
    """

    place: Path | str
    model: Any
    tokenizer: PreTrainedTokenizerFast
    fields: Fields
    encode: Callable[[Sequence[Any]], list[list[int]]]
    endings: list[int]
    positions: int | None
    trained: int | None = None
    needs_dynamic_cache: bool = False
    template: ChatTemplate | None = None
    media: Callable[[Sequence[Any]], list[Seen] | None] = _no_media

    @property
    def is_whole(self) -> bool:
        """Return whether it is an encoder-decoder, which reads its prompt apart from its text."""
        return bool(self.model.config.is_encoder_decoder)

    @property
    def takes_messages(self) -> bool:
        """Return whether its prompts are dialogues, and not plain texts."""
        return isinstance(prompt_of(self.fields)[1], Messages)

    def as_text(self) -> TextGenerator:
        """Return a generator that continues plain text without a chat template."""
        encode = _from_text(self.tokenizer)
        return dataclasses.replace(self, fields=DOCUMENTS, encode=encode, media=_no_media)

    def require_images(self, key: str) -> None:
        """Refuse images where the model sees none.

        Raises:
            UserError: It does not.
        """
        if self.media([]) is None:
            raise UserError("this model does not accept images", key=key)

    def unseen(self, prompts: Sequence[Any]) -> Counter[str]:
        """Count the prompts with each field that the chat template does not show."""
        if self.template is None or not self.takes_messages:
            return Counter()
        pairs = zip(*split(prompts), strict=True)
        return sum((self.template.unseen(*pair) for pair in pairs), Counter[str]())

    # Room

    def room(self, length: int) -> int | None:
        """Return how many tokens may follow a prompt of a length; None where nothing bounds it."""
        if self.positions is None:
            return None
        return self.positions - (1 if self.is_whole else length)

    def fitted(
        self, prompts: Sequence[list[int]], places: Sequence[Mapping[str, Any]]
    ) -> tuple[list[list[int]], int]:
        """Prompts as they can be read, and how many of them were cut.

        A source is cut as in training: at its end, which keeps its last token.

        Args:
            prompts: Tokens.
            places: For errors, where each comes from: `key`, or `file` and `line`.

        Raises:
            TooLong: A prompt leaves no room for a text.
        """
        if not self.is_whole:
            for prompt, place in zip(prompts, places, strict=True):
                if self.positions is not None and len(prompt) >= self.positions:
                    raise too_long(len(prompt), self.positions, **place)
            return list(prompts), 0
        bounds = [n for n in (self.trained, self.positions) if n is not None]
        if not bounds:
            return list(prompts), 0
        most = min(bounds)
        cut = [p if len(p) <= most else [*p[: most - 1], p[-1]] for p in prompts]
        return cut, sum(len(p) > most for p in prompts)

    # Writing

    def write(
        self,
        prompts: Sequence[list[int]],
        settings: Settings,
        *,
        media: Sequence[Seen] | None = None,
        batch_size: int = 16,
        show: Callable[[str], Any] | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> list[list[Written]]:
        """The texts of each prompt.

        Args:
            prompts: Tokens that fit (`fitted`).
            settings: How.
            media: What the model reads of the images of each.
            batch_size: Texts that are written at a time, or beams.
            show: Gets the text of a single prompt as it comes.
            cancelled: Whether to end at once, asked after each token.
        """
        each = max(settings.num_samples, settings.beams)
        lengths = [1 if self.is_whole else len(prompt) for prompt in prompts]
        groups = grouped(
            lengths,
            settings.max_new_tokens,
            positions=self.positions,
            size=max(1, batch_size // each),
        )
        pack_weights(self.model)
        cache = self._cache_length(groups, lengths, each)
        found: dict[int, list[Written]] = {}
        for group in groups:
            written = generate(
                self.model,
                [prompts[row] for row in group.rows],
                settings.with_new_tokens(group.new_tokens),
                tokenizer=self.tokenizer,
                endings=self.endings,
                cache_length=cache,
                show=show,
                cancelled=cancelled,
                media=None if media is None else [media[row] for row in group.rows],
            )
            found |= dict(zip(group.rows, written, strict=True))
        return [found[row] for row in range(len(prompts))]

    def _cache_length(
        self, groups: Sequence[Group], lengths: Sequence[int], each: int
    ) -> int | None:
        """Return the length of a static cache where a compiled step pays; None elsewhere."""
        work = sum(len(group.rows) * group.new_tokens * each for group in groups)
        if (
            self.model.device.type != "cuda"
            or self.needs_dynamic_cache
            or work < WORTH_COMPILING
            or not compiles_whole(self.model)
        ):
            return None
        return max(lengths[row] + group.new_tokens for group in groups for row in group.rows)


def open_generator(place: str | Path, *, dtype: Dtype = "auto") -> TextGenerator:
    """Read a model that writes.

    Args:
        place: A run folder; or a directory in Hugging Face format, or a hub id.
        dtype: The type its weights get; `auto` is what they were kept in, float32 in a run.

    Raises:
        UserError: There is no model there, or it is one that only reads.
    """
    quiet()
    if is_ours(place) or graph_of(Path(place).expanduser()) is not None:
        generator = of_loaded(load(Path(place).expanduser()))
    else:
        generator = _of_checkpoint(str(place))
    if dtype != "auto":
        generator.model.to(DTYPES[dtype])
    generator.model.to("cuda" if torch.cuda.is_available() else "cpu").eval()
    return generator


def of_loaded(loaded: Loaded) -> TextGenerator:
    """Return the model of a run that writes.

    Raises:
        UserError: It only reads.
    """
    found = generator_of(loaded)
    if found is None:
        task, folder = loaded.task, loaded.folder
        raise UserError(
            f"this run's model does not generate text from a prompt: {type(task).__name__} reads "
            f"{', '.join(inputs(task.fields))}",
            file=folder,
            hint=f"Use it with: lushan predict {folder} --input FILE.",
        )
    return found


def generator_of(loaded: Loaded) -> TextGenerator | None:
    """Return the model of a run that writes; None where it only reads."""
    task, whole = loaded.task, loaded.model
    inner: Any = whole.encoder
    name, field = prompt_of(task.fields)
    if task.prompts({name: []}) is None:
        return None

    def rows(prompts: Sequence[Any]) -> dict[str, list[Any]]:
        several, tools = split(prompts) if isinstance(field, Messages) else (list(prompts), [])
        return {name: several, **({"tools": tools} if tools else {})}

    def encode(prompts: Sequence[Any]) -> list[list[int]]:
        with _template_explained():
            found = task.prompts(rows(prompts))
        assert found is not None
        return found

    def media(prompts: Sequence[Any]) -> list[Seen] | None:
        return task.media(rows(prompts))

    if decoding := getattr(task, "decoding", None):
        inner.model.generation_config.update(**decoding)
    return TextGenerator(
        place=loaded.folder,
        model=inner.model,
        tokenizer=loaded.tokenizer,
        fields=task.fields,
        encode=encode,
        endings=task.endings(inner.model),
        positions=inner.max_length,
        trained=loaded.limits.max_length,
        needs_dynamic_cache=bool(loaded.cfg.get("peft")),
        template=getattr(task, "template", None),
        media=media,
    )


@contextlib.contextmanager
def _template_explained() -> Iterator[None]:
    try:
        yield
    except Unfit as error:
        raise UserError(f"the chat template cannot render these messages: {error}") from error


# Hugging Face format


def _of_checkpoint(path: str) -> TextGenerator:
    import transformers
    from transformers.models.auto import modeling_auto

    place = hub.find(path, key="RUN")
    with hub.explained(place, key="RUN", what="model"):
        config = transformers.AutoConfig.from_pretrained(place.path, **place.options)
        auto: Any = transformers.AutoModelForCausalLM
        names = modeling_auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
        if config.is_encoder_decoder:
            auto = transformers.AutoModelForSeq2SeqLM
            names = modeling_auto.MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES
        known = {name for value in names.values() for name in _listed(value)}
        own_classes = config.architectures or []
        if not known.intersection(own_classes):
            raise UserError(
                f"this is a {', '.join(own_classes) or config.model_type}, which does not "
                f"generate text",
                key="RUN",
                value=path,
            )
        with loading():
            model = auto.from_pretrained(place.path, dtype="auto", **place.options, **hub.NO_PICKLE)
        tokenizer: Any = transformers.AutoTokenizer.from_pretrained(place.path, **place.options)
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    fields = DOCUMENTS
    encode = _by_tokenizer(tokenizer)
    stops: list[int] = []
    template: ChatTemplate | None = None
    if config.is_encoder_decoder:
        fields = PAIRS
    elif tokenizer.chat_template:
        fields = DIALOGUES
        template = _template_of(tokenizer)
        encode = _by_template(tokenizer, template)
        stops = [] if template is None else template.stops
    bound = getattr(config, "max_position_embeddings", None)
    return TextGenerator(
        place=path,
        model=model,
        tokenizer=tokenizer,
        fields=fields,
        encode=encode,
        endings=list(dict.fromkeys([*stops, *endings_of(model, tokenizer)])),
        positions=bound if isinstance(bound, int) and bound > 0 else None,
        template=template,
    )


def _listed(value: str | Sequence[str]) -> Sequence[str]:
    return (value,) if isinstance(value, str) else value


def _from_text(tokenizer: PreTrainedTokenizerFast) -> Callable[[Sequence[Any]], list[list[int]]]:
    """Return an encoder of prompts that begin as documents do in training."""

    def encode(prompts: Sequence[Any]) -> list[list[int]]:
        begin, _ = borders(tokenizer)
        return [[begin, *ids.tolist()] for ids in tokens_of(tokenizer, list(prompts))]

    return encode


def _by_tokenizer(tokenizer: PreTrainedTokenizerFast) -> Callable[[Sequence[Any]], list[list[int]]]:
    """Return an encoder of prompts with the tokenizer's defaults."""

    def encode(prompts: Sequence[Any]) -> list[list[int]]:
        found = [list(ids) for ids in tokenizer(list(prompts))["input_ids"]] if prompts else []
        return [ids or [borders(tokenizer)[0]] for ids in found]

    return encode


def _template_of(tokenizer: PreTrainedTokenizerFast) -> ChatTemplate | None:
    """A tokenizer's own chat template; None where it can be used and not be learned from."""
    try:
        return ChatTemplate(own(tokenizer), tokenizer)
    except UserError:
        return None


def _by_template(
    tokenizer: Any, template: ChatTemplate | None
) -> Callable[[Sequence[Any]], list[list[int]]]:
    """Return an encoder of prompts that applies the tokenizer's chat template."""

    def loading(messages: Any, tools: Any) -> list[int]:
        found = tokenizer.apply_chat_template(
            list(messages), tools=tools, add_generation_prompt=True, return_dict=True
        )
        return list(found["input_ids"])

    def encode(prompts: Sequence[Any]) -> list[list[int]]:
        write = loading if template is None else template.prompt
        with _template_explained():
            return [write(*pair) for pair in zip(*split(prompts), strict=True)]

    return encode
