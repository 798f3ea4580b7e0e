"""Texts that the model generates at each validation, from the same prompts."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import pyarrow as pa
import pytorch_lightning as pl

from lushan.configurable import Within, configurable
from lushan.models.decoding import Settings, Written, generate
from lushan.models.prompt_groups import grouped
from lushan.run.files import appending, atomic_write, json_line
from lushan.run.metrics_csv import SAMPLES, read_samples
from lushan.text.incremental import BROKEN, decode

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

    from lushan.vision.reader import Seen

log = logging.getLogger(__name__)

SHOWN = 160
"""Characters of a text that the log shows."""


@configurable
class Samples(pl.Callback):
    """Generates text at each validation, from the first examples of that split.

    A document is given by its beginning, a dialogue up to the assistant's last turn, a pair by its
    source. The texts are shown in the log (the first of them), added to `samples.jsonl` in the run
    folder, and sent to the trackers as a table. Training is not affected. A task that writes no
    text generates none.

    Args:
        count: Number of prompts.
        prompt_tokens: Number of first tokens of a document to use as the prompt.
        max_new_tokens: Maximum number of new tokens.
        temperature: Sampling temperature; 0 is greedy.
        top_p: Sample from the most likely tokens with this total probability.
        top_k: Sample from this many most likely tokens; 0 for all.
        seed: Random seed of sampling; the same at each validation.
    """

    def __init__(
        self,
        *,
        count: Annotated[int, Within(least=1)] = 4,
        prompt_tokens: Annotated[int, Within(least=1)] = 16,
        max_new_tokens: int = 48,
        temperature: float = 0.8,
        top_p: float = 0.95,
        top_k: int = 0,
        seed: Annotated[int, Within(least=0, below=2**63)] = 1,
    ) -> None:
        self.count, self.prompt_tokens = count, prompt_tokens
        self.settings = Settings(
            max_new_tokens=max_new_tokens,
            temperature=temperature,
            top_p=top_p,
            top_k=top_k,
            seed=seed,
        )
        self.settings.require_sound(lambda field: f"callbacks.samples.{field}")
        self.prompts: list[tuple[str, list[int]]] = []
        self.media: list[Seen] | None = None
        self.rows: list[dict[str, Any]] = []

    def on_train_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Choose the prompts; after a resume, drop the rows that are about to be made again."""
        table = pl_module.tables.get("validation")
        self.prompts = [] if table is None else self._prompts(table, pl_module)
        path = _file(trainer)
        if not self.prompts or not trainer.is_global_zero:
            return
        self.rows = [row for row in read_samples(path) if row["step"] <= trainer.global_step]
        if path.exists():
            atomic_write(path, "".join(map(json_line, self.rows)))

    def _prompts(self, table: pa.Table, module: Any) -> list[tuple[str, list[int]]]:
        """The names and tokens of the first examples, as far as they leave room for a text."""
        first = table.slice(0, self.count)
        found = module.task.prompts(first.to_pydict())
        if found is None:
            return []
        self.media = module.task.media(first.to_pydict())
        seen = [{}] * len(found) if self.media is None else self.media
        fitted = [  # of what goes with images nothing is cut
            prompt if image else self._fitted(prompt, module)
            for prompt, image in zip(found, seen, strict=True)
        ]
        return list(zip(first.column("id").to_pylist(), fitted, strict=True))

    def _fitted(self, prompt: list[int], module: Any) -> list[int]:
        encoder = module.model.encoder
        longest = encoder.max_length
        if encoder.writes_apart:
            return prompt if longest is None else [*prompt[:-1][: longest - 1], prompt[-1]]
        if module.task.continues:
            prompt = prompt[: max(1, min(self.prompt_tokens, len(prompt) // 2))]
            while len(prompt) > 1 and decode(module.task.tokenizer, prompt).endswith(BROKEN):
                prompt = prompt[:-1]  # a character is cut in two
        room = None if longest is None else max(1, longest - self.settings.max_new_tokens)
        return prompt if room is None else prompt[-room:]

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Write; all processes do, since each may hold a part of the weights."""
        if not self.prompts or trainer.sanity_checking or trainer.state.fn != "fit":
            return
        model = pl_module.model
        training = model.training
        model.eval()
        try:
            written = pl_module.through(lambda *_: self._written(pl_module), None, freely=True)
        except Exception as error:  # noqa: BLE001  (samples are no reason to lose the model)
            self.prompts = []
            log.warning("warning: this run generates no samples: %s", error)
            return
        finally:
            model.train(training)
        if trainer.is_global_zero:
            self._keep(trainer, pl_module.task.tokenizer, written)

    def _written(self, module: Any) -> list[Written]:
        encoder, task = module.model.encoder, module.task
        prompts = [ids for _, ids in self.prompts]
        is_whole = encoder.writes_apart
        lengths = [1 if is_whole else len(ids) for ids in prompts]
        found: dict[int, Written] = {}
        for group in grouped(
            lengths,
            self.settings.max_new_tokens,
            positions=encoder.max_length,
            size=len(prompts),
        ):
            texts = generate(
                encoder.model,
                [prompts[row] for row in group.rows],
                self.settings.with_new_tokens(group.new_tokens),
                tokenizer=task.tokenizer,
                endings=task.endings(encoder.model),
                media=None if self.media is None else [self.media[row] for row in group.rows],
            )
            found |= {row: texts[0] for row, texts in zip(group.rows, texts, strict=True)}
        return [found[row] for row in range(len(prompts))]

    def _keep(
        self, trainer: pl.Trainer, tokenizer: PreTrainedTokenizerFast, written: list[Written]
    ) -> None:
        new = [
            {
                "step": trainer.global_step,
                "id": name,
                "prompt": decode(tokenizer, ids),
                "text": text.text,
                "finish_reason": text.finish,
            }
            for (name, ids), text in zip(self.prompts, written, strict=True)
        ]
        self.rows += new
        with appending(_file(trainer)) as file:
            file.writelines(map(json_line, new))
        log.info("sample: %s | %s", *(_shown(str(new[0][part])) for part in ("prompt", "text")))
        for logger in trainer.loggers:
            if (tell := getattr(logger, "log_samples", None)) is not None:
                tell(self.rows, trainer.global_step)


def _file(trainer: pl.Trainer) -> Path:
    return Path(trainer.default_root_dir) / SAMPLES


def _shown(text: str) -> str:
    """A text in one line, cut where it is long."""
    line = text.replace("\n", "⏎")
    return line if len(line) <= SHOWN else line[: SHOWN - 1] + "…"
