"""Recommenders by counts, against their definitions on a small made table."""

import math

import numpy as np
import pytest

from lushan.models.item_scores import EASE, Content, ItemKNN, Markov, Popularity

SEQUENCES = [[0, 1, 2, 3], [0, 1, 3], [2, 1, 0], [4, 3]]
"""Of four users, five items."""
TEXTS = ["red house", "red barn", "blue house", "blue barn", "green lake"]
HISTORIES = [[0, 1], [4], [2, 3, 0]]


def fitted(made, sequences=SEQUENCES, texts=TEXTS):
    made.fit(sequences, texts)
    return made


def users(sequences, items):
    found = np.zeros((len(sequences), items))
    for row, own in enumerate(sequences):
        found[row, list(own)] = 1
    return found


def test_popularity_counts_users():
    scores = fitted(Popularity()).scores(HISTORIES)
    assert scores.tolist() == [[3, 3, 2, 3, 1]] * 3


@pytest.mark.parametrize("neighbors", [1, 2, 5])
def test_item_knn_sums_the_cosines_of_the_nearest(neighbors):
    scores = fitted(ItemKNN(neighbors)).scores(HISTORIES)
    matrix = users(SEQUENCES, 5)
    for row, history in enumerate(HISTORIES):
        for item in range(5):
            cosines = []
            for other in range(5):
                a, b = matrix[:, item], matrix[:, other]
                cosine = a @ b / math.sqrt((a @ a) * (b @ b)) if other != item else 0.0
                cosines.append((cosine, other))
            kept = sorted(cosines, key=lambda pair: (-pair[0], pair[1]))[:neighbors]
            wanted = sum(cosine for cosine, other in kept if other in history)
            assert scores[row, item] == pytest.approx(wanted, abs=1e-6)


@pytest.mark.parametrize("copies", [1, 3])
def test_ease_is_the_closed_form_whichever_matrix_is_smaller(copies):
    sequences = SEQUENCES * copies  # 4 users and 12, of 5 items
    scores = fitted(EASE(l2=2.0), sequences).scores(HISTORIES)
    matrix = users(sequences, 5)
    inverse = np.linalg.inv(matrix.T @ matrix + 2.0 * np.eye(5))
    weights = -inverse / np.diag(inverse)
    np.fill_diagonal(weights, 0)
    np.testing.assert_allclose(scores, users(HISTORIES, 5) @ weights, rtol=1e-4, atol=1e-5)


def test_ease_minimises_its_loss():
    matrix = users(SEQUENCES, 5)
    weights = fitted(EASE(l2=1.0)).scores([[n] for n in range(5)])
    assert np.abs(np.diag(weights)).max() < 1e-5

    def loss(some):
        return ((matrix - matrix @ some) ** 2).sum() + (some**2).sum()

    rng = np.random.default_rng(1)
    for _ in range(20):
        step = rng.normal(size=(5, 5)) * 0.01
        np.fill_diagonal(step, 0)
        assert loss(weights) < loss(weights + step)


def test_ease_may_forget():
    one = fitted(EASE(l2=1.0, half_life=1.0))
    weights = one.scores([[n] for n in range(5)])
    np.testing.assert_allclose(
        one.scores([[0, 4, 2]])[0], weights[0] / 4 + weights[4] / 2 + weights[2], atol=1e-5
    )


def test_markov_counts_what_followed_the_last_item():
    scores = fitted(Markov()).scores(HISTORIES)
    # Behind 1 came 2, 3 and 0; behind 4 came 3; behind 0 twice 1.
    assert np.round(scores, 3).tolist() == [[1, 0, 1, 1, 0], [0, 0, 0, 1, 0], [0, 2, 0, 0, 0]]
    # What never followed stands by its popularity.
    assert scores[1, 0] > scores[1, 2] > scores[1, 4] > 0


def test_markov_looks_further_when_it_is_set_to():
    scores = fitted(Markov(window=2, order=2, decay=0.5)).scores([[0, 1]])
    pairs = np.zeros((5, 5))
    for own in SEQUENCES:
        for place, before in enumerate(own):
            for step in (1, 2):
                if place + step < len(own):
                    pairs[before, own[place + step]] += 0.5 ** (step - 1)
    np.testing.assert_allclose(scores[0], 0.5 * pairs[0] + pairs[1], atol=2e-4)


def test_content_scores_what_no_user_has_had():
    scores = fitted(Content(), [[0], [1]]).scores([[0]])
    assert scores[0].argmax() == 0
    assert scores[0, 1] > 0  # red, too
    assert scores[0, 2] > 0  # a house, too
    assert scores[0, 4] == 0


def test_an_empty_history_has_scores():
    for made in (Popularity(), ItemKNN(), EASE(), Markov(), Content()):
        scores = fitted(made).scores([[]])
        assert scores.shape == (1, 5)
        assert np.isfinite(scores).all()
