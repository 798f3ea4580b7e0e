"""Embeddings: what counts as a negative, how a step is shared out, and what a run reports."""

import json

import numpy as np
import pytest
import torch
from tests.conftest import trained
from tests.contract.test_tasks import parts
from tests.helpers import command
from torch.nn import functional as F

from lushan.data.passages import key_of, passages_of
from lushan.tasks.embedding import Embedding


def vectors(queries, positives, negatives=(), width=4):
    made = torch.Generator().manual_seed(0)
    draw = [torch.randn(len(x), width, generator=made) for x in (queries, positives, negatives)]
    keys = [torch.tensor([key_of(t) for t in x], dtype=torch.long) for x in (queries, positives)]
    return {
        "query": draw[0],
        "positive": draw[1],
        "negative": draw[2],
        "query_key": keys[0],
        "positive_key": keys[1],
        "negative_key": torch.tensor([key_of(t) for t in negatives], dtype=torch.long),
    }


def expected(found, row, candidates):
    """The cross-entropy of a row's own passage, the first of its candidates."""
    scores = F.cosine_similarity(found["query"][row][None], torch.stack(candidates)) / 0.05
    return float(-scores.log_softmax(0)[0])


def test_all_other_passages_and_negatives_are_candidates():
    found = vectors("abc", "xyz", "vw")
    losses = Embedding().joint_losses(found)
    others = [*found["positive"][1:], *found["negative"]]
    assert float(losses[0]) == pytest.approx(expected(found, 0, [found["positive"][0], *others]))


def test_what_is_right_for_a_query_is_no_negative_of_it():
    """The same passage in another row or among negatives, and another answer to the query."""
    found = vectors("aba", "xxz", "xv")
    losses = Embedding().joint_losses(found)
    positive, negative = found["positive"], found["negative"]
    assert float(losses[0]) == pytest.approx(expected(found, 0, [positive[0], negative[1]]))
    assert float(losses[1]) == pytest.approx(
        expected(found, 1, [positive[1], positive[2], negative[1]])
    )


def test_vectors_are_learned_at_several_widths():
    found = vectors("abc", "xyz", width=8)
    losses = [Embedding(dims=[width]).joint_losses(found) for width in (2, 8)]
    both = Embedding(dims=[2, 8]).joint_losses(found)
    torch.testing.assert_close(both, torch.stack(losses).mean(0))
    torch.testing.assert_close(losses[1], Embedding().joint_losses(found))


def test_wrong_passages_are_kept_a_margin_away():
    """Each query has its own margin: none is spread over those of others."""
    found = vectors("abca", "xyzw", "vx")
    losses = Embedding(loss="hinge", margin=0.5).joint_losses(found)
    passages = [*found["positive"], *found["negative"]]
    wrong = [
        [1, 2, 4],
        [0, 2, 3, 4, 5],
        [0, 1, 3, 4, 5],
        [1, 2, 4, 5],
    ]  # no right one, nor its text
    for row, numbers in enumerate(wrong):
        query = found["query"][row]
        own, *others = (
            float(F.cosine_similarity(query, passages[n], dim=0)) for n in (row, *numbers)
        )
        expected = np.mean([max(0, 0.5 - own + other) for other in others])
        assert float(losses[row]) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("loss", ["margin_mse", "kl"])
def test_a_teachers_scores_of_a_rows_passages_are_learned(loss):
    found = vectors("ab", "xy", "uvw")
    found |= {
        "positive_example": torch.tensor([7, 3]),
        "negative_example": torch.tensor([3, 7, 3]),
        "positive_teacher": torch.tensor([2.0, 1.0]),
        "negative_teacher": torch.tensor([0.5, -1.0, 4.0]),
    }
    losses = Embedding(loss=loss, temperature=0.5).joint_losses(found)
    for row, own in enumerate([[1], [0, 2]]):
        texts = torch.stack([found["positive"][row], *found["negative"][own]])
        student = F.cosine_similarity(found["query"][row], texts) / 0.5
        teacher = torch.cat([found["positive_teacher"][row][None], found["negative_teacher"][own]])
        if loss == "kl":
            p, q = teacher.softmax(0), student.softmax(0)
            expected = (p * (p / q).log()).sum()
        else:
            margins = (student[0] - student[1:]) - (teacher[0] - teacher[1:])
            expected = margins.square().mean()
        torch.testing.assert_close(losses[row], expected)


