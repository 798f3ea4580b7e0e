"""What must not travel with a run."""

import json
import re
import time
from urllib.parse import quote

import pytest
from omegaconf import OmegaConf

from lushan.run import redaction

TOKENS = [
    "hf_" + "aB3d" * 8,
    "sk-" + "aB3d" * 8,
    "ghp_" + "aB3d" * 9,
    "glpat-" + "aB3d" * 5,
    "xoxb-" + "1234567890-abc",
    "AKIA" + "ABCD1234" * 2,
    "eyJ" + "a" * 12 + ".eyJ" + "b" * 12 + ".sig",
]


@pytest.mark.parametrize("token", TOKENS)
def test_a_key_is_known_by_its_shape_wherever_it_stands(token):
    text = f"ValueError: cannot log in with '{token}' at x"
    assert token not in redaction.redact(text, frozenset())
    assert "cannot log in" in redaction.redact(text, frozenset())


def test_the_password_of_a_url():
    text = redaction.redact("https://me:pass.word@example.org/x", frozenset())
    assert text == "https://***@example.org/x"


@pytest.mark.parametrize(
    "name", ["WANDB_API_KEY", "hub.token", "password", "AWS_SECRET_ACCESS_KEY", "+db.passwd"]
)
def test_names_of_secrets(name):
    assert redaction.is_secret_name(name)


@pytest.mark.parametrize(
    "name", ["pad_token", "tokenizer.unk_token", "token_column", "data.batch_tokens", "seed", "key"]
)
def test_names_that_only_look_like_it(name):
    assert not redaction.is_secret_name(name)


def test_arguments_in_all_their_forms():
    found = redaction.redact_arguments(
        ["hub.token=swordfish9", "--password", "swordfish8", "--api-key=swordfish7", "seed=1"]
    )
    assert found == ["hub.token=***", "--password", "***", "--api-key=***", "seed=1"]


def test_a_value_that_was_named_once_is_found_everywhere():
    known = redaction.secret_values({"hub": {"token": "swordfish"}}, ["x.password=tuna-fish"], {})
    assert known == {"swordfish", "tuna-fish"}
    assert redaction.redact("open(swordfish, tuna-fish)", known) == "open(***, ***)"


def test_the_environment_is_searched(monkeypatch):
    monkeypatch.setenv("MY_SERVICE_TOKEN", "correct-horse-battery")
    assert "horse" not in redaction.redact("failed: correct-horse-battery")


def test_what_is_plainly_no_secret_stays():
    assert redaction.secret_values({"token": None, "password": "null"}, ["token=true"], {}) == set()
    code = "-    token = words[i]\n+    token = words[i + 1]"
    assert redaction.redact(code, frozenset()) == code


def test_configs_keep_their_form():
    config = {"hub": {"token": "swordfish"}, "list": ["swordfish", 1, None], "pad_token": "[PAD]"}
    assert redaction.redact_config(config) == {
        "hub": {"token": "***"},
        "list": ["***", 1, None],
        "pad_token": "[PAD]",
    }
    assert config["hub"]["token"] == "swordfish"


@pytest.mark.fault(63)
@pytest.mark.parametrize(
    "unit",
    [
        *("-", "a.", "-eyJ", "eyJaaaaaaaa.", "eyJa.eyJa.", "token-", 'token="', "_token", "a="),
        *("a   ", "a'", ":", "://a:", "-hf_aaaa", "-sk-", "bearer "),
        *("-----BEGIN ", "-----BEGIN PRIVATE KEY-----"),
    ],
)
def test_the_time_grows_with_the_text_alone(unit):
    def seconds(size):
        text = unit * (size // len(unit))
        begun = time.process_time()
        redaction.redact(text, frozenset())
        redaction.is_secret_name(text)
        return time.process_time() - begun

    seconds(1000)
    small = min(seconds(20_000) for _ in range(3))
    # Eight times the text: 64 times the time if each place were inspected from each other.
    assert seconds(160_000) < 24 * small


@pytest.mark.parametrize("name", ["OPENAI_KEY", "SMTP_PASS", "GITHUB_PAT", "SESSION_COOKIE"])
def test_short_words_say_as_much_of_a_variable(monkeypatch, name):
    monkeypatch.setenv(name, "correct-horse-battery")
    assert "horse" not in redaction.redact("failed: correct-horse-battery")


@pytest.fixture
def forgotten(monkeypatch):
    """No variable has been interpolated yet."""
    monkeypatch.setattr(redaction, "_interpolated", {})


@pytest.mark.usefixtures("forgotten")
def test_what_a_config_interpolates_is_a_secret_whatever_its_name(monkeypatch):
    redaction.remember_interpolated("DATASET", "swordfish")
    redaction.remember_interpolated("SCRATCH_DIR", "/scratch/me")
    redaction.remember_interpolated("MODE", "fast")
    assert redaction.redact("swordfish in /scratch/me, fast, fastest") == (
        "*** in /scratch/me, ***, fastest"
    )
    monkeypatch.setenv("LUSHAN_PUBLIC", "OTHER,DATASET MODE")
    assert redaction.redact("swordfish, fast") == "swordfish, fast"


@pytest.mark.fault(63)
@pytest.mark.parametrize(
    "secret", ["swordfish\nof the sea", 'sword"fish', "sword\tfish é", "a/b+c d=="]
)
def test_a_secret_is_known_in_other_forms(monkeypatch, secret):
    monkeypatch.setenv("MY_PASSWORD", secret)
    url = f"https://host/?q={quote(secret, safe='')}"
    for text in (f"found {secret!r}", json.dumps({"a": secret}), url, f"a\n{secret}"):
        hidden = redaction.redact(text)
        assert redaction.HIDDEN in hidden
        assert not set(re.findall(r"sword\w*|fish\w*|a%2Fb\w*", hidden))


@pytest.mark.fault(63)
@pytest.mark.parametrize("value", ["1234567890", "[swordfish, {a: catfish99}]"])
def test_what_is_decoded_of_a_variable_is_a_secret(monkeypatch, value):
    monkeypatch.setattr(redaction, "_interpolated", {})
    monkeypatch.setenv("MODE", value)
    node = OmegaConf.create({"a": "${oc.decode:${oc.env:MODE}}", "b": 12, "c": True})
    redaction.remember_interpolated("MODE", value)
    hidden = redaction.redact_config(OmegaConf.to_container(node, resolve=True))
    found = json.dumps(hidden)
    assert not any(part in found for part in ("1234567890", "swordfish", "catfish99"))
    assert (hidden["b"], hidden["c"]) == (12, True)
