"""Auto classes of transformers, and backbones of any modality."""

import functools

import pytest
import torch
import transformers
from transformers.models.auto import modeling_auto

from lushan.errors import UserError
from lushan.models import encoders
from lushan.models.architectures import auto, class_of

NAMES = [name for name in modeling_auto.__all__ if name.startswith("AutoModel")]
SMALL = {
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "hidden_size": 16,
    "intermediate_size": 24,
    "image_size": 32,
}


@pytest.mark.parametrize("name", NAMES)
def test_every_auto_class_has_a_model_or_says_that_it_has_none(name: str) -> None:
    known = auto(name)._model_mapping
    for kind in (transformers.BertConfig, transformers.ViTConfig, transformers.T5Config):
        if kind in known:
            assert issubclass(class_of(kind, name), transformers.PreTrainedModel)
        else:
            with pytest.raises(UserError, match=f"no {name} for {kind.__name__}") as caught:
                class_of(kind, name)
            assert "AutoModel" in str(caught.value.hint)


@pytest.mark.parametrize("name", ["AutoConfig", "AutoTokenizer", "NoSuchThing", "causal_lm"])
def test_what_is_no_auto_class_of_models_is_refused(name: str) -> None:
    with pytest.raises(UserError, match="no Auto class with this name"):
        class_of(transformers.BertConfig, name)


@pytest.mark.parametrize(
    ("config", "length", "width"),
    [
        (functools.partial(transformers.ViTConfig, **SMALL, patch_size=8), 17, 16),
        (
            functools.partial(
                transformers.SwinConfig,
                image_size=32,
                patch_size=4,
                embed_dim=8,
                depths=[1, 1],
                num_heads=[1, 2],
                window_size=4,
            ),
            16,
            16,
        ),
        (
            functools.partial(
                transformers.ConvNextConfig, hidden_sizes=[8, 12], depths=[1, 1], num_stages=2
            ),
            16,
            12,
        ),
    ],
    ids=["vit", "swin", "convnext"],
)
def test_an_encoder_of_images_gives_states_of_places(config, length, width) -> None:
    torch.manual_seed(0)
    encoder = encoders.fresh(config).eval()
    assert (encoder.width, encoder.max_length) == (width, None)
    images = torch.randn(2, 3, 32, 32)
    # A batch holds more than a model reads.
    states = encoder(pixel_values=images, labels=torch.tensor([0, 1]), example=torch.tensor([3, 4]))
    assert states.shape == (2, length, width)
    alone = encoder(pixel_values=images[:1])
    assert torch.allclose(alone, states[:1], atol=1e-5)


def test_every_weight_of_a_fresh_encoder_of_images_learns() -> None:
    config = functools.partial(transformers.ViTConfig, **SMALL, patch_size=8)
    encoder = encoders.fresh(config)
    encoder(pixel_values=torch.randn(2, 3, 32, 32)).square().sum().backward()
    for name, weight in encoder.model.named_parameters():
        assert weight.grad is not None, name


def test_an_encoder_of_text_gets_no_more_than_it_takes() -> None:
    config = functools.partial(
        transformers.BertConfig, **{k: v for k, v in SMALL.items() if k != "image_size"}
    )
    encoder = encoders.fresh(config, vocab_size=20, pad_token_id=0).eval()
    batch = {"input_ids": torch.tensor([[1, 2, 3]]), "attention_mask": torch.ones(1, 3).long()}
    more = {"labels": torch.tensor([1]), "positions": torch.tensor([[0]])}
    assert torch.equal(encoder(**batch), encoder(**batch, **more))
