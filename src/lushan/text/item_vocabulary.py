"""A vocabulary whose tokens are items: each text, such as an item's id, is one token."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from lushan.configurable import configurable
from lushan.errors import UserError
from lushan.text.vocabulary import CLS, PAD, SPECIAL, UNK, Texts

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast


@configurable
def items(*, texts: Texts, cache_dir: Path) -> PreTrainedTokenizerFast:
    """Make a vocabulary of all items, in their order.

    Args:
        texts: Gives the items' ids.
        cache_dir: Not used: nothing is trained.

    Raises:
        UserError: There is none, or one is called as a special token is.
    """
    del cache_dir
    from tokenizers import Tokenizer, models, processors
    from transformers import PreTrainedTokenizerFast

    names = list(dict.fromkeys(texts()))
    special = (PAD, UNK, CLS)
    if not names or any(name in SPECIAL for name in names):
        problem = (
            f"an item has the same name as one of {', '.join(SPECIAL)}" if names else "no items"
        )
        raise UserError(problem, key="processor", hint="Is data=interactions the source?")
    numbers = {name: number for number, name in enumerate((*special, *names))}
    tokenizer = Tokenizer(models.WordLevel(numbers, unk_token=UNK))
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{CLS} $A", special_tokens=[(CLS, numbers[CLS])]
    )
    made: PreTrainedTokenizerFast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        unk_token=UNK,
        cls_token=CLS,
        bos_token=CLS,
        model_input_names=["input_ids", "attention_mask"],
        clean_up_tokenization_spaces=False,
    )
    return made
