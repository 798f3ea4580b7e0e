"""Answers against the evaluations of SQuAD and CMRC 2018, written here as these publish them."""

from __future__ import annotations

import collections
import re
import string

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nltk.tokenize.destructive import NLTKWordTokenizer

from lushan.metrics.families.answers import AnswerF1, ExactMatch, metrics

# SQuAD: evaluate-v2.0.py


def normalize_answer(text):
    def remove_articles(text):
        return re.sub(re.compile(r"\b(a|an|the)\b", re.UNICODE), " ", text)

    def white_space_fix(text):
        return " ".join(text.split())

    def remove_punc(text):
        exclude = set(string.punctuation)
        return "".join(ch for ch in text if ch not in exclude)

    return white_space_fix(remove_articles(remove_punc(text.lower())))


def squad_f1(gold, predicted):
    gold_toks, pred_toks = normalize_answer(gold).split(), normalize_answer(predicted).split()
    common = collections.Counter(gold_toks) & collections.Counter(pred_toks)
    num_same = sum(common.values())
    if len(gold_toks) == 0 or len(pred_toks) == 0:
        return int(gold_toks == pred_toks)
    if num_same == 0:
        return 0
    precision = 1.0 * num_same / len(pred_toks)
    recall = 1.0 * num_same / len(gold_toks)
    return (2 * precision * recall) / (precision + recall)


def squad(predicted, answers):
    golds = [a for a in answers if normalize_answer(a)] or [""]
    exact = max(int(normalize_answer(a) == normalize_answer(predicted)) for a in golds)
    return exact, max(squad_f1(a, predicted) for a in golds)


# SQuAD: evaluate-v1.1.py


def squad_1_f1(predicted, gold):
    prediction_tokens = normalize_answer(predicted).split()
    ground_truth_tokens = normalize_answer(gold).split()
    common = collections.Counter(prediction_tokens) & collections.Counter(ground_truth_tokens)
    num_same = sum(common.values())
    if num_same == 0:
        return 0
    precision = 1.0 * num_same / len(prediction_tokens)
    recall = 1.0 * num_same / len(ground_truth_tokens)
    return (2 * precision * recall) / (precision + recall)


# CMRC 2018: cmrc2018_evaluate.py

SP_CHAR = ["-", ":", "_", "*", "^", "/", "\\", "~", "`", "+", "=", "，", "。", "：", "？", "！"]
SP_CHAR += ["“", "”", "；", "’", "《", "》", "……", "·", "、", "「", "」", "（", "）", "－", "～"]
SP_CHAR += ["『", "』"]
WORDS = NLTKWordTokenizer()


def mixed_segmentation(text):
    segs_out, temp_str = [], ""
    for char in text.lower().strip():
        if char in SP_CHAR:
            continue
        if re.search(r"[\u4e00-\u9fa5]", char):
            if temp_str != "":
                segs_out.extend(WORDS.tokenize(temp_str))
                temp_str = ""
            segs_out.append(char)
        else:
            temp_str += char
    if temp_str != "":
        segs_out.extend(WORDS.tokenize(temp_str))
    return segs_out


def remove_punctuation(text):
    return "".join(char for char in text.lower().strip() if char not in SP_CHAR)


def find_lcs(s1, s2):
    m = [[0 for i in range(len(s2) + 1)] for j in range(len(s1) + 1)]
    mmax, p = 0, 0
    for i in range(len(s1)):
        for j in range(len(s2)):
            if s1[i] == s2[j]:
                m[i + 1][j + 1] = m[i][j] + 1
                if m[i + 1][j + 1] > mmax:
                    mmax = m[i + 1][j + 1]
                    p = i + 1
    return s1[p - mmax : p], mmax


def cmrc(predicted, answers):
    f1_scores = []
    for answer in answers:
        ans_segs, prediction_segs = mixed_segmentation(answer), mixed_segmentation(predicted)
        _, lcs_len = find_lcs(ans_segs, prediction_segs)
        if lcs_len == 0:
            f1_scores.append(0)
            continue
        precision = 1.0 * lcs_len / len(prediction_segs)
        recall = 1.0 * lcs_len / len(ans_segs)
        f1_scores.append((2 * precision * recall) / (precision + recall))
    exact = any(remove_punctuation(a) == remove_punctuation(predicted) for a in answers)
    return int(exact), max(f1_scores)


