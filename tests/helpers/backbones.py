"""Models as the tasks use them: Auto class, backbone, and what asks how a model attends."""

import functools
from typing import Any

from lushan.models import probing
from lushan.models.language import LanguageModel

ENCODER: dict[str, Any] = {}
CAUSAL: dict[str, Any] = {"auto_class": "AutoModelForCausalLM", "wrap": LanguageModel}
MASKED: dict[str, Any] = {
    "auto_class": "AutoModelForMaskedLM",
    "wrap": functools.partial(LanguageModel, bidirectional=True),
}
SEQ2SEQ: dict[str, Any] = {"auto_class": "AutoModelForSeq2SeqLM", "wrap": LanguageModel}
USES = {"encoder": ENCODER, "causal_lm": CAUSAL, "masked_lm": MASKED, "seq2seq_lm": SEQ2SEQ}
PROBES = {
    "causal_lm": probing.require_causal,
    "masked_lm": probing.require_bidirectional,
    "seq2seq_lm": probing.require_encoder_decoder,
}
ENDS = {"bos_token_id": 1, "eos_token_id": 2}
SPECIAL: dict[str, dict[str, int]] = {
    "encoder": {},
    "causal_lm": ENDS,
    "masked_lm": {},
    "seq2seq_lm": ENDS | {"decoder_start_token_id": 0},
}
"""Ids that fresh configs get."""


def auto_class(use: str) -> str:
    """Return the Auto class of a use."""
    return str(USES[use].get("auto_class", "AutoModel"))
