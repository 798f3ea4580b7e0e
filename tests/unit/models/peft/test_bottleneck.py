"""Bottleneck adapters: the network itself, where it goes, and the norms beside it."""

import json

import pytest
import torch
from tests.helpers import adapters

from lushan.errors import UserError
from lushan.models.peft.bottleneck import Adapter, Bottleneck, load, targets
from lushan.models.peft.methods import adapt


def test_the_network_is_the_papers():
    torch.manual_seed(0)
    adapter = Adapter(6, Bottleneck(size=3, activation="relu", scale=0.5))
    output = torch.randn(2, 5, 6)
    assert torch.equal(adapter(output), output)
    torch.nn.init.normal_(adapter.up.weight)
    torch.nn.init.normal_(adapter.up.bias)
    down = output @ adapter.down.weight.T + adapter.down.bias
    up = down.clamp(min=0) @ adapter.up.weight.T + adapter.up.bias
    assert torch.allclose(adapter(output), output + 0.5 * up, atol=1e-6)
    assert sum(p.numel() for p in adapter.parameters()) == 2 * 3 * 6 + 3 + 6


@pytest.mark.parametrize(
    ("model", "ends"),
    [
        ("bert", {"attention.output.dense", "output.dense"}),
        ("gpt2", {"attn.c_proj", "mlp.c_proj"}),
        ("llama", {"self_attn.o_proj", "mlp.down_proj"}),
        ("t5", {"SelfAttention.o", "EncDecAttention.o", "DenseReluDense.wo"}),
    ],
)
def test_one_stands_behind_each_sub_layer(model, ends):
    encoder = adapters.fresh(model)
    names = [name for name, _ in targets(encoder.model, None)]
    assert all(any(name.endswith(end) for end in ends) for name in names)
    assert all(any(name.endswith(end) for name in names) for end in ends)
    assert len(names) == (5 if model == "t5" else 4)


def test_names_may_be_a_regular_expression():
    encoder = adapters.fresh("bert")
    config = Bottleneck(target_modules=r"encoder\.layer\.1\..*\.query")
    adapt(config, encoder=encoder)
    assert encoder.adaptation.changed == 1


def test_norms_may_learn_too():
    encoder = adapters.fresh("bert")
    adapt(Bottleneck(norms=True), encoder=encoder)
    learned = {n for n, p in encoder.named_parameters() if p.requires_grad}
    norms = {n for n in learned if "LayerNorm" in n}
    assert len(norms) == 10  # of the embeddings, and two a layer, each weight and bias
    assert norms < set(encoder.state_dict())
    assert learned - norms == {n for n in learned if "bottleneck" in n}


def test_dropout_is_on_while_training():
    adapter = Adapter(6, Bottleneck(size=3, dropout=0.5))
    torch.nn.init.normal_(adapter.up.weight)
    output = torch.randn(2, 6)
    assert torch.equal(adapter.eval()(output), adapter(output))
    torch.manual_seed(0)
    assert not torch.equal(adapter.train()(output), adapter(output))


@pytest.mark.parametrize(("options", "key"), [({"size": 0}, "size"), ({"dropout": 1.0}, "dropout")])
def test_settings_that_cannot_be(options, key):
    with pytest.raises(UserError) as caught:
        Bottleneck(**options)
    assert caught.value.key == f"peft.config.{key}"


def test_what_is_saved_may_name_its_base(tmp_path):
    encoder = adapters.shaken(adapters.adapted("bottleneck", "bert"))
    encoder.adaptation.save(tmp_path)
    config = tmp_path / "adapter_config.json"
    settings = json.loads(config.read_text()) | {"base_model_name_or_path": "somewhere"}
    config.write_text(json.dumps(settings))
    base, given = adapters.fresh("bert"), adapters.inputs("bert")
    load(base.model, tmp_path)
    assert torch.equal(adapters.outputs(base, given), adapters.outputs(encoder, given))
