"""Options that a command does not have, and what was meant by them."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

import typer

from lushan.errors import UnknownKey, UserError, nearest

PEERS: Mapping[str, tuple[str, ...]] = {
    "--max-new-tokens": ("max_length", "max_tokens", "max_gen_len", "length"),
    "--num-samples": ("num_return_sequences", "n_samples", "num_generations", "samples"),
    "--beams": ("num_beams", "beam", "beam_size", "beam_width"),
    "--temperature": ("temp", "t"),
    "--stop": ("stop_strings", "stop_sequences", "stop_sequence", "stop_token", "eos"),
    "--repetition-penalty": ("rep_penalty", "frequency_penalty", "presence_penalty"),
    "--system": ("system_prompt", "system_message"),
    "--batch-size": ("bs", "per_device_eval_batch_size", "eval_batch_size"),
    "--dtype": ("torch_dtype", "precision", "model_dtype"),
    "--input": ("input_file", "input_path", "in", "file", "data", "prompts", "test_file"),
    "--output": ("output_file", "output_path", "output_dir", "out", "save", "save_path"),
    "--prompt": ("text", "query", "message"),
    "--metric": ("metrics", "measure", "score"),
    "--rows": ("row", "group_by", "groupby", "by", "index"),
    "--columns": ("cols", "column"),
    "--over": ("average", "mean_over", "seeds"),
    "--baseline": ("reference", "base", "against"),
    "--split": ("subset", "partition"),
    "--pred": ("predictions", "prediction", "predicted", "hyp", "hypothesis", "system_output"),
    "--gold": ("reference", "references", "ref", "truth", "labels"),
    "--run": ("run_dir", "run_folder"),
    "--jobs": ("n_jobs", "workers", "num_workers", "parallel"),
    "--retry": ("retries", "max_retries"),
    "--yes": ("force", "confirm", "y", "overwrite", "exist_ok"),
}
"""Our option to what other tools call it; what a command does not have is never named."""

RUN = (
    "model",
    "model_path",
    "model_name_or_path",
    "checkpoint",
    "ckpt",
    "ckpt_path",
    "run",
    "path",
)
"""Names of the run in other tools; here it is an argument."""


def refusal(error: typer.TyperException) -> UnknownKey | None:
    """The mistake of an option that there is not; None of any other mistake."""
    wrong = getattr(error, "option_name", None)
    context: Any = getattr(error, "ctx", None)
    if wrong is None or context is None:
        return None
    known = [option for param in context.command.params for option in param.opts]
    known += list(context.help_option_names)
    hint = suggestion(str(wrong), known, context.command_path)
    return UnknownKey(
        "unknown option",
        key=str(wrong),
        hint=hint or f"Run `{context.command_path} --help` for the options.",
    )


_WORDS = (
    (r"Input should be greater than or equal to (\S+)", r"must be \1 or more"),
    (r"Input should be less than or equal to (\S+)", r"must be \1 at most"),
    (r"Input should be greater than (\S+)", r"must be above \1"),
    (r"Input should be less than (\S+)", r"must be below \1"),
    (r"Input should be a valid integer.*", "must be a whole number"),
    (r"Input should be a valid number.*", "must be a number"),
    (r"Input should be (a finite number|a valid \w+).*", r"must be \1"),
    (r"Input should be (.+)", r"must be \1"),
    (r"Value error, (.+?)\.?$", r"\1"),
)
"""What the library that reads options says of a value, and what is said here."""


def of_value(error: typer.TyperException) -> UserError | None:
    """Return the mistake of an option's value; None of any other mistake."""
    param: Any = getattr(error, "param", None)
    message = str(getattr(error, "message", ""))
    if param is None:
        return None
    for theirs, ours in _WORDS:
        if (found := re.search(theirs, message)) is not None:
            problem = found.expand(ours) if "\\" in ours else ours
            return UserError(problem, key=max(param.opts, key=len))
    return None


def suggestion(wrong: str, known: Collection[str], command: str) -> str | None:
    """Return what to write instead of an option; None where that is not certain."""
    plain = wrong.lower().replace("_", "-")
    options = [option for option in known if option.startswith("--")]
    if near := nearest(plain, options):
        return f"Did you mean {near}?"
    name = plain.lstrip("-").replace("-", "_")
    if own := [option for option, names in PEERS.items() if name in names and option in known]:
        return f"Write {own[0]}."
    if name in RUN and "run" in known:
        return f"Write the run folder without an option: {command} RUN."
    return None
