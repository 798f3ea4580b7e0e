"""Export of a recommender: a causal language model of transformers whose tokens are items."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from lushan.data.catalogue import Catalogue
from lushan.data.processing import require_tokenizer
from lushan.models.architectures import auto
from lushan.models.exported import ExportSpec, TrainedModel
from lushan.run import remote_code

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

_USAGE = """\
tokenizer, model = AutoTokenizer.from_pretrained("DIR"), AutoModelForCausalLM.from_pretrained("DIR")
read = tokenizer([{items}], is_split_into_words=True, return_tensors="pt")
scores = model(**read).logits[0, -1]
print(tokenizer.convert_ids_to_tokens(scores.topk(10).indices))"""
_EXAMPLES = 4


def spec(trained: TrainedModel, items: Catalogue) -> ExportSpec:
    """Describe the exported model: vectors of ids and texts are one table of embeddings then."""
    tokenizer = require_tokenizer(trained.processor)
    with torch.no_grad():
        table = trained.whole.embeddings()
    model = auto("AutoModelForCausalLM").from_config(
        trained.plain.config, dtype=torch.float32, **remote_code.options()
    )
    model.base_model.load_state_dict(trained.plain.state_dict())
    with torch.no_grad():
        for layer in (model.get_input_embeddings(), model.get_output_embeddings()):
            layer.weight.copy_(table)
    model.eval()
    length = min(trained.max_length - 1, len(items))
    examples = [list(items.ids[n : n + 1 + n * length // _EXAMPLES]) for n in range(_EXAMPLES)]
    examples = [ids for ids in examples if ids]

    def ask(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, ids: list[str]) -> Tensor:
        read = tokenizer(ids, is_split_into_words=True, return_tensors="pt")
        return model(**read).logits[:, -1]

    def own(ids: list[str]) -> Tensor:
        read: Any = tokenizer(ids, is_split_into_words=True, return_tensors="pt")
        states, _ = trained.whole(read["input_ids"], read["attention_mask"])
        return states[:, -1] @ table.T

    own_table: Any = trained.plain.get_input_embeddings()
    same = torch.equal(table, own_table.weight)
    with torch.no_grad():
        expected = [own(ids) for ids in examples]
    return ExportSpec(
        model=model,
        processor=tokenizer,
        auto_class="AutoModelForCausalLM",
        usage=_USAGE.format(items=", ".join(map(repr, items.ids[:2]))),
        examples=examples,
        ask=ask,
        expected=expected,
        reloads=same,
        notes=[
            "A token is an item; the logits are its scores as the next one. Exclude the user's "
            "own items and special tokens.",
            *(() if same else ("Use the run itself with `lushan predict`: it encodes texts.",)),
            f"The last {trained.max_length - 1} items of a history are used.",
        ],
    )
