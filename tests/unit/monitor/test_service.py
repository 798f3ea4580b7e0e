"""A stream counted in windows: once each, whatever happens, and alarms on a rise."""

import dataclasses
import json
import random

import numpy as np
import pytest
from tests.helpers.streams import HOUR, SETTINGS, START, by_word, line, monitor, stream

from lushan.monitor.alarms import FILE, Recipients
from lushan.monitor.classifier import Finding
from lushan.monitor.service import Settings
from lushan.monitor.sources import FileSource, Lines


@pytest.mark.slow(1)
def test_a_rise_is_an_alarm_with_the_texts_behind_it(tmp_path):
    mine = monitor(tmp_path, recipients=Recipients())
    mine.take(Lines(list(stream(raised=range(120, 140))), None))
    mine.finish()
    first, *_ = alarms = [json.loads(a) for a in (tmp_path / FILE).read_text().splitlines()]
    assert all(120 <= a["window"] - START // HOUR < 140 for a in alarms)
    assert first["window"] - START // HOUR <= 123
    assert first["low"] < first["share"] < first["high"]
    assert first["usual"] == pytest.approx(0.1, abs=0.03)
    assert first["examples"]
    assert all("bad" in e["text"] for e in first["examples"])


def test_what_is_no_text_of_an_open_window_is_counted_by_reason(tmp_path):
    mine = monitor(tmp_path)
    lines = [
        line(START, "good a"),
        line(START, "good a"),
        line(START + 5 * HOUR, "good b", id=7),
        line(START + 5 * HOUR + 1, "good c", id=7),
        line(START, "good late"),
        line(START + 10**9, "good future"),
        b"\xff",
        b"{",
        b"[1]",
        b"",
        json.dumps({"text": "no time"}).encode(),
        line("yesterday", "good"),
        line("2024-01-01T00:00:00+02:00", ""),
        line(START + 5 * HOUR, "half an emoji \ud83d"),
        line(START + 5 * HOUR + 2, "good d", id="\ud83d"),
    ]
    mine.take(Lines(lines, None), now=START + 6 * HOUR)
    assert mine.store.fact("lines") == {
        "counted": 3,
        "half of a surrogate pair": 1,
        "duplicates": 2,
        "late": 1,
        "in the future": 1,
        "not UTF-8": 1,
        "not JSON": 1,
        "no JSON object": 1,
        "no time in 'time'": 1,
        "a time that cannot be read": 1,
        "no text in 'text'": 1,
    }


def test_a_text_out_of_order_counts_in_its_own_window_while_that_is_open(tmp_path):
    mine = monitor(tmp_path, Settings("bad", lateness=2 * HOUR))
    mine.take(Lines([line(START + h * HOUR, f"bad {h}") for h in (2, 0, 1, 5, 2, 3)], None))
    first = START // HOUR
    rows = mine.store.series("all", first, first + 9)
    assert [(w - first, n) for w, n, _ in rows] == [(0, 1), (1, 1), (2, 1), (3, 1), (5, 1)]
    assert mine.store.fact("lines") == {"counted": 5, "duplicates": 1}


@pytest.mark.slow
def test_how_much_is_read_at_a_time_changes_nothing(tmp_path):
    lines = list(stream(windows=90, raised=range(70, 80)))
    random.Random(3).shuffle(lines)
    found = []
    for size in (1, 7, 5000):
        mine = monitor(tmp_path / str(size), Settings("bad", baseline=30, lateness=90 * HOUR))
        for start in range(0, len(lines), 1 if size == 1 else size):
            mine.take(Lines(lines[start : start + size], None))
            if size == 1 and start > 300:
                break
        if size > 1:
            mine.finish()
            found.append((mine.store.series("all", 0, 10**9), mine.store.alarms()))
    assert found[0] == found[1]
    assert found[0][1]


def test_personal_data_are_removed_from_what_is_stored(tmp_path):
    mine = monitor(tmp_path, dataclasses.replace(SETTINGS, redacts=True))
    mine.take(Lines([line(START, "bad call 13800138000")], None))
    (kept,) = mine.store.texts("all", 0, 10**9, 9)
    assert kept["text"] == "bad call [phone]"
    mine.classify = lambda texts: [Finding(True, 0.9, (), ("Bob 13800138000",)) for _ in texts]
    mine.take(Lines([line(START, "bad of Bob")], None))
    assert mine.store.top_entities(1) == [("Bob [phone]", 1, 1)]


def test_other_settings_need_another_folder(tmp_path):
    from lushan.errors import UserError

    monitor(tmp_path).store.close()
    with pytest.raises(UserError, match="baseline differ"):
        monitor(tmp_path, Settings("bad", baseline=61, rise=2.0))


@pytest.mark.slow
def test_each_text_is_counted_once_whenever_it_dies(tmp_path):
    path = tmp_path / "in.jsonl"
    lines = list(stream(windows=80, raised=range(70, 76)))
    path.write_bytes(b"".join(one + b"\n" for one in lines))
    rng = np.random.default_rng(0)

    class Killed(BaseException):
        pass

    def dying(texts):
        if rng.random() < 0.2:
            raise Killed
        return by_word(texts)

    import lushan.monitor.sources as sources

    before, sources.CHUNK = sources.CHUNK, 4096
    try:
        for _ in range(500):
            mine = monitor(tmp_path / "out", Settings("bad", baseline=30))
            mine.classify = dying
            try:
                for some in FileSource(path, whole=True).read(mine.position):
                    mine.take(some)
                mine.finish()
                break
            except Killed:
                mine.store.close()
        else:
            pytest.fail("it never ended")
    finally:
        sources.CHUNK = before
    whole = monitor(tmp_path / "whole", Settings("bad", baseline=30))
    whole.take(Lines(lines, None))
    whole.finish()
    for one in ("alarms",):
        assert getattr(mine.store, one)() == getattr(whole.store, one)()
    assert mine.store.series("all", 0, 10**9) == whole.store.series("all", 0, 10**9)
    assert mine.store.fact("lines") == {"counted": len(lines)}
