"""Rules for the kinds of targets; `lushan.config.allow_list` applies them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from lushan.compat import names
from lushan.config.launcher_settings import SETTINGS


@dataclass(frozen=True)
class Rule:
    """One kind of thing that may be a target.

    Attributes:
        named: How its name begins.
        lives: Where the object may really be defined: beginnings of module and qualified name.
        bases: Full names of classes, one of which it must derive from; empty for any class.
        functions: Whether functions defined there may be called too.
        marked: Whether only what is `@configurable` may be called.
        arguments: The arguments that a config may set; None allows all of the signature.
        closed: Whether only arguments that the signature names may be set, even where it takes
            any other name.
        writes: Whether its arguments named in `PLACES` say where it writes.
    """

    named: str
    lives: tuple[str, ...]
    bases: tuple[str, ...] = ()
    functions: bool = False
    marked: bool = False
    arguments: tuple[str, ...] | None = None
    closed: bool = False
    writes: bool = False


PLACES = (
    *("dirpath", "filename", "save_dir", "sub_dir", "name", "version"),
    *("exclude_batches_path", "nvme_path"),
)
"""Arguments of Lightning's classes that are parts of the paths they write to."""


def _logger(name: str, module: str, *arguments: str) -> Iterator[Rule]:
    """Yield the rules for one of Lightning's loggers, by both of its names."""
    full = f"pytorch_lightning.loggers.{module}.{name}"
    for named in (f"pytorch_lightning.loggers.{name}", full):
        allowed = ("save_dir", "name", "version", "prefix", *arguments)
        yield Rule(named, (full,), arguments=allowed, writes=True)


_CONFIG = "transformers.configuration_utils.PreTrainedConfig"

_TEXT_METRICS = ("bleu", "cer", "chrf", "edit", "eed", "mer", "ter", "wer", "wil", "wip")

RULES = (
    Rule("lushan.", ("lushan.",), functions=True, marked=True),
    Rule(
        "torch.optim.",
        ("torch.optim.",),
        ("torch.optim.optimizer.Optimizer", "torch.optim.lr_scheduler.LRScheduler"),
    ),
    # Arithmetic alone: what loads a model (BERTScore, FID), fetches data (ROUGE, SacreBLEU) or
    # calls what it is handed (wrappers) stands elsewhere in torchmetrics.
    Rule(
        "torchmetrics.",
        (
            "torchmetrics.classification.",
            "torchmetrics.regression.",
            *(f"torchmetrics.text.{name}." for name in _TEXT_METRICS),
        ),
        ("torchmetrics.metric.Metric",),
        closed=True,
    ),
    Rule(
        "transformers.",
        ("transformers.",),
        (
            _CONFIG,
            "transformers.modeling_utils.PreTrainedModel",
            "torch.optim.optimizer.Optimizer",
        ),
    ),
    Rule("peft.", ("peft.",), ("peft.config.PeftConfigMixin",)),
    Rule(
        "pytorch_lightning.callbacks.",
        ("pytorch_lightning.callbacks.",),
        ("pytorch_lightning.callbacks.callback.Callback",),
        writes=True,
    ),
    # Loggers that write files and send nothing anywhere. What sends is ours: it takes the address
    # and the key from the environment, and no config can lead them to another host.
    *_logger("CSVLogger", "csv_logs", "flush_logs_every_n_steps"),
    *_logger("TensorBoardLogger", "tensorboard", "log_graph", "default_hp_metric", "sub_dir"),
    Rule(
        "pytorch_lightning.strategies.",
        ("pytorch_lightning.strategies.",),
        ("pytorch_lightning.strategies.strategy.Strategy",),
        writes=True,
    ),
    Rule(
        "pytorch_lightning.profilers.",
        ("pytorch_lightning.profilers.",),
        ("pytorch_lightning.profilers.profiler.Profiler",),
        writes=True,
    ),
    Rule(
        "pytorch_lightning.plugins.",
        ("pytorch_lightning.plugins.", "lightning_fabric.plugins."),
    ),
    Rule("pytorch_lightning.Trainer", ("pytorch_lightning.trainer.trainer.Trainer",)),
)

SCORE = "score"
"""Stands for the key of a function that a stored result names."""
_SCORES = "lushan.metrics.scores."
SCORE_RULES = (Rule(_SCORES, (_SCORES,), functions=True),)
"""Scores of metrics that a result may name, besides what the user allows."""

FIELD = "field"
"""Stands for the key of a field's class that a stored result names."""
FIELD_RULES = (Rule("lushan.", ("lushan.",), ("lushan.data.fields.Field",)),)
"""Fields of entries that a result may name, besides what the user allows."""

HYDRA_RULES = (
    *(Rule(name, (name,)) for name in SETTINGS),
    Rule(
        "hydra.experimental.callbacks.",
        ("hydra.experimental.callbacks.",),
        ("hydra.experimental.callback.Callback",),
    ),
    Rule("optuna.samplers.", ("optuna.samplers.",), (names.BASE_SAMPLER,)),
    Rule("optuna.pruners.", ("optuna.pruners.",), (names.BASE_PRUNER,)),
)
"""Targets allowed under `hydra`: launchers and sweepers whose settings are known, and callbacks,
samplers and pruners that came with Hydra and Optuna."""
