"""What every way of adapting a model owes, for every kind of model."""

import peft
import pytest
import torch
import transformers
from peft.optimizers import create_loraplus_optimizer
from tests.helpers import adapters
from tests.helpers.adapters import BEFORE, MERGED, PAIRS

from lushan import optim
from lushan.errors import UserError
from lushan.models.peft import bottleneck
from lushan.models.peft.adaptation import BASE, adaptation_of
from lushan.models.peft.methods import adapt
from lushan.models.peft.quantized import FourBit
from lushan.models.peft.tuned import Tuned

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")


@pytest.mark.parametrize(("method", "model"), PAIRS)
def test_the_adapter_learns_and_the_base_does_not(method, model):
    encoder = adapters.adapted(method, model)
    before = adapters.base_of(encoder)
    learned = {n: p for n, p in encoder.named_parameters() if p.requires_grad}
    assert learned
    old = {name: weight.detach().clone() for name, weight in learned.items()}
    optimizer = torch.optim.AdamW(learned.values(), lr=0.01)
    losses = []
    for _ in range(4):
        loss = adapters.loss(encoder, model)
        loss.backward()
        assert all(weight.grad is not None for weight in learned.values())
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    assert not [name for name, weight in learned.items() if torch.equal(weight, old[name])]
    after = adapters.base_of(encoder)
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)


@pytest.mark.parametrize(("method", "model"), PAIRS)
def test_it_begins_as_its_base(method, model):
    given = adapters.inputs(model)
    base = adapters.outputs(adapters.fresh(model), given)
    begun = adapters.outputs(adapters.adapted(method, model), given)
    assert begun.shape == base.shape
    # T5's attention has another kernel once its position bias needs no gradient.
    assert torch.allclose(begun, base, atol=1e-5) == (method not in BEFORE)


@pytest.mark.parametrize(("method", "model"), PAIRS)
def test_its_state_is_the_adapter_alone_and_comes_back(method, model):
    encoder = adapters.shaken(adapters.adapted(method, model))
    given = adapters.inputs(model)
    state = encoder.state_dict()
    learned = {n for n, p in encoder.named_parameters() if p.requires_grad}
    assert learned < set(state)
    assert set(state) - learned <= {BASE, *(n for n in state if ".ranknum." in n)}
    again = adapters.adapted(method, model)
    again.load_state_dict(state)
    wanted = adapters.outputs(encoder, given)
    assert torch.equal(adapters.outputs(again, given), wanted)
    # A copy is one in full: its adapter is its own.
    other = adapters.copied(encoder)
    with torch.no_grad():
        for name in learned:
            encoder.get_parameter(name).zero_()
    assert torch.equal(adapters.outputs(other, given), wanted)


@pytest.mark.parametrize("method", ["lora", "bottleneck", "prefix"])
def test_another_base_is_refused(method):
    state = adapters.adapted(method, "bert").state_dict()
    other = adapters.adapted(method, "bert", seed=5)
    with pytest.raises(UserError, match=r"another base model.*SHA-256"):
        other.load_state_dict(state)


def test_an_adapter_of_another_kind_is_not_taken_for_this_one():
    state = adapters.adapted("ia3", "bert").state_dict()
    with pytest.raises(RuntimeError, match="Missing key"):
        adapters.adapted("lora", "bert").load_state_dict(state)
    with pytest.raises(RuntimeError, match="Missing key"):
        adapters.adapted("lora", "bert").load_state_dict(adapters.fresh("bert").state_dict())


@pytest.mark.parametrize(("method", "model"), PAIRS)
def test_merging(method, model):
    encoder = adapters.shaken(adapters.adapted(method, model))
    adaptation = adaptation_of(encoder)
    if method not in MERGED:
        with pytest.raises(UserError, match="cannot be merged"):
            adaptation.merged()
        return
    given, plain = adapters.inputs(model), adapters.fresh(model)
    wanted, state = adapters.outputs(encoder, given), encoder.state_dict()
    merged = adaptation.merged()
    assert type(merged) is type(plain.model)
    assert merged.state_dict().keys() == plain.model.state_dict().keys()
    plain.model.load_state_dict(merged.state_dict())
    assert torch.allclose(adapters.outputs(plain, given), wanted, atol=1e-5)
    # What was merged continues learning as it was.
    assert torch.equal(adapters.outputs(encoder, given), wanted)
    assert encoder.state_dict().keys() == state.keys()


