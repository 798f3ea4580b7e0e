"""Predictions and vectors over HTTP: those of `lushan predict` and of the embedder."""

from __future__ import annotations

import concurrent.futures
import json

import httpx
import numpy as np
import pytest
from tests.conftest import trained
from tests.helpers.served import IMAGES, data_url, png, serving
from tests.helpers.waiting import until

from lushan.inference.prediction import predict
from lushan.retrieval.embedder import embedder_of
from lushan.retrieval.reranking import reranking
from lushan.serve.heads import Heads
from lushan.serve.limits import Bounds


@pytest.fixture(scope="module")
def image_run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    return trained(folder, "task=image_classification", "data.limit=16", small=IMAGES)


@pytest.fixture(scope="module")
def reranker_run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ranking")
    rows = [{"query": f"what is {w}", "passage": f"{w} is it", "negatives": ["no"]} for w in "abcd"]
    path = folder / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    files = [f"data.train={path}", f"data.validation={path}", f"data.test={path}"]
    return trained(folder, "task=reranker", "data=jsonl", *files)


@pytest.fixture(scope="module")
def server(ner_run, reviews_run, image_run, embedding_run, reranker_run):
    runs = {"names": ner_run, "mood": reviews_run, "shapes": image_run, "near": embedding_run}
    runs |= {"rank": reranker_run}
    with serving(runs) as running:
        yield running


@pytest.fixture(scope="module")
def http(server):
    with httpx.Client(base_url=server.url, timeout=60) as client:
        yield client


def predictions(run, tmp_path, rows):
    path, out = tmp_path / "rows.jsonl", tmp_path / "out.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    predict(run, input=path, output=out)
    found = [json.loads(line) for line in out.read_text("utf-8").splitlines()]
    return [{k: v for k, v in row.items() if k != "id"} for row in found]


def asked(http, model, rows):
    response = http.post("/predict", json={"model": model, "inputs": rows})
    assert response.status_code == 200, response.text
    found = response.json()
    return [{k: v for k, v in row.items() if k != "id"} for row in found["predictions"]]


def close(one, other):
    """Whether two predictions are equal up to the last digits of their numbers."""
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(close(one[k], other[k]) for k in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(close, one, other))
    return one == pytest.approx(other, abs=1e-5) if isinstance(one, float) else one == other


TEXTS = ["Anna lives in Paris .", "李白在庐山", "Bob works for Acme in Berlin and likes it"]


@pytest.mark.slow
def test_entities_are_those_of_predict(http, ner_run, tmp_path):
    rows = [{"text": text} for text in TEXTS]
    assert close(asked(http, "names", rows), predictions(ner_run, tmp_path, rows))
    words = [{"tokens": text.split()} for text in TEXTS]
    assert close(asked(http, "names", words), predictions(ner_run, tmp_path, words))


def test_labels_are_those_of_predict(http, reviews_run, tmp_path):
    found = asked(http, "mood", [{"text": text} for text in TEXTS])
    assert close(found, predictions(reviews_run, tmp_path, [{"sentence": t} for t in TEXTS]))
    assert all(sum(row["probabilities"].values()) == pytest.approx(1) for row in found)


def test_an_image_is_sent_and_classified(http, image_run, tmp_path):
    rows = []
    for color in ("red", "blue"):
        (tmp_path / f"{color}.png").write_bytes(png(color))
        rows.append({"image": f"{color}.png"})
    expected = predictions(image_run, tmp_path, rows)
    found = asked(http, "shapes", [{"image": data_url(png(c))} for c in ("red", "blue")])
    for row, other in zip(found, expected, strict=True):
        assert close({**row, "image": 0}, {**other, "image": 0})


@pytest.mark.parametrize(
    "image",
    ["/etc/passwd", "http://localhost/x.png", "data:image/png;base64,!", data_url(b"no image")],
)
def test_an_image_is_never_a_name(http, image):
    inputs = [{"image": data_url(png("red"))}, {"image": image}]
    response = http.post("/predict", json={"model": "shapes", "inputs": inputs})
    assert response.status_code == 400
    assert response.json()["error"]["param"].startswith("inputs[1].image")


def test_requests_at_one_time_share_a_batch_and_do_not_disturb_each_other(
    server, http, ner_run, tmp_path, monkeypatch
):
    sizes = []
    whole = Heads._predicted

    def counted(self, several):
        sizes.append(len(several))
        return whole(self, several)

    heads = server.served[0].heads
    monkeypatch.setattr(heads.worker, "run", lambda several: counted(heads, several))
    rows = [{"text": f"{text} {i}"} for i, text in enumerate(TEXTS * 4)]
    expected = predictions(ner_run, tmp_path, rows)
    with concurrent.futures.ThreadPoolExecutor(len(rows)) as pool:
        found = list(pool.map(lambda row: asked(http, "names", [row])[0], rows))
    assert close(found, expected)
    assert sum(sizes) == len(rows)


