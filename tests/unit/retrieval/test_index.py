"""Indexes through the command line: built, searched, evaluated, joined, and refused if damaged."""

import hashlib
import json

import numpy as np
import pytest
from tests.conftest import trained

from lushan.errors import UserError
from lushan.retrieval import approximate, index, search
from lushan.retrieval.texts import Documents
from lushan.run import files

ROWS = [
    {"id": "a", "text": "the lake lies north of the mill", "asked": "where is the lake"},
    {"id": "b", "text": "庐山在九江，很高。", "asked": "庐山在哪里"},
    {"id": "c", "text": "a barn is red", "asked": "what is red"},
    {"id": "d", "text": "the lake lies north of the mill", "asked": "what lies north"},
    {"id": "e", "text": " ", "asked": "nothing"},
]


@pytest.fixture
def corpus(tmp_path):
    path = tmp_path / "corpus.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS), encoding="utf-8")
    return path


@pytest.fixture
def built(corpus, tmp_path, cli_inside):
    done = cli_inside("index", "build", str(corpus), "--model", "bm25", "--output", "words")
    assert done.code == 0, done.err
    assert "words: 3 documents, bm25" in done.out
    assert "1 of 5 rows repeat an earlier text" in done.err
    assert "1 rows are blank" in done.err
    return tmp_path / "words"


def test_a_query_finds_its_document(built, cli_inside):
    done = cli_inside("search", "words", "庐山", "--top-k", "2", "--json")
    assert [hit["id"] for hit in json.loads(done.out)] == ["b"]
    done = cli_inside("search", "words", "where is the lake")
    assert [line.split()[1] for line in done.out.splitlines()] == ["a", "c"]


def test_a_document_without_a_word_of_the_query_is_not_found(built, tmp_path, cli_inside):
    done = cli_inside("search", "words", "zebra")
    assert (done.code, done.out) == (0, "")
    assert "no document contains a word of the query" in done.err
    assert json.loads(cli_inside("search", "words", "zebra", "--json").out) == []
    (tmp_path / "questions.txt").write_text("zebra\nbarn\n", encoding="utf-8")
    rows = cli_inside("search", "words", "--input", str(tmp_path / "questions.txt")).out
    found = [[hit["id"] for hit in json.loads(row)["hits"]] for row in rows.splitlines()]
    assert found == [[], ["c"]]