def ours(predicted, answers, language):
    pair = (ExactMatch(language), AnswerF1(language))
    return tuple(metric.example_statistics(predicted, answers)[0] for metric in pair)


WORDS_TRIED = [
    "the",
    "a",
    "An",
    "THE",
    "cat",
    "Cats'",
    "cat,",
    "theory",
    "don't",
    "3.5",
    "35",
    "$4,000",
    "50%",
    "U.S.",
    "(x)",
    "—",
    "naïve",
    "–",
    "'",
    '"',
    "“q”",
    "İ",
    "ß",
]
UNITS_TRIED = [
    "李白住在庐山，",
    "。“”",
    "《诗》",
    "（和）",
    "·、",
    "308",
    "3.5%",
    "12,000",
    "NBA",
    "2018年",
    "don't",
    "_-:~",
    "…％",
]
WORD = st.sampled_from(WORDS_TRIED)
ENGLISH = st.one_of(st.lists(WORD, max_size=6).map(" ".join), st.text(max_size=12))
HAN = st.sampled_from([*UNITS_TRIED, *"李白庐山人的 "])
CHINESE = st.lists(HAN, max_size=8).map("".join)


@given(ENGLISH, st.lists(ENGLISH, max_size=3))
def test_english_is_compared_as_squad_does(predicted, answers):
    assert ours(predicted, answers, "en") == pytest.approx(squad(predicted, answers))


@given(ENGLISH, st.lists(ENGLISH.filter(normalize_answer), min_size=1, max_size=3))
def test_english_is_compared_as_squad_1_1_does_where_there_is_an_answer(predicted, answers):
    found = ours(predicted, answers, "en")[1]
    assert found == pytest.approx(max(squad_1_f1(predicted, answer) for answer in answers))


@given(CHINESE, st.lists(CHINESE.filter(mixed_segmentation), min_size=1, max_size=3))
def test_chinese_is_compared_as_cmrc_does(predicted, answers):
    assert ours(predicted, answers, "zh") == pytest.approx(cmrc(predicted, answers))


@pytest.mark.parametrize(
    ("predicted", "answers", "exact", "f1"),
    [
        ("the Cat!", ["cat"], 1, 1),
        ("black cat", ["cat", "a black cat"], 1, 1),
        ("black cat", ["cat"], 0, 2 / 3),
        ("", [], 1, 1),
        ("", ["cat"], 0, 0),
        ("cat", [], 0, 0),
        ("《庐山》", ["庐山"], 1, 1),
        ("在庐山上", ["庐山"], 0, 2 * 2 / 6),
        ("庐的山", ["庐山"], 0, 2 * 1 / 5),  # one unbroken run
        ("2018年", ["2018 年"], 0, 1),  # a blank counts where texts are compared, as CMRC has it
        ("1.5亿", ["15亿"], 0, 2 * 1 / 4),
        ("NBA球队", ["nba球队"], 1, 1),
        ("50", ["百分之50"], 0, 2 * 1 / 5),
    ],
)
def test_answers_by_hand(predicted, answers, exact, f1):
    assert ours(predicted, answers, "auto") == pytest.approx((exact, f1))


def test_the_language_is_that_of_the_gold_answers_unless_it_is_stated():
    assert ours("308 分", ["308分"], "auto")[0] == 0
    assert ours("the 308", ["308"], "auto")[0] == 1
    assert ours("the 308", ["308"], "zh")[0] == 0
    assert ours("a b", ["b a"], "en")[1] == 1


def test_the_mean_and_its_direction():
    found = metrics("en")
    assert list(found) == ["exact_match", "f1"]
    for metric in found.values():
        assert metric.higher_is_better
        rows = [metric.example_statistics("cat", gold) for gold in (["cat"], ["dog"], [])]
        assert metric.formula(np.sum(rows, axis=0)) == pytest.approx(1 / 3)