@pytest.mark.parametrize(("method", "model"), PAIRS)
def test_what_is_saved_is_read_by_peft(method, model, tmp_path):
    encoder = adapters.shaken(adapters.adapted(method, model))
    adaptation_of(encoder).save(tmp_path)
    files = {path.name for path in tmp_path.iterdir()}
    assert files == {"adapter_config.json", "adapter_model.safetensors"}
    base, given = adapters.fresh(model), adapters.inputs(model)
    if method == "bottleneck":
        bottleneck.load(base.model, tmp_path)
        found = adapters.outputs(base, given)
    else:
        loaded = peft.PeftModel.from_pretrained(base.model, str(tmp_path)).eval()
        found = loaded(**given)
        found = found.last_hidden_state if model == "bert" else found.logits
        if method == "prompt" and model != "t5":
            found = found[:, 4:]
        found = found * given["attention_mask"][:, :, None]
    assert torch.allclose(found, adapters.outputs(encoder, given), atol=1e-6)


@pytest.mark.parametrize(("method", "model"), [("lora", "gpt2"), ("prompt", "t5")])
def test_layers_may_be_computed_again(method, model):
    one = adapters.shaken(adapters.adapted(method, model)).train()
    other = adapters.shaken(adapters.adapted(method, model, gradient_checkpointing=True)).train()
    for encoder in (one, other):
        for module in encoder.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
            if hasattr(module, "dropout") and isinstance(module.dropout, float):
                module.dropout = 0.0
        adapters.loss(encoder, model).backward()
    grads = [{n: p.grad for n, p in e.named_parameters() if p.requires_grad} for e in (one, other)]
    assert all(torch.allclose(g, grads[1][n], atol=1e-5) for n, g in grads[0].items())


def rates(encoder, **options):
    """Trained weight to (learning rate, decay)."""
    model = torch.nn.ModuleDict({"encoder": encoder})
    optimizer = optim.grouped(torch.optim.AdamW, 1.0, 0.1, model=model, **options)
    names = {id(p): n.removeprefix("encoder.") for n, p in model.named_parameters()}
    return {
        names[id(p)]: (group["lr"], group["weight_decay"])
        for group in optimizer.param_groups
        for p in group["params"]
    }


@pytest.mark.parametrize("method", ["lora", "adalora", "ia3", "bottleneck", "prefix", "prompt"])
def test_an_optimizer_gets_the_adapter_with_the_depth_of_its_layer(method):
    encoder = adapters.adapted(method, "bert")
    found = rates(encoder, layer_decay=0.5)
    assert set(found) == {n for n, p in encoder.named_parameters() if p.requires_grad}
    # A prompt is an embedding; a prefix is of all layers at once.
    depth = {"layer.0.": 0.5, "layer.1.": 1.0, "prompt.": 0.25, "prefix.": 1.0}
    for name, (rate, _) in found.items():
        assert rate == next(value for part, value in depth.items() if part in name)


def test_factors_that_begin_as_one_do_not_decay():
    assert {decay for _, decay in rates(adapters.adapted("ia3", "bert")).values()} == {0.0}
    assert {decay for _, decay in rates(adapters.adapted("lora", "bert")).values()} == {0.1}


@pytest.mark.parametrize("method", ["lora", "dora"])
def test_lora_plus_has_the_rates_of_peft(method):
    encoder = adapters.adapted(method, "bert")
    theirs = create_loraplus_optimizer(
        encoder, torch.optim.AdamW, lr=1.0, loraplus_lr_ratio=16.0, loraplus_weight_decay=0.1
    )
    names = {id(p): n for n, p in encoder.named_parameters()}
    expected = {
        names[id(p)]: (group["lr"], group["weight_decay"])
        for group in theirs.param_groups
        for p in group["params"]
    }
    found = rates(encoder, lora_ratio=16.0)
    assert {n: rate for n, (rate, _) in found.items()} == {n: r for n, (r, _) in expected.items()}
    # Vectors do not decay here, DoRA's magnitudes neither.
    assert {n for n, (_, d) in found.items() if d} == {n for n in expected if "magnitude" not in n}
    assert {rate for rate, _ in expected.values()} == {1.0, 16.0}