def test_queries_of_a_file_are_answered_or_evaluated(built, corpus, tmp_path, cli_inside):
    questions = tmp_path / "questions.txt"
    questions.write_text("red barn\n庐山\n", encoding="utf-8")
    done = cli_inside("search", "words", "--input", str(questions), "--top-k", "1")
    rows = [json.loads(line) for line in done.out.splitlines()]
    assert [(row["query"], row["hits"][0]["id"]) for row in rows] == [
        ("red barn", "c"),
        ("庐山", "b"),
    ]
    asked = tmp_path / "asked.jsonl"
    asked.write_text("".join(json.dumps(r) + "\n" for r in ROWS[:4]), encoding="utf-8")
    options = ["--input", str(asked), "--query", "asked", "--relevant", "text"]
    done = cli_inside("search", "words", *options, "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)["bm25"]["recall_10"] == 1.0
    done = cli_inside("search", "words", *options)
    assert "4 queries, 3 documents" in done.out
    assert "ndcg_10" in done.out


def test_negatives_are_the_best_documents_that_are_not_right(built, tmp_path, cli_inside):
    asked = tmp_path / "asked.jsonl"
    asked.write_text("".join(json.dumps(r) + "\n" for r in ROWS[:3]), encoding="utf-8")
    options = ["--input", str(asked), "--query", "asked", "--relevant", "id"]
    done = cli_inside("search", "words", *options, "--negatives", "1", "--output", "pairs.jsonl")
    assert done.code == 0, done.err
    rows = [json.loads(line) for line in (tmp_path / "pairs.jsonl").read_text().splitlines()]
    assert [row["positive"] for row in rows] == [row["text"] for row in ROWS[:3]]
    assert rows[0]["negatives"] == [ROWS[2]["text"]], "it shares a word with the query"
    assert all(len(row["negatives"]) == 1 for row in rows)
    assert all(row["positive"] not in row["negatives"] for row in rows)


def run_of(tmp_path):
    rows = [{"query": row["asked"], "positive": row["text"]} for row in ROWS[:3]] * 3
    file = tmp_path / "pairs.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    names = [f"data.{split}={file}" for split in ("train", "validation", "test")]
    options = ["task.pooling=cls", "task.query_prefix='query: '", "data.max_length=24"]
    return trained(tmp_path, "task=embedding", "data=jsonl", *names, *options)


@pytest.mark.slow
def test_a_run_makes_an_index_that_bm25_is_joined_with(built, corpus, tmp_path, cli_inside):
    run = run_of(tmp_path)
    make = ["index", "build", str(corpus), "--model", str(run), "--output", "vectors"]
    assert cli_inside(*make).code == 0
    done = cli_inside("search", "vectors", "what is red", "--json")
    assert len(json.loads(done.out)) == 3
    refused = cli_inside(*make, "--pooling", "mean")
    assert (refused.code, "the run already sets this" in refused.err) == (2, True)
    for fusion in ("zscore", "rrf"):
        done = cli_inside("search", "words", "vectors", "庐山", "--fusion", fusion, "--json")
        assert len(json.loads(done.out)) == 3, done.err
    options = ["--input", str(corpus), "--query", "asked", "--relevant", "text"]
    corpus.write_text("".join(json.dumps(r) + "\n" for r in ROWS[:4]), encoding="utf-8")
    done = cli_inside("search", "words", "vectors", *options)
    assert "ndcg_10 of fused against bm25: " in done.out
    assert "p = " in done.out
    # BM25 stands in each table, and is no part of what is joined or reranked.
    table = json.loads(cli_inside("search", "words", *options, "--json").out)
    alone = json.loads(cli_inside("search", "vectors", *options, "--json").out)
    assert alone["bm25"] == table["bm25"]
    assert list(alone) == ["bm25", str(run)]
    done = cli_inside("search", "vectors", *options)
    assert "against bm25: " in done.out
    # The vectors are those of the run's own evaluation.
    opened = index.open_index(tmp_path / "vectors", [])
    assert np.linalg.norm(opened.scorer.vectors, axis=1) == pytest.approx(1, abs=1e-4)
    assert opened.scorer.embedder.prefixes["query"] == "query: "


@pytest.mark.parametrize("kind", ["hnsw", "ivf"])
def test_an_approximate_index_finds_nearly_what_an_exact_one_does(kind):
    vectors = np.random.default_rng(1).normal(size=(2000, 16)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    made = approximate.read(approximate.build(vectors, kind).tobytes(), vectors.shape)
    found = approximate.recall(made, vectors)
    asked = vectors[np.random.default_rng(0).permutation(2000)[:200]]
    _, numbers = made.search(asked, 10)
    exact = np.argsort(-(asked @ vectors.T), axis=1)[:, :10]
    expected = np.mean(
        [np.isin(one, other).mean() for one, other in zip(numbers, exact, strict=True)]
    )
    assert found == pytest.approx(expected)
    assert 0.5 < found <= 1
    with pytest.raises(ValueError, match="faiss cannot"):
        approximate.read(b"IxFI", vectors.shape)


@pytest.mark.slow
def test_an_approximate_index_is_searched_and_evaluated(corpus, built, tmp_path, cli_inside):
    run = run_of(tmp_path)
    make = ["index", "build", str(corpus), "--model", str(run)]
    cli_inside(*make, "--output", "vectors")
    done = cli_inside(*make, "--output", "graph", "--index", "hnsw")
    assert done.code == 0, done.err
    assert "hnsw: 100.0 % of the exact ten nearest documents are found" in done.err
    exact, near = (
        json.loads(cli_inside("search", name, "what is red", "--json").out)
        for name in ("vectors", "graph")
    )
    assert [hit["id"] for hit in near] == [hit["id"] for hit in exact]
    corpus.write_text("".join(json.dumps(r) + "\n" for r in ROWS[:4]), encoding="utf-8")
    options = ["--input", str(corpus), "--query", "asked", "--relevant", "text", "--json"]
    one, other = (cli_inside("search", name, *options) for name in ("vectors", "graph"))
    assert one.out == other.out
    done = cli_inside("search", "words", "graph", "what is red")
    assert (done.code, "fusion needs scores of all documents" in done.err) == (2, True)
    for model, kind, problem in (
        ("bm25", "hnsw", "only supports exact search"),
        ("bm25", "x", "unknown index"),
    ):
        done = cli_inside(
            "index", "build", str(corpus), "--model", model, "--output", "o", "--index", kind
        )
        assert (done.code, problem in done.err) == (2, True)
    (tmp_path / "graph" / "vectors.faiss").write_bytes(b"other")
    assert "vectors.faiss: a file of the index is damaged" in cli_inside("search", "graph", "x").err


@pytest.mark.slow(1)
def test_another_model_in_its_place_is_noticed(corpus, tmp_path, cli_inside):
    run = run_of(tmp_path)
    cli_inside("index", "build", str(corpus), "--model", str(run), "--output", "vectors")
    vectors = np.load(tmp_path / "vectors/vectors.npy")
    index._write(
        tmp_path / "vectors",
        {
            name: (tmp_path / "vectors" / name).read_bytes()
            if name != index.VECTORS
            else _npy(-vectors)
            for name in (index.DOCUMENTS, index.VECTORS)
        },
        {"model": str(run), "options": {}, "count": 3, "kind": "exact", "recall": None},
    )
    done = cli_inside("search", "vectors", "x")
    assert done.code == 2
    assert "is not the model that the index was built with" in done.err


def _npy(array):
    import io

    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def test_a_damaged_index_is_refused_by_its_file(built, cli_inside):
    for name in ("documents.jsonl", "weights.npz", "terms.json"):
        content = (built / name).read_bytes()
        (built / name).write_bytes(content[:-2] + b"??")
        done = cli_inside("search", "words", "x")
        assert done.code == 2
        assert f"{name}: a file of the index is damaged" in done.err
        (built / name).write_bytes(content)
    settings = json.loads((built / "index.json").read_text())
    settings["files"]["../x"] = "0"
    (built / "index.json").write_text(json.dumps(files.proved(settings)))
    assert "unexpected files for an index" in cli_inside("search", "words", "x").err
    (built / "index.json").write_text("{")
    assert cli_inside("search", "words", "x").code == 2


def signed(built, **changed):
    """Change `index.json`, with the checksums that belong to it."""
    settings = json.loads((built / "index.json").read_text())
    settings["files"] = {name: files.sha256_file(built / name) for name in settings["files"]}
    (built / "index.json").write_text(json.dumps(files.proved(settings | changed)))


@pytest.mark.fault(82)
@pytest.mark.parametrize(
    "changed",
    [{"files": {}}, {"options": {"evil": 1}}, {"options": {"max_length": "x"}}, {"count": None}],
)
def test_an_index_of_anybody_has_its_form(changed, built, cli_inside):
    signed(built, **changed)
    done = cli_inside("search", "words", "x")
    assert (done.code, "index.json" in done.err) == (2, True)


@pytest.mark.fault(82)
def test_what_was_changed_in_its_description_is_refused(built, cli_inside):
    path = built / "index.json"
    path.write_text(path.read_text().replace('"count": 3', '"count": 4'))
    assert "index.json: this file was changed" in cli_inside("search", "words", "x").err


@pytest.mark.fault(82)
@pytest.mark.parametrize("line", ["[]", '{"id": "a"}', '{"id": 1, "text": 3}', '"a"'])
def test_its_documents_have_their_form(line, built, cli_inside):
    (built / "documents.jsonl").write_text(f"{line}\n" * 3)
    signed(built)
    done = cli_inside("search", "words", "lake")
    assert (done.code, "documents.jsonl" in done.err) == (2, True)


@pytest.mark.fault(82)
@pytest.mark.parametrize("name", ["notes.txt", "index.json"])
def test_a_folder_that_holds_more_is_not_replaced(name, built, cli_inside):
    (built / name).write_text("{}")
    done = cli_inside("index", "build", "corpus.jsonl", "--model", "bm25", "--output", "words")
    assert (done.code, "more than an index" in done.err) == (2, True)
    assert (built / name).read_text() == "{}"


SOUGHT = ("search", "words", "--input", "corpus.jsonl", "--query", "asked", "--relevant", "id")
BUILD = ("index", "build", "corpus.jsonl", "--model", "bm25", "--output", "o")


def zipped(folder, member, content):
    import zipfile

    with zipfile.ZipFile(folder / "bomb", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(member, content)
    return (folder / "bomb").read_bytes()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("documents.jsonl", b'{"id": "a"}\n'),
        ("documents.jsonl", b"[1]\n[2]\n[3]\n"),
        ("documents.jsonl", b""),
        ("terms.json", b'{"a": 1}'),
        ("terms.json", b"[1, 2]"),
        ("terms.json", b'["a"]'),
        ("weights.npz", b"PK"),
        ("weights.npz", b"\x93NUMPY"),
        ("weights.npz", lambda folder: zipped(folder, "data.npy", bytes(1 << 20))),
        ("weights.npz", lambda folder: zipped(folder, "data.npy", b"cos\nsystem\n")),
        ("options", {"pooling": "max"}),
        ("options", {"device": "x"}),
        ("model", 3),
        ("count", 7),
    ],
)
def test_an_index_that_was_made_to_deceive_is_refused(built, cli_inside, name, content):
    """Its checksums are those of its files."""
    settings = json.loads((built / "index.json").read_text())
    if "." in name:
        data = content(built) if callable(content) else content
        (built / name).write_bytes(data)
        settings["files"][name] = hashlib.sha256(data).hexdigest()
    else:
        settings[name] = content
    (built / "index.json").write_text(json.dumps(settings))
    done = cli_inside("search", "words", "lake")
    assert (done.code, done.err.startswith("error: ")) == (2, True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("search", "nowhere", "x"), "this is not an index"),
        (("search", "words"), "an index and a query are required"),
        (("search", "words", "x", "--fusion", "sum"), "unknown fusion"),
        (("search", "words", "x", "--relevant", "text"), "requires --input"),
        (("search", "words", "--input", "corpus.jsonl", "--negatives", "2"), "requires --relevant"),
        (
            ("index", "build", "none.jsonl", "--model", "bm25", "--output", "o"),
            "the file does not exist",
        ),
        (
            ("index", "build", "corpus.jsonl", "--model", "bm25", "--output", "."),
            "more than an index",
        ),
        (
            (*BUILD, "--text", "b"),
            "b",
        ),
        (
            (*BUILD, "--pooling", "cls"),
            "bm25 does not have this option",
        ),
        (("index", "build", "twice.jsonl", *BUILD[3:]), "--id null uses line numbers"),
        (("index", "build", "other.jsonl", *BUILD[3:]), "Write --text NAME; the fields are: of."),
        (("search", "words", "--input", "other.jsonl"), "Write --query NAME; the fields are: of."),
        (("search", "words", "--input", "corpus.jsonl", "--relevant", "no"), "--relevant"),
        (("index", "build", "corpus.jsonl", "--model", ".", "--output", "o"), "not a run folder"),
        (("search", "words", "x", "--output", "o"), "requires --input"),
        (("search", "words", "x", "--candidates", "5"), "requires --rerank"),
        ((*SOUGHT, "--output", "o"), "requires --negatives"),
        ((*SOUGHT, "--top-k", "5"), "evaluates whole rankings"),
        ((*SOUGHT, "--negatives", "2", "--top-k", "5"), "--top-k"),
    ],
)
def test_a_mistake_is_explained(built, corpus, cli_inside, arguments, message):
    row = json.dumps({"id": "a", "text": "lake"})
    (corpus.parent / "twice.jsonl").write_text(f"{row}\n{row}\n")
    (corpus.parent / "other.jsonl").write_text('{"of": "lake"}\n')
    done = cli_inside(*arguments)
    assert done.code == 2
    assert message in done.err


