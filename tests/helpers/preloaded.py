"""What forked processes share: torch and all else, imported once.

They draw no plots, at which nobody looks there: those of each kind of run are drawn where
tests/contract/test_kinds.py and the shared runs of tests/conftest.py train in their own process.
"""

import contextlib
import gc
import importlib
import pkgutil

import accelerate  # noqa: F401
import pandas as pd  # noqa: F401
import peft  # noqa: F401
import PIL.Image
import pyarrow.pandas_compat  # noqa: F401
import pytest  # noqa: F401 - what started the tests is imported by each child of a server
import rouge_score.rouge_scorer  # noqa: F401
import sacrebleu  # noqa: F401
import torch.distributed.fsdp
import torch.distributed.tensor.parallel
import torch.utils.serialization.config  # noqa: F401
import typer
from transformers.models.auto import processing_auto  # noqa: F401
from transformers.models.clip import modeling_clip  # noqa: F401
from transformers.models.llama import modeling_llama  # noqa: F401
from transformers.models.llava import modeling_llava  # noqa: F401
from transformers.models.siglip import modeling_siglip  # noqa: F401
from transformers.models.vit import image_processing_pil_vit, modeling_vit  # noqa: F401

import lushan
from lushan.cli import app
from lushan.config.check import check
from lushan.config.compose import built_in_conf, compose
from lushan.engine import lifecycle
from tests.helpers import light, plots

KINDS = (
    *((f"task={path.stem}",) for path in sorted((built_in_conf() / "task").glob("*.yaml"))),
    ("task=ner", "model=bert_tiny"),
    ("task=causal_lm", "model=gpt2_tiny"),
    ("task=causal_lm", "model=qwen_tiny"),
    ("task=masked_lm", "model=bert_tiny"),
    ("task=seq2seq", "model=t5_tiny"),
    ("task=chat", "model=llava_tiny"),
)
"""Every task, and models beside their own."""


def import_all() -> None:
    """Import all modules of lushan whose libraries are installed: metrics, say, of every task."""
    for module in pkgutil.walk_packages(lushan.__path__, "lushan."):
        if not module.name.endswith("__main__"):
            with contextlib.suppress(ImportError):
                importlib.import_module(module.name)


import_all()
PIL.Image.init()
lifecycle.preload(check(compose(["trainer=cpu", *words])) for words in KINDS)
plots.undrawn().start()
light.lighten()
typer.main.get_command(app.app)
gc.collect()
gc.freeze()  # a collection in a child copies no page of what is imported
