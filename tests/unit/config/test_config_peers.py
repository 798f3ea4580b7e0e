"""What other tools call a setting leads to the right key here, and never to another one."""

import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf
from tests.helpers.configs import refusal

from lushan.config import hints
from lushan.config.check import check
from lushan.config.compose import compose
from lushan.config.flags import flags_of
from lushan.config.override import overridden
from lushan.config.peers import PEERS, peer_of
from lushan.errors import UserError, nearest

ELSEWHERE = {"data.dir": "data=wnut17", "data.train": "data=table", "data.test": "data=table"}
ELSEWHERE |= {"data.validation": "data=table"}
"""Keys that not every option of their group has, or takes a file for."""


def lines_of(peer, value):
    """What a hint says to write, and the choices that it needs."""
    written = peer.overrides(value)
    found = [peer.choose] if peer.choose else []
    found += [ELSEWHERE[key] for line in written if (key := line.partition("=")[0]) in ELSEWHERE]
    return (*found, *written) if written else ()


WRITTEN = sorted(
    {lines_of(peer, value) for peer in PEERS.values() for value in (peer.example, *peer.values)}
)


def in_turns():
    """What is to be composed, as few times as possible: lines that do not exclude one another."""
    turns = []
    for lines in filter(None, WRITTEN):
        keys = dict(line.split("=", 1) for line in lines)
        for turn in turns:
            both = turn.keys() & keys.keys()
            groups = {key for key in turn | keys if "." not in key}
            alone = {"data", "task", "peft", "trainer", "train", "init_from", "optimizer"} & (
                turn.keys() ^ keys.keys()
            )
            if all(turn[key] == keys[key] for key in both) and not alone & groups:
                turn.update(keys)
                break
        else:
            turns.append(keys)
    return [[f"{key}={value}" for key, value in turn.items()] for turn in turns]


@pytest.mark.slow(1)
@pytest.mark.parametrize("lines", in_turns(), ids=lambda lines: f"{len(lines)} lines")
def test_what_hints_say_to_write_composes_and_fits(lines):
    cfg = compose(lines)
    # `data=table` leaves a file open: it is the user's to name.
    missing = [f"{key}=somewhere" for key in OmegaConf.missing_keys(cfg)]
    check(compose([*lines, *missing]))


@pytest.mark.parametrize(
    ("line", "hint"),
    [
        ("data.batch_size=16", "Write data.batch_examples=16. It counts the examples"),
        ("batch_size=16", "Write data.batch_examples=16."),
        ("trainer.epochs=3", "Write trainer.max_epochs=3."),
        ("learning_rate=1e-4", "Write optimizer.lr=1e-4."),
        ("optimizer.learning_rate=0.1", "Write optimizer.lr=0.1."),
        ("model.optim.lr=0.1", "Write optimizer.lr=0.1."),
        ("learing_rate=0.1", "Write optimizer.lr=0.1."),
        ("num_train_epochs=3", "Write trainer.max_epochs=3."),
        ("max_seq_length=128", "Write data.max_length=128."),
        ("model_name_or_path=a/b", "Write model=pretrained model.path=a/b."),
        ("fp16=true", "Write trainer.precision=16-mixed."),
        ("fp16=false", "Write trainer.precision=32-true."),
        ("+bf16=true", "Write trainer.precision=bf16-mixed."),
        ("lora_r=4", "Write peft=lora peft.config.r=4."),
        ("validation_split_percentage=5", "Write data.validation=0.05."),
        ("resume_from_checkpoint=x", "The same command resumes an interrupted run"),
        ("max_epochs=3", "Write trainer.max_epochs=3."),
        ("trainer.head_lr=3", "There is optimizer.head_lr."),
        ("data.num_workers=3", "This setting does not exist: "),
        ("text_column=body", "Write data=table data.text=body."),
    ],
)
def test_a_peers_name_leads_to_ours(line, hint):
    error = refusal(line)
    assert error.hint.startswith(hint)
    assert error.key in line
    assert "found" not in str(error)  # the value is not at fault