def test_rows_may_have_ids_of_something_else(corpus, cli_inside):
    rows = [{"id": "a", "text": text} for text in ("the lake", "the barn")]
    corpus.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    assert cli_inside(*BUILD, "--id", "null").code == 0
    found = cli_inside("search", "o", "barn", "--top-k", "1").out
    assert "corpus.jsonl:2  the barn" in found
    assert "the lake" not in found
    ways = ("search", "o", "--input", "corpus.jsonl", "--id", "null", "--relevant", "text")
    assert "2 queries, 2 documents" in cli_inside(*ways).out


def test_scores_are_joined_by_rank_or_by_deviation():
    one, other = np.array([[3.0, 2.0, 1.0]]), np.array([[0.0, 10.0, 5.0]])
    assert search.fused([one], "rrf") is one
    ranks = search.fused([one, other], "rrf")
    assert ranks[0] == pytest.approx([1 / 61 + 1 / 63, 1 / 62 + 1 / 61, 1 / 63 + 1 / 62])
    scores = [(p - p.mean()) / p.std() for p in (one, other)]
    assert np.allclose(search.fused([one, other], "zscore"), scores[0] + scores[1])
    assert np.allclose(search.fused([one, np.ones((1, 3))], "zscore"), scores[0])


def test_indexes_of_different_corpora_are_not_joined(built, tmp_path):
    notes = []
    options = {"model": "bm25", "options": {}, "notes": notes}
    index.build(Documents(["1"], ["another"], [[]]), tmp_path / "other", **options)
    opened = [index.open_index(tmp_path / name, notes) for name in ("words", "other")]
    with pytest.raises(UserError, match="the documents differ from those of"):
        search.require_same_documents(opened)


