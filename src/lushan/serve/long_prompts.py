"""Prompts that have no room in a model, found out before all of them is tokenized.

Tokenizing some megabytes takes seconds, and longer where others compute. A model reads a fraction
of them, and the beginning of a prompt without room is enough to refuse it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lushan.inference.dialogues import split
from lushan.inference.too_long import too_long
from lushan.text.document_tokens import tokens_of
from lushan.text.rendering import Unfit, texts_in

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

    from lushan.inference.generator import TextGenerator

CHARACTERS = 16
"""Characters a token, of the beginning that is tokenized first; few texts have so many."""
GROWTH = 4
"""Factor from one beginning to the next."""
SLACK = 1000
"""Tokens beyond twice what a model reads: a last word that is cut may have some hundred more."""


def require_room(generator: TextGenerator, prompt: Any) -> None:
    """Refuse a prompt of which already a beginning has more than twice the tokens that are read.

    Twice, since a tokenizer may read a beginning otherwise than the same characters in a longer
    text. A prompt that is not refused here may still be too long, which its tokens say. Prompts of
    encoder-decoders are cut and not refused, and none is too long for a model without a bound.

    Args:
        generator: The model.
        prompt: A text, or messages.

    Raises:
        TooLong: It is.
    """
    most = generator.positions
    if most is None or generator.is_whole:
        return
    if sum(map(len, texts_in(prompt))) <= CHARACTERS * most:
        return
    text = prompt if isinstance(prompt, str) else _written(generator, prompt)
    found = beyond(generator.tokenizer, text, 2 * most + SLACK)
    if found is not None:
        raise too_long(f"{found} or more", most)


def beyond(tokenizer: PreTrainedTokenizerFast, text: str, most: int) -> int | None:
    """Return the tokens of a beginning of a text that has more than `most`; None without one.

    Args:
        tokenizer: A fast one.
        text: The text.
        most: Tokens.
    """
    length = CHARACTERS * most // 2
    while length < len(text):
        # Blanks at its end may belong to what follows them, as before some tokens of masks.
        count = len(tokens_of(tokenizer, [text[:length].rstrip()])[0])
        if count > most:
            return count
        length *= GROWTH
    return None


def _written(generator: TextGenerator, prompt: Any) -> str:
    """Return the text of a dialogue that is tokenized; '' where there is none."""
    if not generator.takes_messages:
        return ""
    ((messages,), (tools,)) = split([prompt])
    if messages and messages[-1]["role"] == "assistant":  # tasks leave an answer at the end out
        messages = messages[:-1]
    if generator.template is None:
        tokenizer: Any = generator.tokenizer
        options = {"tools": tools, "add_generation_prompt": True, "tokenize": False}
        return str(tokenizer.apply_chat_template(list(messages), **options))
    try:
        return generator.template.render(messages, tools, prompt=True).text
    except Unfit:
        return ""