def test_a_hint_is_the_same_where_no_signature_was_read_before(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert refusal("max_seq_length=128").hint == "Write data.max_length=128."


def test_a_choice_that_has_been_made_is_kept():
    assert refusal("peft=dora", "lora_r=4").hint == "Write peft.config.r=4."
    assert refusal("data.batch_tokens=512", "batch_size=4").hint.startswith(
        "Write data.batch_examples=4 data.batch_tokens=null."
    )


@pytest.mark.parametrize(
    ("flags", "hint"),
    [
        (["--lr", "3"], "Write optimizer.lr=3."),
        (["--learning-rate=3"], "Write optimizer.lr=3."),
        (["--experiment=sample/ner"], "Write overrides without dashes: experiment=sample/ner."),
        (["--model", "minilm"], "Write overrides without dashes: model=minilm."),
        (["--seed", "3"], "Write overrides without dashes: seed=3."),
        (["--optimizer.lr", "3"], "Write overrides without dashes: optimizer.lr=3."),
        (["--fp16"], "Write trainer.precision=16-mixed."),
        (["--resume"], "The same command resumes an interrupted run"),
        (["--multrun"], "Did you mean --multirun?"),
        (["--config", "x.yaml"], "Select a file below conf/experiment with experiment=NAME"),
        (["--nothing-like-it"], "Run `lushan train --help`"),
        (["experiment=sample/ner", "--epochs=3"], "Write trainer.max_epochs=3."),
    ],
)
def test_a_flag_that_there_is_not_leads_to_the_override(flags, hint):
    with pytest.raises(UserError) as caught:
        flags_of(flags)
    assert caught.value.hint.startswith(hint)


def test_what_can_be_overridden_of_a_trained_run_is_hinted_at_too():
    cfg = check(compose([]))
    with pytest.raises(UserError) as caught:
        overridden(cfg, ["data.max_seq_length=9"], groups=["data"])
    assert caught.value.hint == "Write data.max_length=9."
    with pytest.raises(UserError) as caught:
        overridden(cfg, ["max_seq_length=9"], groups=["data"])
    assert caught.value.hint == "Write data.max_length=9."


KEYS = ["data.batch_tokens", "data.batch_examples", "trainer.min_epochs", "trainer.max_epochs"]


@pytest.mark.parametrize(
    ("word", "known", "found"),
    [
        ("data.batch_size", KEYS, None),
        ("trainer.epochs", KEYS, None),
        ("trainer.max_epoch", KEYS, "trainer.max_epochs"),
        ("trianer.max_epochs", KEYS, "trainer.max_epochs"),
        ("max_epochs", KEYS, None),
        ("k", ["r"], None),
        ("l", ["lr"], "lr"),
        ("tset", ["test", "train"], "test"),
        ("text", ["test", "train"], "test"),
        ("dev", ["test", "val"], None),
        ("resume", ["resolve"], None),
        ("", ["a"], None),
        ("a", [], None),
    ],
)
def test_only_slips_of_the_hand_are_taken_for_one_another(word, known, found):
    assert nearest(word, known) == found


WORDS = st.text(string.ascii_lowercase + "_", min_size=5, max_size=20)


@settings(max_examples=50, deadline=None)
@given(WORDS, st.data())
def test_one_slip_is_always_seen_and_other_words_never(word, data):
    place = data.draw(st.integers(0, len(word) - 1))
    letter = data.draw(st.sampled_from(string.ascii_lowercase))
    for other in (word[:place] + word[place + 1 :], word[:place] + letter + word[place:]):
        assert nearest(other, [word]) == word
    assert nearest(word.upper(), [word]) is None or set(word) == {"_"} or word.count("_") > 2


@pytest.mark.parametrize("name", PEERS)
def test_a_hint_names_nothing_that_there_is_not(name):
    """Without the keys nothing is said to be written."""
    assert "Write" not in (hints.hint_for(name, "1", keys=["name_of_nothing"]) or "")
    assert peer_of(f"some.where.{name.replace('_', '-')}") is PEERS[name]