def test_a_teachers_distribution_over_the_batch_is_learned():
    """Against NumPy: the candidates are those of the contrastive loss, and no right one hides."""
    found = vectors("aba", "xxz", "xv")
    made = np.random.default_rng(1)
    asked, own, others = (made.normal(size=(n, 6)) for n in (3, 3, 2))
    taught = {"query_vector": asked, "positive_vector": own, "negative_vector": others}
    found |= {name: torch.from_numpy(values) for name, values in taught.items()}
    losses = Embedding(loss="kl_batch", temperature=0.5).joint_losses(found)
    passages = np.concatenate([found["positive"].numpy(), found["negative"].numpy()])

    def distribution(query, several):
        several = several / np.linalg.norm(several, axis=1, keepdims=True)
        weights = np.exp(several @ query / np.linalg.norm(query) / 0.5)
        return weights / weights.sum()

    for row, numbers in enumerate([[0, 4], [1, 2, 4], [1, 2, 3, 4]]):
        p = distribution(asked[row], np.concatenate([own, others])[numbers])
        q = distribution(found["query"][row].numpy(), passages[numbers])
        assert float(losses[row]) == pytest.approx((p * np.log(p / q)).sum(), rel=1e-5)


@pytest.mark.slow
def test_losses_of_a_teacher_need_its_scores(tmp_path, cli_inside):
    short = {"query": "a", "positive": "x", "negatives": ["y"], "scores": [1.0]}
    (tmp_path / "train.jsonl").write_text(json.dumps(short) + "\n", encoding="utf-8")
    words = ["task=embedding", "data=jsonl", "task.loss=kl"]
    files = [f"data.{split}={tmp_path / 'train.jsonl'}" for split in ("train", "validation")]
    done = cli_inside("train", *words, *files)
    assert (done.code, "train.jsonl:1: 1 scores of a relevant" in done.err) == (2, True)
    del short["scores"]
    (tmp_path / "train.jsonl").write_text(json.dumps(short) + "\n", encoding="utf-8")
    assert "the rows have none" in cli_inside("train", *words, *files).err
    words[2] = "task.loss=kl_batch"
    for given, message in (
        ([[1.0, 0.0], [0.0, 1.0]], "train.jsonl:1: 2 vectors of a query, a relevant passage and 1"),
        ([[1.0, 0.0], [0.0]], "as many numbers as the first, 2"),
        ([1.0], "a list of lists of numbers"),
    ):
        line = json.dumps(short | {"vectors": given})
        (tmp_path / "train.jsonl").write_text(line + "\n", encoding="utf-8")
        done = cli_inside("train", *words, *files)
        assert (done.code, message in done.err) == (2, True), done.err


def test_negatives_are_read_and_ranked():
    made, tokenizer, *_ = parts("embedding", None)
    rows = {"query": ["a", "b"], "positive": ["x", "y"], "negatives": [["v w", "u"], None]}
    from lushan.tasks.batches import Limits

    features = made.encode(rows, 0, tokenizer, Limits(16))
    assert [len(sizes) for sizes in features["sizes"]] == [3, 1]
    batch = made.collate(
        [{name: np.asarray(v[row]) for name, v in features.items()} for row in range(2)]
    )
    assert batch["owner"].tolist() == [0, 1, 0, 0]
    keys = [key_of(text) for text in ("x", "y", "v w", "u")]
    assert batch["passage_key"].tolist() == keys


def test_right_passages_are_all_those_of_a_query():
    import pyarrow as pa

    table = pa.table(
        {
            "query": ["a", "b", "a"],
            "positive": ["x", "y", "z"],
            "negatives": [["u", "y"], None, []],
        }
    )
    documents, right = passages_of(table)
    assert documents == ["x", "y", "z", "u"]
    assert right == [[0, 2], [1], [2, 0]]


