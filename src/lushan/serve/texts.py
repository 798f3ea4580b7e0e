"""Requests for texts as `lushan generate` takes prompts and settings."""

from __future__ import annotations

import dataclasses
import secrets
import threading
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lushan.data import references
from lushan.errors import UserError
from lushan.inference.batch_generate import settings_of
from lushan.inference.generator import TextGenerator
from lushan.inference.prompt_files import Prompt, as_taken
from lushan.inference.too_long import TooLong
from lushan.models.decoding import Settings
from lushan.serve.failures import Refused, of_user
from lushan.serve.guarded import Checks
from lushan.serve.long_prompts import require_room
from lushan.serve.schemas import ImagePart, Message, Writing
from lushan.serve.writing import Writer
from lushan.text import parts

if TYPE_CHECKING:
    from lushan.vision.reader import Seen

_NAMES = {"num_samples": "n", "max_new_tokens": "max_tokens"}
"""Fields of `Settings` as OpenAI's interface calls them."""


@dataclasses.dataclass(frozen=True)
class Prepared:
    """A prompt ready to be continued.

    Attributes:
        ids: Its tokens.
        settings: How.
        media: What the model reads of its images.
        notes: What was cut.
        passes: Whether the guard lets it be answered.
    """

    ids: list[int]
    settings: Settings
    media: Seen | None
    notes: Sequence[str]
    passes: bool = True


class Texts:
    """A model that writes, behind requests.

    Args:
        generator: The model.
        writer: Works for it.
        most: New tokens of a text, at most.
        checks: Of prompts and texts, if any.
    """

    def __init__(
        self, generator: TextGenerator, writer: Writer, most: int, checks: Checks | None = None
    ) -> None:
        self.generator, self.writer, self.most = generator, writer, most
        self.checks = checks
        self._encoding = threading.Lock()  # tokenizers are not made for several threads
        # A completion is plain text, also where the model was trained on dialogues.
        self.plain = generator.as_text() if generator.takes_messages else generator

    @property
    def sees_images(self) -> bool:
        """Return whether messages may hold images."""
        return self.generator.takes_messages and self.generator.media([]) is not None

    def dialogue(self, messages: Sequence[Message], request: Writing, wanted: int | None) -> Any:
        """Prepare the answer to a dialogue, of `wanted` new tokens at most.

        Raises:
            Refused: Names the field.
        """
        if not self.generator.takes_messages:
            raise Refused(
                400,
                "this model has no chat template: use /v1/completions",
                param="model",
                code="unsupported",
            )
        value = [_plain(i, message) for i, message in enumerate(messages)]
        if any(parts.images_of(m["content"]) for m in value) and not self.sees_images:
            raise Refused(400, "this model does not accept images", param="messages")
        return self._prepared(self.generator, value, request, wanted, "messages")

    def completion(self, prompt: str, request: Writing, wanted: int | None) -> Prepared:
        """Prepare the continuation of a text, or what an encoder-decoder makes of it."""
        if wanted is None and not self.generator.is_whole:
            wanted = 16
        return self._prepared(self.plain, prompt, request, wanted, "prompt")

    def strips(self, *, chat: bool) -> bool:
        """Return whether blanks around a text are no part of it: of answers, not continuations."""
        return chat or self.generator.is_whole

    def _prepared(
        self, generator: TextGenerator, value: Any, request: Writing, wanted: int | None, name: str
    ) -> Prepared:
        if self.checks is not None:
            value = self.checks.redacted(value)
            if not self.checks.passes(value):
                return Prepared([], self._settings(request, wanted, None), None, [], passes=False)
        try:
            prompt = Prompt("0", value, {"key": name})
            prompt = dataclasses.replace(prompt, value=as_taken(prompt, generator.fields))
            with self._encoding:
                require_room(generator, prompt.asked)
                ids = generator.encode([prompt.asked])
                media = generator.media([prompt.asked])
            (fitted,), cut = generator.fitted(ids, [prompt.place])
        except UserError as error:
            code = "context_length_exceeded" if isinstance(error, TooLong) else None
            raise of_user(error, name, code=code) from error
        settings = self._settings(request, wanted, generator.room(len(fitted)))
        notes = [f"the source was truncated to {len(fitted)} tokens"] if cut else []
        return Prepared(fitted, settings, None if media is None else media[0], notes)

    def _settings(self, request: Writing, wanted: int | None, room: int | None) -> Settings:
        if wanted is not None and wanted > self.most:
            raise Refused(
                400, f"the limit of this server is {self.most} tokens", param="max_tokens"
            )
        options: dict[str, Any] = {
            "max_new_tokens": wanted if wanted or self.generator.is_whole else self.most,
            "temperature": request.temperature,
            "top_p": request.top_p,
            "top_k": request.top_k,
            "num_samples": request.n,
            "repetition_penalty": request.repetition_penalty,
            "stop": _stops(request.stop),
        }
        given = {name: option for name, option in options.items() if option is not None}
        settings = settings_of(given, self.generator)
        # Without a seed each request is answered otherwise.
        seed = secrets.randbits(63) if request.seed is None else request.seed
        most = min(settings.max_new_tokens, self.most, room or self.most)
        settings = dataclasses.replace(settings, seed=seed, max_new_tokens=most)
        try:
            settings.require_sound(lambda field: _NAMES.get(field, field))
        except UserError as error:
            raise of_user(error, str(error.key)) from error
        return settings


def _stops(stop: str | list[str] | None) -> tuple[str, ...] | None:
    if stop is None:
        return None
    return (stop,) if isinstance(stop, str) else tuple(stop)


def _plain(number: int, message: Message) -> dict[str, Any]:
    role = "system" if message.role == "developer" else message.role
    if isinstance(message.content, str):
        return {"role": role, "content": message.content}
    place = f"messages[{number}].content"
    content: list[Mapping[str, Any]] = []
    for i, part in enumerate(message.content):
        if isinstance(part, ImagePart):
            content.append(_image(part.image_url.url, f"{place}[{i}].image_url.url"))
        else:
            content.append(parts.text(part.text))
    if not content:
        raise Refused(400, "it has no part", param=place)
    return {"role": role, "content": content}


def _image(url: str, place: str) -> parts.Part:
    try:
        return parts.image({"path": "", "bytes": references.of_data_url(url)})
    except UserError as error:
        raise of_user(error, place) from error


class Stripped:
    """Pieces of a text without the blanks around the whole of it."""

    def __init__(self) -> None:
        self._held, self._begun = "", False

    def __call__(self, piece: str) -> str:
        """Return what may be shown after one more piece: blanks wait for what follows them."""
        text = self._held + piece
        text = text if self._begun else text.lstrip()
        kept = text.rstrip()
        self._held = text[len(kept) :]
        self._begun = self._begun or bool(kept)
        return kept
