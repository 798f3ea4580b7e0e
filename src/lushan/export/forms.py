"""The form that transformers keeps a model in, and what it and the run's own model are asked."""

from __future__ import annotations

import copy
import dataclasses
import inspect
from collections.abc import Callable
from typing import Any

from torch import Tensor

from lushan.inference.load import Loaded
from lushan.models.peft.adaptation import adaptation_of

TEXTS = (
    "Anna lives in Paris.",
    "李白在庐山，遥看瀑布挂前川。",
    "It cost 3.50 euros - cheap!",
    "naïve café, 東京 🙂",
    "明月几时有？把酒问青天。不知天上宫阙，今夕是何年。",
    "one two three four five six seven eight nine ten " * 3,
)
"""What both are asked."""
DIALOGUES = (
    [{"role": "user", "content": "Good morning."}],
    [
        {"role": "user", "content": "What is 3 plus 4?"},
        {"role": "assistant", "content": "3 plus 4 is 7."},
        {"role": "user", "content": "谢谢。"},
    ],
)
Ask = Callable[[Any, Any], list[Tensor]]


@dataclasses.dataclass
class Form:
    """A model as transformers keeps it.

    Attributes:
        model: Of transformers, in float32.
        tokenizer: As it is written.
        auto: The class that reads it: `AutoModelForCausalLM`.
        pipeline: transformers' pipeline for it; None where there is none.
        usage: Lines of Python that use it; DIR is the folder.
        notes: What its user must know.
        ask: From a model and a tokenizer to its logits for `TEXTS`.
        expected: What the run's own model says.
    """

    model: Any
    tokenizer: Any
    auto: str
    pipeline: str | None
    usage: str
    notes: list[str]
    ask: Ask
    expected: list[Tensor]


def plain_model(loaded: Loaded) -> Any:
    """The run's model of transformers, with its adapter merged."""
    adaptation = adaptation_of(loaded.model)
    whole: Any = loaded.model
    return whole.encoder.model if adaptation is None else adaptation.merged()


def tokenizer_for(loaded: Loaded, model: Any, longest: int) -> Any:
    """A copy of the run's tokenizer that knows how long a text may be, and what the model takes.

    Segments are no input of a model that tells none apart: some would refuse them, and GPT-2 would
    take them for tokens.
    """
    tokenizer = copy.deepcopy(loaded.tokenizer)
    tokenizer.model_max_length = longest
    takes = "token_type_ids" in inspect.signature(model.forward).parameters
    if not takes or (getattr(model.config, "type_vocab_size", None) or 0) < 2:
        names = tokenizer.model_input_names
        tokenizer.model_input_names = [name for name in names if name != "token_type_ids"]
    return tokenizer
