"""Answers generated from an entry of the knowledge base, in words that fit the question."""

from __future__ import annotations

from pathlib import Path

from lushan.assist import fidelity
from lushan.assist.settings import Generate
from lushan.inference.generator import open_generator
from lushan.models.decoding import Settings


class Wording:
    """A model that words answers.

    Args:
        settings: Which, and what it is asked.
        folder: That its place is relative to, where it is a folder.

    Raises:
        UserError: There is no such model.
    """

    def __init__(self, settings: Generate, folder: Path) -> None:
        place = settings.run if "://" in settings.run else str(folder / settings.run)
        self.settings, self.generator = settings, open_generator(place)
        self.how = Settings(max_new_tokens=settings.max_new_tokens, greedy=True)

    def answer(self, question: str, entry: str, answer: str, entity: str | None) -> str | None:
        """Return the answer to a question by an entry; None where it is not faithful to it."""
        asked = self.settings.prompt.format(
            question=question, entry=entry, answer=answer, entity=entity or ""
        )
        is_chat = self.generator.takes_messages
        ids = self.generator.encode([[{"role": "user", "content": asked}] if is_chat else asked])
        fitted, cut = self.generator.fitted(ids, [{"key": "generate.prompt"}])
        room = self.generator.room(len(fitted[0]))
        tokens = min(self.how.max_new_tokens, room or self.how.max_new_tokens)
        written = self.generator.write(fitted, self.how.with_new_tokens(tokens))[0][0]
        text = written.text.strip()
        if cut or not text or written.finish == "length":
            return None
        source = f"{entry}\n{answer}\n{entity or ''}"
        return None if fidelity.unsupported(text, source, answer) else text