@pytest.mark.parametrize("named", ["d1", "d3", "passage 1"])
def test_a_right_document_may_be_named_by_any_of_its_copies(named, tmp_path, cli_inside):
    texts = ["passage 0", "passage 1", "passage 2", "passage 1"]
    corpus, asked = tmp_path / "corpus.jsonl", tmp_path / "asked.jsonl"
    rows = [{"id": f"d{n}", "text": text} for n, text in enumerate(texts)]
    corpus.write_text("".join(json.dumps(row) + "\n" for row in rows))
    asked.write_text(json.dumps({"query": "passage 1", "relevant": named}) + "\n")
    cli_inside("index", "build", str(corpus), "--model", "bm25", "--output", "words")
    with_answers = ("search", "words", "--input", str(asked), "--relevant", "relevant")
    done = cli_inside(*with_answers, "--json")
    assert json.loads(done.out)["bm25"]["recall_1"] == 1
    done = cli_inside(*with_answers, "--negatives", "2", "--output", "mined.jsonl")
    assert done.code == 0, done.err
    (row,) = map(json.loads, (tmp_path / "mined.jsonl").read_text().splitlines())
    assert row["positive"] == "passage 1"
    assert row["negatives"] == ["passage 0", "passage 2"]


def test_relevant_ids_of_an_index_of_lines(tmp_path, cli_inside):
    rows = [{"key": f"d{n}", "text": f"passage {n}"} for n in range(3)]
    corpus, asked = tmp_path / "corpus.jsonl", tmp_path / "asked.jsonl"
    asked.write_text('{"query": "passage 1", "relevant": "d1"}\n')
    build = ("index", "build", str(corpus), "--model", "bm25", "--output")
    search = ("--input", str(asked), "--relevant", "relevant", "--json")
    corpus.write_text("".join(json.dumps(row) + "\n" for row in rows))
    cli_inside(*build, "o")
    error = cli_inside("search", "o", *search).err
    assert "named by their lines" in error
    assert "--id COLUMN" in error
    cli_inside(*build, "p", "--id", "key")
    assert json.loads(cli_inside("search", "p", *search).out)
    corpus.write_text(corpus.read_text().replace("key", "_id"))  # as BEIR has them
    cli_inside(*build, "q")
    assert json.loads(cli_inside("search", "q", *search).out)
    asked.write_text('{"query": "passage 1", "relevant": "d9"}\n')
    error = cli_inside("search", "q", *search).err
    assert "--relevant is the column" in error
    assert "lines" not in error
