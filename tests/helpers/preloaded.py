"""What forked processes share: torch and all else, imported once.

They draw no plots, which are a third of what a tiny run costs and which nobody looks at there: what
is drawn of a run of each kind, the runs show that tests train in their own process.
"""

import gc
from pathlib import Path
from typing import Any

import accelerate  # noqa: F401
import pandas as pd  # noqa: F401
import peft  # noqa: F401
import pytest  # noqa: F401 - what started the tests is imported by each child of a server
import rouge_score.rouge_scorer  # noqa: F401
import torch.distributed.fsdp
import torch.distributed.tensor.parallel  # noqa: F401

from lushan import cli, reporting, training  # noqa: F401
from lushan.config.check import check
from lushan.config.compose import compose
from lushan.runs.files import replacing

KINDS = (
    ("task=ner", "model=bert_tiny"),
    ("task=classification", "model=bert_tiny"),
    ("task=causal_lm", "model=gpt2_tiny"),
    ("task=causal_lm", "model=qwen_tiny"),
    ("task=masked_lm", "model=bert_tiny"),
    ("task=seq2seq", "model=t5_tiny"),
    ("task=chat", "model=gpt2_tiny"),
)


def _unseen(figure: Any, path: Path) -> None:
    with replacing(path) as temporary:
        temporary.write_bytes(b"\x89PNG, of nothing")


def _undrawn(*_: Any) -> None:
    pass


training.preload(check(compose(["trainer=cpu", *words])) for words in KINDS)
reporting.save = _unseen
reporting.curves_figure = reporting.confusion_figure = _undrawn  # type: ignore[assignment]
gc.collect()
gc.freeze()  # a collection in a child copies no page of what is imported
