"""Each mistake in a request names the field, shows what was found, and says what to write."""

import copy
import re

import httpx
import pytest
from tests.helpers.served import serving

from lushan.serve.limits import Bounds

PYDANTICS = re.compile(r"\b(should (be|have|match)|Field required|not permitted|Input|valid \w+)\b")
BAD = [True, -5, 1.5, 10**30, "hot", "x" * 3000, "", [], [7], [["a"]], {}, {"q": 1}, None]
ROW = {"text": "a fine film"}
BODIES = {
    "/v1/completions": {"model": "lm", "prompt": ["the"], "stop": ["."], "max_tokens": 1},
    "/v1/chat/completions": {
        "model": "talk",
        "messages": [{"role": "user", "content": [{"type": "text", "text": "hi"}]}],
        "stream_options": {"include_usage": True},
        "stream": True,
        "max_tokens": 1,
    },
    "/predict": {"model": "mood", "inputs": [ROW]},
    "/v1/embeddings": {"model": "e", "input": ["a"]},
    "/v1/rerank": {"model": "e", "query": "a", "documents": ["b"]},
}


@pytest.fixture(scope="module")
def http(lm_run, chat_run, reviews_run, ner_run, embedding_run):
    runs = {"lm": lm_run, "talk": chat_run, "mood": reviews_run, "tags": ner_run}
    with (
        serving({**runs, "e": embedding_run}, Bounds(new_tokens=8)) as running,
        httpx.Client(base_url=running.url, timeout=60) as client,
    ):
        yield client


def places(value, before=()):
    """The places of all that a body holds, itself first."""
    yield before
    pairs = value.items() if isinstance(value, dict) else ()
    for key, inner in [*pairs, *(enumerate(value) if isinstance(value, list) else ())]:
        yield from places(inner, (*before, key))


def changed(body, place, value):
    if not place:
        return value
    made = copy.deepcopy(body)
    holder = made
    for part in place[:-1]:
        holder = holder[part]
    holder[place[-1]] = value
    return made


def fields_of(document, path):
    """The names of a request's fields, of all forms that it may have."""
    schemas = document["components"]["schemas"]
    content = document["paths"][path]["post"]["requestBody"]["content"]["application/json"]
    schema = content["schema"]
    found = [one["$ref"].rpartition("/")[2] for one in schema.get("oneOf", [schema])]
    return sorted({name for one in found for name in schemas[one]["properties"]})


@pytest.mark.slow
@pytest.mark.parametrize("path", BODIES)
def test_no_answer_is_in_the_words_of_a_library(http, path):
    body = BODIES[path]
    assert http.post(path, json=body).status_code == 200
    fields = fields_of(http.get("/openapi.json").json(), path)
    assert set(body) <= set(fields)
    where = [*places(body), *((name,) for name in fields if name not in body)]
    explained = 0
    for place in where:
        for value in BAD:
            answered = http.post(path, json=changed(body, place, value))
            if answered.status_code == 200:
                continue
            assert answered.status_code in (400, 404), (place, value, answered.text)
            found = answered.json()["error"]
            assert not PYDANTICS.search(found["message"]), (place, value, found)
            assert len(found["message"]) < 500
            if "must be" in found["message"]:
                assert "found " in found["message"]
                explained += 1
    assert explained > len(where)


@pytest.mark.parametrize(
    ("path", "change", "param", "message"),
    [
        (
            "/v1/completions",
            {"temperature": "hot"},
            "temperature",
            "it must be a number from 0 to 100; found 'hot'",
        ),
        (
            "/v1/completions",
            {"n": 0},
            "n",
            "it must be a whole number, 1 or more; found 0",
        ),
        (
            "/v1/completions",
            {"temprature": 1},
            "temprature",
            "unknown field. Did you mean 'temperature'?",
        ),
        (
            "/v1/chat/completions",
            {"messages": [{"role": "boss", "content": "hi"}]},
            "messages[0].role",
            'it must be "system" or "developer" or "user" or "assistant" or "tool"; found \'boss\'',
        ),
        (
            "/v1/chat/completions",
            {"messages": [{"role": "user"}]},
            "messages[0].content",
            "this field is missing: write a text or a list, each of them an object with type, text "
            "or an object with type, image_url",
        ),
        (
            "/v1/completions",
            {"stop": ["a", "b" * 1001]},
            "stop[1]",
            "it must be a text of at most 1,000 characters; found 'bbb",
        ),
        (
            "/v1/completions",
            {"stop": ["a"] * 17},
            "stop",
            "a list of at most 16 entries, each of them a text of at most 1,000 characters; "
            "found a list of 17 entries",
        ),
        (
            "/predict",
            {"inputs": [{"txt": "a"}]},
            "inputs[0].txt",
            "unknown field. Did you mean 'text'?",
        ),
        (
            "/v1/chat/completions",
            {"messages": [{"role": "user", "content": [{"type": "text", "txt": "a"}]}]},
            "messages[0].content[0].txt",
            "unknown field. Did you mean 'text'?",
        ),
        (
            "/v1/chat/completions",
            {"response_format": {"type": "json"}},
            "response_format.type",
            "it must be \"text\"; found 'json'",
        ),
        ("/predict", {"model": "mod"}, "model", "unknown model. Did you mean 'mood'?"),
        ("/predict", {"inputs": "a"}, "inputs", "found 'a'"),
    ],
)
def test_a_mistake_says_what_to_write(http, path, change, param, message):
    answered = http.post(path, json={**BODIES[path], **change})
    assert answered.status_code == 400
    found = answered.json()["error"]
    assert found["param"] == param
    assert message in found["message"]


@pytest.mark.parametrize("path", BODIES)
def test_a_body_that_is_no_object_is_named(http, path):
    for body, shown in ([1], "a list of 1 entry"), ("x", "'x'"), (3, "3"), (None, "null"):
        found = http.post(path, json=body).json()["error"]
        assert (
            "the body must be an object with" in found["message"] or "missing" in found["message"]
        )
        assert shown in found["message"] or "missing" in found["message"]
        assert found["param"] is None
