"""What is printed when a run has ended."""

import dataclasses

import pytest

from lushan.run import summary
from lushan.run.columns import aligned, display_width
from lushan.run.summary import closing_text, report_texts


def scores(f1, support):
    return {"precision": 0.5, "recall": None, "f1": f1, "support": support}


@pytest.fixture
def done(carried_out):
    reports = {
        "val": {"entity": {"LOC": scores(0.9, 9)}},
        "test": {
            "entity": {
                "地名": scores(0.25, 4),
                "PER": scores(1.0, 10),
                "micro avg": scores(0.5, 14),
            },
            "token": {"B-PER": scores(0.75, 10)},
        },
    }
    extra = {"notes": ["2 words were truncated"], "best_step": 6, "steps": 9}
    return dataclasses.replace(carried_out().result(), extra=extra, reports=reports)


def test_metrics_with_intervals_then_classes_then_notes(done):
    assert closing_text(done).splitlines() == [
        "metric              value  95 % interval",
        "test/entity_f1, %   50.00  40.00 to 60.00  main metric",
        "val/entity_f1, %    60.00                  main metric",
        "test/loss          0.5000",
        "",
        "test, entity  precision, %  recall, %   f1, %  support",
        "地名                 50.00          -   25.00        4",
        "PER                  50.00          -  100.00       10",
        "evaluated: the weights of step 6 of 9",
        "note: 2 words were truncated",
    ]


def test_a_note_that_was_printed_when_the_run_began_is_not_printed_again(done):
    begun = dataclasses.replace(done, announced=("2 words were truncated",))
    assert "cut off" not in closing_text(begun)
    assert begun.to_dict() == done.to_dict()


def test_who_evaluates_again_sees_the_tags_of_tokens_too(done):
    lines = closing_text(done, every_level=True).splitlines()
    assert lines[-5:-2] == [
        "",
        "test, token  precision, %  recall, %  f1, %  support",
        "B-PER               50.00          -  75.00       10",
    ]


def test_the_plain_report_is_that_of_the_main_number(done):
    shown = done.to_dict()
    assert shown["report"] == done.reports["test"]["entity"]
    again = type(done).from_dict(shown, file=done.folder / "result.json")
    assert again.reports == done.reports
    assert "report" not in again.extra


def test_a_number_that_is_none_is_a_dash(done):
    done.metrics["test/entity_f1"] = None
    done.ci["test/entity_f1"] = [None, None]
    assert "test/entity_f1, %       -" in closing_text(done)


@pytest.mark.parametrize("report", [{}, {"test": {}}, {"test": {"entity": {}}}, {"val": {"a": {}}}])
def test_a_task_without_classes_has_no_such_table(done, report):
    done = dataclasses.replace(done, reports=report)
    assert report_texts(done) == []
    assert closing_text(done).splitlines()[-3].startswith("test/loss")


def test_many_classes_are_counted(done, monkeypatch):
    monkeypatch.setattr(summary, "CLASSES", 1)
    assert report_texts(done)[0][1:] == [
        "PER                  50.00          -  100.00       10",
        "and 1 more, in result.json",
    ]


def test_of_many_classes_the_most_frequent_are_shown(done):
    scores = {"precision": 0.5, "recall": 0.5, "f1": 0.5}
    classes = {f"c{n:02}": scores | {"support": n % 25} for n in range(summary.CLASSES + 10)}
    done = dataclasses.replace(done, reports={"test": {"entity": classes}})
    rows = [line.split() for line in report_texts(done)[0][1:-1]]
    assert [int(row[-1]) for row in rows] == list(range(24, 4, -1))
    few = dict(list(classes.items())[:3])
    done = dataclasses.replace(done, reports={"test": {"entity": few}})
    assert [line.split()[0] for line in report_texts(done)[0][1:]] == list(few)


def test_a_chinese_character_takes_two_places():
    assert display_width("庐山a") == 5
    assert aligned([["庐山", "1"], ["a", "23"]], right={1}) == ["庐山   1", "a     23"]
