"""Exported form of a task's model: its class and processor, and the proof that it is equal."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from lushan.models.peft.adaptation import adaptation_of

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from lushan.data.processing import Processor

CLOSE = 1e-3
"""By what share of the largest output two models may differ: merging an adapter rounds."""

TEXTS = (
    "Anna lives in Paris.",
    "李白在庐山，遥看瀑布挂前川。",
    "It cost 3.50 euros - cheap!",
    "naïve café, 東京 🙂",
    "明月几时有？把酒问青天。不知天上宫阙，今夕是何年。",
    "one two three four five six seven eight nine ten " * 3,
)
"""Examples for a model that reads texts."""
CONVERSATIONS = (
    [{"role": "user", "content": "Good morning."}],
    [
        {"role": "user", "content": "What is 3 plus 4?"},
        {"role": "assistant", "content": "3 plus 4 is 7."},
        {"role": "user", "content": "谢谢。"},
    ],
)
"""Examples for a model that answers."""

Ask = Callable[[Any, Any, Any], Tensor]
"""From a model, a processor and an example to the model's output."""


@dataclasses.dataclass(frozen=True)
class TrainedModel:
    """A run's model, as a task gets it to describe its exported form.

    Attributes:
        whole: As the task's `build` made it, in evaluation mode.
        plain: Its encoder as a model of transformers, with any adapter merged.
        processor: Tokenizer, image processor or both.
        max_length: Tokens of an example, at most.
        stride: Tokens that windows over a longer example share; None truncates it.
    """

    whole: Any
    plain: PreTrainedModel
    processor: Processor
    max_length: int
    stride: int | None = None


@dataclasses.dataclass(frozen=True)
class ExportSpec:
    """The exported form of a task's model.

    Attributes:
        model: Of transformers, in float32.
        processor: What is saved beside it: anything that has `save_pretrained`.
        auto_class: Name of the Auto class that loads the model: `AutoModelForCausalLM`.
        usage: Lines of Python that use it; DIR is the folder.
        examples: Inputs for the proof, of whatever kind `ask` takes.
        ask: Computes the output for one example; asked of the model that transformers loads.
        expected: The output of the run's own model for each example.
        pipeline: transformers' pipeline for it; None where there is none.
        notes: What its user must know.
        reloads: Whether the weights are the run's, so that `lushan predict` uses the folder, too.
    """

    model: PreTrainedModel
    processor: Processor
    auto_class: str
    usage: str
    examples: Sequence[Any]
    ask: Ask
    expected: Sequence[Tensor]
    pipeline: str | None = None
    notes: Sequence[str] = ()
    reloads: bool = True

    def outputs(self, model: PreTrainedModel, processor: Processor) -> list[Tensor]:
        """Compute the outputs of a model for all examples."""
        return [self.ask(model, processor, example) for example in self.examples]


def merged(model: nn.Module) -> PreTrainedModel:
    """Return the transformers model in a task's model, with any adapter merged.

    Raises:
        UserError: Its adapter cannot be merged.
    """
    adaptation = adaptation_of(model)
    whole: Any = model
    return whole.encoder.model if adaptation is None else adaptation.merged()


def distance_of(found: Sequence[Tensor], expected: Sequence[Tensor]) -> float:
    """Compute the largest difference, as a share of the largest expected value."""
    pairs = zip(found, expected, strict=True)
    apart = max(float((a.float() - b.float()).abs().max()) for a, b in pairs)
    largest = max(float(b.float().abs().max()) for b in expected)
    return apart / max(largest, 1e-6)


def labels_agree(found: Sequence[Tensor], expected: Sequence[Tensor], close: float) -> bool:
    """Return whether the most probable class is the same everywhere, ties excepted."""
    for a, b in zip(found, expected, strict=True):
        if b.shape[-1] < 2:
            continue
        best = b.float().topk(2, dim=-1).values
        sure = best[..., 0] - best[..., 1] > 2 * close * float(b.float().abs().max())
        if bool(((a.argmax(-1) != b.argmax(-1)) & sure).any()):
            return False
    return True


def are_same(found: Sequence[Tensor], expected: Sequence[Tensor]) -> bool:
    """Return whether outputs have the same shapes, values within `CLOSE` and classes."""
    if [t.shape for t in found] != [t.shape for t in expected]:
        return False
    return distance_of(found, expected) <= CLOSE and labels_agree(found, expected, CLOSE)
