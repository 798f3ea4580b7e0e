"""The exported form of two towers whose vectors are compared."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from lushan.data.processing import require_image_processor
from lushan.models.exported import TEXTS, ExportSpec, TrainedModel
from lushan.tasks.exporting import tokenizer_for
from lushan.text.document_tokens import borders, tokens_of
from lushan.vision import images
from lushan.vision.processors import pixels_of

_USAGE = """\
from PIL import Image
processor, model = AutoProcessor.from_pretrained("DIR"), AutoModel.from_pretrained("DIR")
read = processor(text=["a red circle", "a blue one"], images=Image.open("image.png"),
                 padding=True, return_tensors="pt")
print(model(**read).logits_per_image.softmax(-1))"""


def spec(trained: TrainedModel) -> ExportSpec:
    """Describe a CLIP, asked for the vectors of texts and of an image."""
    from transformers import CLIPProcessor

    processor = require_image_processor(trained.processor)
    tokenizer = tokenizer_for(trained, trained.max_length)
    picture = images.noise(1)
    whole: Any = trained.whole.encoder
    begin, end = borders(tokenizer)
    most = trained.max_length
    expected: list[Tensor] = []
    for ids in tokens_of(tokenizer, list(TEXTS)):
        tokens = torch.tensor([[begin, *ids.tolist()[: most - 2], end]])
        expected.append(F.normalize(whole.of_texts(tokens, torch.ones_like(tokens)), dim=-1))
    seen = torch.from_numpy(pixels_of(processor, [picture]))
    expected.append(F.normalize(whole.of_images(seen), dim=-1))

    def ask(model: Any, read: Any, example: Any) -> Tensor:
        if isinstance(example, str):
            given = read(text=example, truncation=True, max_length=most, return_tensors="pt")
            found = model.get_text_features(**given)
        else:
            found = model.get_image_features(**read(images=example, return_tensors="pt"))
        return F.normalize(found.pooler_output, dim=-1)

    return ExportSpec(
        model=trained.plain,
        processor=CLIPProcessor(image_processor=processor, tokenizer=tokenizer),
        auto_class="AutoModel",
        usage=_USAGE,
        examples=[*TEXTS, picture],
        ask=ask,
        expected=expected,
        pipeline="zero-shot-image-classification",
        notes=[f"Texts are truncated to {most} tokens."],
    )
