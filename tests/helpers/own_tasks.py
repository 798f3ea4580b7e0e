"""A task as somebody's own package has it: classification whose exported model is its encoder."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from lushan.configurable import configurable
from lushan.models.exported import ExportSpec, TrainedModel
from lushan.tasks.classification import Classification

TEXTS = ("a good day", "so so")


@configurable
class Embedding(Classification):
    """Learn labels; what is used afterwards is the vector of a text."""

    def export_spec(self, trained: TrainedModel) -> ExportSpec:
        def ask(model: Any, tokenizer: Any, text: str) -> Tensor:
            return model(**tokenizer(text, return_tensors="pt")).last_hidden_state[:, 0]

        whole: Any = trained.whole
        ids = [trained.processor(text)["input_ids"] for text in TEXTS]
        return ExportSpec(
            model=trained.plain,
            processor=trained.processor,
            auto_class="AutoModel",
            usage='model = AutoModel.from_pretrained("DIR")',
            notes=["The vector of a text is that of its first token."],
            examples=TEXTS,
            ask=ask,
            expected=[
                whole.encoder(
                    input_ids=torch.tensor([row]), attention_mask=torch.ones(1, len(row)).long()
                )[:, 0]
                for row in ids
            ],
        )