WRONG = [
    ({"model": "names", "inputs": []}, "inputs"),
    ({"model": "names", "inputs": [{}]}, "inputs[0]"),
    ({"model": "names", "inputs": [{"text": 1}]}, "inputs[0].text"),
    ({"model": "names", "inputs": [{"text": "a"}, {"tokens": ["b"]}]}, "inputs[1]"),
    ({"model": "names", "inputs": [{"text": "a\ud83d"}]}, "inputs[0]"),
    ({"model": "names", "inputs": [{"words": "a"}]}, "inputs[0].words"),
    ({"model": "mood", "inputs": [{"text": "a", "text_pair": "b"}]}, "inputs[0].text_pair"),
    ({"model": "mood", "inputs": "a"}, "inputs"),
    ({"model": "none", "inputs": [{"text": "a"}]}, None),
    ({"inputs": [{"text": "a"}]}, None),
]


@pytest.mark.parametrize(("body", "field"), WRONG, ids=[str(w[0])[:60] for w in WRONG])
def test_a_wrong_input_is_refused_with_its_field(http, body, field):
    response = http.post(
        "/predict", content=json.dumps(body), headers={"Content-Type": "application/json"}
    )
    assert response.status_code == 400, response.text
    param = response.json()["error"]["param"]
    assert field is None or param.endswith(field), response.text


def test_vectors_are_those_of_the_embedder(server, client_of, embedding_run):
    client, embedder = client_of(server.url), embedder_of(str(embedding_run))
    expected = embedder.encode(TEXTS, "passage", [])
    found = client.embeddings.create(model="near", input=TEXTS)  # base64
    assert np.allclose([one.embedding for one in found.data], expected, atol=1e-6)
    plain = client.embeddings.create(model="near", input=TEXTS[0], encoding_format="float")
    assert np.allclose(plain.data[0].embedding, expected[0], atol=1e-6)
    query = client.embeddings.create(model="near", input=TEXTS, extra_body={"input_type": "query"})
    wanted = embedder.encode(TEXTS, "query", [])
    assert np.allclose([one.embedding for one in query.data], wanted, atol=1e-6)
    assert found.usage.prompt_tokens > 0


@pytest.mark.slow
def test_documents_are_ranked_by_their_vectors(http, embedding_run):
    embedder = embedder_of(str(embedding_run))
    query = embedder.encode(["what is a"], "query", [])[0]
    scores = embedder.encode(TEXTS, "passage", []) @ query
    body = {"model": "near", "query": "what is a", "documents": TEXTS, "top_n": 2}
    found = http.post("/v1/rerank", json={**body, "return_documents": True}).json()["results"]
    assert [one["index"] for one in found] == np.argsort(-scores)[:2].tolist()
    assert found[0]["relevance_score"] == pytest.approx(max(scores), abs=1e-5)
    assert found[0]["document"]["text"] == TEXTS[found[0]["index"]]


def test_documents_are_ranked_by_a_reranker(http, reranker_run):
    scores = reranking(str(reranker_run), 3, []).scores("what is a", TEXTS)
    body = {"model": "rank", "query": "what is a", "documents": TEXTS}
    found = http.post("/v1/rerank", json=body).json()
    assert [one["index"] for one in found["results"]] == np.argsort(-scores).tolist()
    shown = [one["relevance_score"] for one in found["results"]]
    assert shown == pytest.approx(sorted(scores, reverse=True), abs=1e-5)
    assert found["usage"]["prompt_tokens"] > 0


def test_a_model_that_answers_elsewhere_is_named(http):
    response = http.post("/v1/embeddings", json={"model": "names", "input": "a"})
    assert response.status_code == 400
    assert "/predict" in response.json()["error"]["message"]


@pytest.mark.slow(2)
def test_what_waits_to_be_read_is_bounded_in_number_and_time(reviews_run):
    with serving({"mood": reviews_run}, Bounds(batch=1, waiting=1, seconds=2)) as running:
        heads, body = running.served[0].heads, {"inputs": [{"text": "dull"}]}
        url = f"{running.url}/predict"
        with heads._encoding, concurrent.futures.ThreadPoolExecutor(5) as pool:
            asked = [pool.submit(httpx.post, url, json=body, timeout=30) for _ in range(5)]
            found = sorted(one.result().status_code for one in asked)
        assert found == [429, 429, 429, 504, 504]
        until(lambda: not heads._reading)
        assert httpx.post(url, json=body, timeout=30).status_code == 200
