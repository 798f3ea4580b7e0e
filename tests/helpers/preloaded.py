"""What forked processes share: torch and all else, imported once.

They draw no plots, at which nobody looks there: those of each kind of run are drawn where
tests/contract/test_kinds.py and the shared runs of tests/conftest.py train in their own process.
"""

import gc

import accelerate  # noqa: F401
import pandas as pd  # noqa: F401
import peft  # noqa: F401
import pytest  # noqa: F401 - what started the tests is imported by each child of a server
import rouge_score.rouge_scorer  # noqa: F401
import torch.distributed.fsdp
import torch.distributed.tensor.parallel  # noqa: F401
import typer

from lushan.cli import app
from lushan.config.check import check
from lushan.config.compose import compose
from lushan.engine import lifecycle
from tests.helpers import light, plots

KINDS = (
    ("task=ner", "model=bert_tiny"),
    ("task=classification", "model=bert_tiny"),
    ("task=causal_lm", "model=gpt2_tiny"),
    ("task=causal_lm", "model=qwen_tiny"),
    ("task=masked_lm", "model=bert_tiny"),
    ("task=seq2seq", "model=t5_tiny"),
    ("task=chat", "model=gpt2_tiny"),
)


lifecycle.preload(check(compose(["trainer=cpu", *words])) for words in KINDS)
plots.undrawn().start()
light.lighten()
typer.main.get_command(app.app)
gc.collect()
gc.freeze()  # a collection in a child copies no page of what is imported