def test_lora_plus_wants_lora():
    with pytest.raises(UserError, match=r"optimizer\.lora_ratio.*no LoRA matrices"):
        rates(adapters.adapted("ia3", "bert"), lora_ratio=16.0)


def refusal(config, model="bert", **options):
    encoder = adapters.fresh(model, **options)
    with pytest.raises(UserError) as caught:
        adapt(config, encoder=encoder, auto_class=adapters.auto_class(model))
    return caught.value


def test_the_output_projection_stays_as_it_is():
    for model, target in (("gpt2", "lm_head"), ("gpt2", "wte"), ("llama", "lm_head")):
        error = refusal(peft.LoraConfig(target_modules=[target]), model)
        assert "output projection" in error.problem
    error = refusal(peft.LoraConfig(modules_to_save=["lm_head"]), "llama")
    assert "output projection" in error.problem
    # Without weights in common, the embeddings may be adapted.
    encoder = adapters.fresh("llama")
    adapt(
        peft.LoraConfig(target_modules=["embed_tokens"]),
        encoder=encoder,
        auto_class="AutoModelForCausalLM",
    )


def test_a_module_that_is_not_there():
    error = refusal(peft.LoraConfig(target_modules=["q_proj"]))
    assert error.key == "peft.config"
    assert "query" in error.hint
    assert "q_proj" in refusal(adapters.Bottleneck(target_modules=["q_proj"])).args[0]


def test_a_start_that_changes_the_base():
    error = refusal(peft.LoraConfig(init_lora_weights="pissa"))
    assert error.key == "peft.config.init_lora_weights"


def test_a_family_that_is_not_known():
    encoder = adapters.fresh("bert")
    encoder.config.model_type = "new"
    adapt(peft.LoraConfig(), encoder=encoder)
    assert encoder.adaptation.changed == 12  # all linear modules
    for config in (peft.IA3Config(), adapters.Bottleneck()):
        encoder = adapters.fresh("bert")
        encoder.config.model_type = "new"
        with pytest.raises(UserError) as caught:
            adapt(config, encoder=encoder)
        assert caught.value.key == "peft.config.target_modules"


def test_a_mixture_of_experts_gets_adapters_in_its_attention():
    config = transformers.MixtralConfig(
        **adapters.SMALL, num_key_value_heads=1, num_local_experts=2, vocab_size=60
    )
    model = transformers.AutoModelForCausalLM.from_config(config)
    assert str(Tuned(model, peft.LoraConfig())) == "lora on 4 modules"


def test_biases_that_learn_are_saved_too():
    encoder = adapters.fresh("bert")
    adapt(peft.LoraConfig(bias="all"), encoder=encoder)
    names = {n for n, p in encoder.named_parameters() if p.requires_grad}
    assert any(name.endswith("output.dense.bias") for name in names)
    assert names < set(encoder.state_dict())


def test_other_methods_of_peft_work_as_they_are():
    encoder = adapters.fresh("llama")
    adapt(peft.LoHaConfig(), encoder=encoder, auto_class="AutoModelForCausalLM")
    given = adapters.inputs("llama")
    wanted = adapters.outputs(adapters.shaken(encoder), given)
    plain = adapters.fresh("llama")
    plain.model.load_state_dict(encoder.adaptation.merged().state_dict())
    assert torch.allclose(adapters.outputs(plain, given), wanted, atol=1e-4)


def test_methods_of_peft_that_are_not_for_us():
    assert (
        "prompt tuning and prefix"
        in refusal(peft.PromptEncoderConfig(num_virtual_tokens=2)).problem
    )
    error = refusal(peft.AdaLoraConfig(total_step=10))
    assert "lushan.models.peft.adalora.AdaLora" in error.hint


def test_what_it_is_called():
    names = {m: str(adapters.adapted(m, "bert").adaptation) for m in adapters.METHODS}
    assert names["lora"] == "lora on 4 modules"
    assert names["dora"] == "dora on 12 modules"
    assert names["bottleneck"] == "bottleneck on 4 modules"
    assert names["prefix"] == names["projected"] == "prefix"
    assert adaptation_of(adapters.fresh("bert")) is None


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a card")
def test_four_bits_need_a_card():
    encoder = adapters.fresh("llama")
    with pytest.raises(UserError, match="CUDA GPU"):
        adapt(peft.LoraConfig(), FourBit(), encoder=encoder, auto_class="AutoModelForCausalLM")