def write(path, count, least=0):
    rows = [
        {
            "question": f"what is thing {i % 7}",
            "passage": f"thing {i % 7} is number {i}",
            "negatives": [f"no thing has number {j}" for j in range(least + i % 3)],
            "scores": [2.0, *(i % 5 - j for j in range(least + i % 3))],
            "vectors": [[1.0, i % 5, j] for j in range(2 + least + i % 3)],
        }
        for i in range(count)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def lines(folder, *more):
    return [
        *("task=embedding", "data=jsonl"),
        f"data.train={write(folder / 'train.jsonl', 24)}",
        f"data.validation={write(folder / 'validation.jsonl', 9)}",
        f"data.test={write(folder / 'test.jsonl', 9)}",
        *more,
    ]


EXACT = ["trainer.precision=64-true", "trainer.max_epochs=2", "task.pooling=cls"]
"""With dropout: what is dropped of a text is the same in any batch."""


def weights_of(run):
    from lushan.checkpoint.weights import load_weights

    return load_weights(run / "checkpoints" / "best")


@pytest.mark.slow
def test_a_run_does_not_depend_on_micro_batches_and_reports_bm25(tmp_path):
    same = [*lines(tmp_path), *EXACT]
    one = trained(tmp_path, *same, "name=one", "data.micro_tokens=null")
    two = trained(tmp_path, *same, "name=two", "data.micro_tokens=40")
    first, second = weights_of(one), weights_of(two)
    assert max(float((first[n].double() - second[n].double()).abs().max()) for n in first) < 1e-9
    result = json.loads((one / "result.json").read_text(encoding="utf-8"))
    named = {"test/ndcg_10", "test/recall_1_bm25", "test/ndcg_10_bm25", "test/loss"}
    assert named <= set(result["metrics"])
    assert any("against BM25's: " in note and note.startswith("test: ") for note in result["notes"])
    assert any("test" in note and "train" in note for note in result["notes"]), (
        "queries of the test split stand in training, too"
    )


@pytest.mark.parametrize("loss", ["hinge", pytest.param("kl", marks=pytest.mark.long), "kl_batch"])
@pytest.mark.slow
def test_no_loss_depends_on_micro_batches(loss, tmp_path):
    same = [*lines(tmp_path), *EXACT, f"task.loss={loss}"]
    write(tmp_path / "train.jsonl", 24, least=1)
    one = trained(tmp_path, *same, "name=one", "data.micro_tokens=null")
    two = trained(tmp_path, *same, "name=two", "data.micro_tokens=40")
    first, second = weights_of(one), weights_of(two)
    assert max(float((first[n].double() - second[n].double()).abs().max()) for n in first) < 1e-9


@pytest.mark.slow
def test_two_processes_train_as_one(tmp_path):
    same = [*command.SMALL, *lines(tmp_path), *EXACT]
    one, two = (
        command.cli("train", *same, f"name=on{ranks}", *more, cwd=tmp_path, ranks=ranks)
        for ranks, more in ((0, ()), (1, ("trainer=ddp_sim", "data.micro_tokens=60")))
    )
    assert (one.code, two.code) == (0, 0), two.err
    first, second = weights_of(one.folder), weights_of(two.folder)
    assert max(float((first[n].double() - second[n].double()).abs().max()) for n in first) < 1e-9
    for name, value in one.result["metrics"].items():
        assert two.result["metrics"][name] == pytest.approx(value, abs=1e-9), name


@pytest.mark.slow(1)
def test_queries_are_predicted_as_vectors(tmp_path, cli_inside):
    run = trained(tmp_path, *lines(tmp_path), "task.query_prefix='query: '")
    (tmp_path / "new.jsonl").write_text('{"question": "what is thing 3"}\n', encoding="utf-8")
    done = cli_inside("predict", str(run), "--input", str(tmp_path / "new.jsonl"))
    assert done.code == 0, done.err
    (row,) = [json.loads(line) for line in done.out.splitlines()]
    assert row["query"] == "what is thing 3"
    assert np.linalg.norm(row["vector"]) == pytest.approx(1, abs=1e-4)
