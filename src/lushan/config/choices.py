"""Suggestions for an option that a group has not, or a key that only names an option."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence

from lushan.common import shell
from lushan.config.peers import PEERS
from lushan.errors import nearest

PRETRAINED = "pretrained"
"""The option of a group that reads what a folder or the hub holds, by the key `path`."""

ONLY = "Only"
"""How a hint begins that names a key of another option; those of this one are listed too."""

Options = Callable[[str], Sequence[str]]
"""Gives the options of a group."""

_NAMING = ("name", "type", "kind", "class", "cls", "class_name", "_target_")
"""Keys by which other tools choose what is a group here: `optimizer.name=adamw`."""

_OF_TASK: Mapping[str, Sequence[str]] = {
    "task=chat": ("sft", "instruction", "instruct", "instruction_tuning", "dialogue", "dialog"),
    "task=ner": ("token_classification", "tagging", "tagger", "sequence_labeling", "pos"),
    "task=classification": ("text_classification", "sequence_classification", "sentiment", "nli"),
    "task=classification task.kind=regression": ("regression", "sts"),
    "task=classification task.kind=multilabel": ("multilabel", "multi_label"),
    "task=seq2seq": ("summarization", "summarisation", "translation", "text2text_generation", "mt"),
    "task=causal_lm": ("lm", "clm", "language_modeling", "text_generation", "pretraining", "pt"),
    "task=masked_lm": ("mlm", "fill_mask", "masked_language_modeling"),
}
_OF_DATA: Mapping[str, Sequence[str]] = {
    "data=table": ("csv", "tsv", "parquet", "pandas", "excel"),
    "data=jsonl": ("json", "ndjson", "jsonlines"),
    "data=text": ("txt", "raw", "plain", "plaintext"),
    "data=conll": ("iob", "iob1", "iob2", "bio", "conllu", "conll2003"),
    "data=hub": ("hf", "huggingface", "datasets", "hf_datasets"),
    "data=chat": ("sharegpt", "alpaca", "messages", "conversations", "openai"),
}
OTHERS: Mapping[str, Mapping[str, Sequence[str]]] = {
    "task": _OF_TASK,
    "data": _OF_DATA,
    "trainer": {"trainer=gpu": ("cuda",), "trainer=ddp": ("multi_gpu", "ddp_spawn")},
    "logger": {"logger=tensorboard": ("tb",), "logger=many_loggers": ("all",)},
    "peft": {"peft=null": ("none", "full")},
}
"""Group to what to write there, and what other tools and people call it."""
_PEERS = {"optimizer": "optim", "scheduler": "lr_scheduler_type"}
"""Groups whose options the table of peers' settings knows by other names."""


def options_near(group: str, name: str, options: Sequence[str], inner: Options) -> str:
    """Suggest an option of a group instead of one that does not exist."""
    listed = f"There are: {', '.join(options)}." if options else f"There is no group {group!r}."
    near = suggested_for(group, name, options, inner)
    found = f"Did you mean {near}? {listed}" if near else listed
    if PRETRAINED not in options or not name:
        return found
    what = "weights" if group == "model" else group
    by_path = shell.join([f"{group}={PRETRAINED}", f"{group}.path={name}"])
    # No option is written like that: it is a hub id, or a folder.
    if near is None and re.search(r"[^a-z0-9_]", name):
        return f"Write {by_path}. Options of this group are not names on the Hub. {listed}"
    return f"{found} For the {what} {name} on the Hub or in a folder: {by_path}."


def suggested_for(group: str, name: str, options: Sequence[str], inner: Options) -> str | None:
    """The override that was meant by `group=name`; None where that is not certain."""
    if not name:
        return None
    plain = _plain(name)
    same = next((option for option in options if _plain(option) == plain), None)
    if same is not None:
        return f"{group}={same}"
    family = [option for option in options if option.startswith(f"{name}_")]
    if family:
        return f"{group}={family[-1]}"
    for written, names in OTHERS.get(group, {}).items():
        if plain in map(_plain, names):
            return written
    if group in _PEERS and name.lower() in (peer := PEERS[_PEERS[group]]).values:
        return peer.values[name.lower()] or None
    if (near := nearest(name, options)) is not None:
        return f"{group}={near}"
    below = next((o for o in inner(group) if o.rpartition("/")[2] == name and "/" in o), None)
    return None if below is None else f"{group}/{below.replace('/', '=')}"


def instead_of_key(
    key: str, value: str | None, groups: Collection[str], options: Options
) -> str | None:
    """Suggest a group's option instead of a key that does not exist, where one is meant."""
    above, _, leaf = key.rpartition(".")
    group = above.replace(".", "/")
    if group not in groups:
        return None
    if leaf == "path" and PRETRAINED in options(group):
        parts = [f"{group}={PRETRAINED}", f"{key}={value or 'PLACE'}"]
        return f"{ONLY} {parts[0]} loads from a folder or the Hub: write {shell.join(parts)}."
    if leaf not in _NAMING:
        return None
    known = [option for option in options(group) if "/" not in option]
    if value is None:
        return f"Write {group}=NAME. There are: {', '.join(known)}."
    if value in known:
        return f"Write {group}={value}."
    return options_near(group, value, known, options)


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())
