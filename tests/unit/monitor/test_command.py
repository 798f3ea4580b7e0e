"""`lushan monitor` from a command to a page, with a run of other tests."""

import contextlib
import json
import multiprocessing
import random
import signal
import sqlite3
import sys
import time

import pytest
from tests.helpers import command
from tests.helpers.streams import HOUR, SETTINGS, START, monitor, stream

from lushan.monitor import page, replay, sources
from lushan.monitor.alarms import FILE, Recipients
from lushan.monitor.replay import Change, outcome
from lushan.monitor.sources import FileSource, Lines


def write(path, lines):
    path.write_bytes(b"".join(line + b"\n" for line in lines))


@pytest.fixture(scope="module")
def label(reviews_run):
    return json.loads((reviews_run / "task.json").read_text())["state"]["labels"][0]


def test_a_stream_is_counted_and_continued(reviews_run, label, tmp_path, cli_inside):
    lines = list(stream(windows=4, each=10))
    write(tmp_path / "in.jsonl", lines[:25])
    ways = ("monitor", reviews_run, "--watch", label, "--source", "in.jsonl", "--output", "out")
    done = cli_inside(*ways, "--uncorrected")
    assert done.code == 0, done.err
    assert "25 texts counted" in done.out
    assert "no alarms yet" in done.err
    write(tmp_path / "in.jsonl", lines)
    done = cli_inside(*ways, "--uncorrected")
    assert "40 texts counted" in done.out
    assert (tmp_path / "out" / "page.html").is_file()
    other = cli_inside(*ways, "--uncorrected", "--window", "2h")
    assert other.code == 2
    assert "window differ" in other.err


@pytest.mark.parametrize(
    ("ways", "why"),
    [
        (("--watch", "nothing"), "Labels: "),
        (("--source", "none.jsonl"), "the file or folder does not exist"),
        (("--window", "soon"), "--window"),
        (("--false-alarms", "many"), "--false-alarms"),
        (("--false-alarms", "1/h"), "ten windows"),
        (("--rise", "1"), "above 1"),
        (("--every", "0"), "--every: must be 1 s or more"),
        (("--changes", "x"), "requires --replay"),
        (("--replay", "--follow"), "--follow"),
        (("--webhook", "file:///etc/passwd"), "--webhook"),
        (("--command", "'"), "--command"),
        (("--entity", "Nokia"), "--entity"),
        (("--uncorrected", "--output", "a_file"), "a_file: File exists"),
    ],
)
def test_what_is_refused(ways, why, reviews_run, label, tmp_path, cli_inside):
    write(tmp_path / "in.jsonl", [])
    (tmp_path / "a_file").touch()
    given = {"--watch": label, "--source": "in.jsonl", "--output": "out"}
    words = [w for k, v in given.items() if k not in ways for w in (k, v)]
    done = cli_inside("monitor", reviews_run, *words, *ways)
    assert done.code == 2
    assert why in done.err
    assert not (tmp_path / "out" / "state.sqlite").exists()


def test_a_run_of_another_task(lm_run, tmp_path, cli_inside):
    write(tmp_path / "in.jsonl", [])
    ways = ("--watch", "a", "--source", "in.jsonl", "--output", "out")
    assert cli_inside("monitor", lm_run, *ways).code == 2


def test_entities_are_counted(reviews_run, ner_run, label, tmp_path, cli_inside):
    write(tmp_path / "in.jsonl", stream(windows=2, each=6))
    ways = ("--watch", label, "--source", "in.jsonl", "--output", "out", "--uncorrected")
    done = cli_inside("monitor", reviews_run, ner_run, *ways, "--entity", "Paris")
    assert done.code == 0, done.err
    assert "12 texts counted" in done.out
    assert "entity: Paris" in (tmp_path / "out" / "page.html").read_text()


# What hears of alarms


@pytest.mark.slow(1)
def test_a_command_gets_an_alarm_as_its_words_are(tmp_path):
    out = tmp_path / "a b; touch evil"
    script = "import sys; open(sys.argv[1], 'w').write(sys.stdin.read())"
    line = f'{sys.executable} -c "{script}" "{out}"'
    mine = monitor(tmp_path / "out", recipients=Recipients(command=line))
    mine.take(Lines(list(stream(raised=range(120, 126))), None))
    mine.finish()
    assert json.loads(out.read_text())["label"] == "bad"
    assert not (tmp_path / "evil").exists()


@pytest.mark.slow(1)
def test_what_was_not_delivered_is_reported_and_is_in_the_file(tmp_path, capsys):
    mine = monitor(tmp_path, recipients=Recipients("http://127.0.0.1:1/x", "false"))
    mine.take(Lines(list(stream(raised=range(120, 123))), None))
    mine.finish()
    assert mine.store.fact("lines")["alarms not delivered"] >= 2
    assert "command: exit code 1" in capsys.readouterr().err
    assert (tmp_path / FILE).read_text()


@pytest.mark.slow(1)
def test_an_alarm_that_was_committed_and_not_sent_is_sent_later(tmp_path):
    mine = monitor(tmp_path)
    mine.take(Lines(list(stream(raised=range(120, 126))), None))
    mine.store.close()
    assert not (tmp_path / FILE).exists()
    monitor(tmp_path, recipients=Recipients()).store.close()
    first = (tmp_path / FILE).read_text()
    assert first
    monitor(tmp_path, recipients=Recipients()).store.close()
    assert (tmp_path / FILE).read_text() == first


# The page


@pytest.mark.slow(1)
def test_texts_on_the_page_are_escaped(tmp_path):
    mine = monitor(tmp_path, recipients=Recipients())
    evil = "<script>alert(1)</script>"
    lines = [
        line.replace(b"bad text", f"bad {evil}".encode()) for line in stream(raised=range(120, 130))
    ]
    mine.take(Lines(lines, None))
    text = page.write(mine).read_text()
    assert "&lt;script&gt;" in text
    assert "<script" not in text
    assert "default-src 'none'" in text
    assert 'class="alarm"' in text


# History


def test_delays_and_false_alarms_are_counted():
    rows = [(w, 10, 1) for w in range(1000)]
    changes = [Change(100.5 * HOUR, 110 * HOUR), Change(500 * HOUR, 520 * HOUR)]
    found = outcome([10, 102, 104, 300, 900], rows, changes, HOUR, 50)
    assert found.delays == [2.5 * HOUR, None]
    assert (found.false, found.found) == (2, 1)
    assert found.quiet == (950 - 9.5 - 1 - 20 - 1) * HOUR
    low, high = found.false_interval()
    assert low < found.false_a_month < high
    assert outcome([], rows, [], HOUR, 0).false_interval()[0] == 0


@pytest.mark.slow
def test_replay_on_history(tmp_path):
    mine = monitor(tmp_path, SETTINGS)
    mine.take(Lines(list(stream(windows=400, raised=[*range(150, 170), *range(300, 320)])), None))
    mine.finish()
    changes = [Change(START + a * HOUR, START + (a + 20) * HOUR) for a in (150, 300)]
    found = replay.outcomes(mine, changes)
    assert found["CUSUM"].found == 2
    assert max(found["CUSUM"].delays) <= 5 * HOUR
    assert found["CUSUM"].false <= 1
    pytest.importorskip("river")
    assert {"ADWIN", "Page-Hinkley"} < set(found)
    table = replay.report(mine, changes)
    assert "2 of 2" in table


def test_changes_are_read_with_their_lines(tmp_path):
    from lushan.errors import UserError

    path = tmp_path / "changes.jsonl"
    path.write_text('{"start": 0, "end": 10}\n\n{"start": 5, "end": 5}\n')
    with pytest.raises(UserError, match=r"changes.jsonl:3"):
        replay.read_changes(path)


# Killed


def counting(path, folder):
    sources.CHUNK = 4096
    mine = monitor(folder)
    for some in FileSource(path, whole=True).read(mine.position):
        mine.take(some)
    mine.finish()


@pytest.mark.slow
def test_each_text_is_counted_once_whenever_it_is_killed(tmp_path):
    lines = list(stream(windows=400, raised=range(300, 310)))
    write(tmp_path / "in.jsonl", lines)
    rng, killed, code = random.Random(1), 0, None
    while code != 0:
        process = multiprocessing.get_context("fork").Process(
            target=counting, args=(tmp_path / "in.jsonl", tmp_path / "out")
        )
        process.start()
        time.sleep(rng.random() * 0.1)
        if killed < 12:
            process.kill()
            killed += 1
        process.join()
        code = process.exitcode
    mine = monitor(tmp_path / "out")
    whole = monitor(tmp_path / "whole")
    whole.take(Lines(lines, None))
    whole.finish()
    assert mine.store.series("all", 0, 10**9) == whole.store.series("all", 0, 10**9)
    assert mine.store.alarms() == whole.store.alarms()
    assert mine.store.fact("lines") == {"counted": len(lines)}


@pytest.mark.slow(4)
def test_a_file_is_followed_until_ctrl_c(reviews_run, label, tmp_path):
    lines = list(stream(windows=4, each=10))
    write(tmp_path / "in.jsonl", lines[:15])
    ways = ("--watch", label, "--source", "in.jsonl", "--output", "out", "--uncorrected")
    process = command.started("monitor", reviews_run, *ways, "--follow", cwd=tmp_path)
    counted = []
    for number in (15, 40):
        for _ in range(600):
            with contextlib.suppress(sqlite3.Error):
                database = sqlite3.connect(f"file:{tmp_path}/out/state.sqlite?mode=ro", uri=True)
                rows = database.execute("SELECT SUM(texts) FROM counts WHERE series = 'all'")
                counted = [row[0] for row in rows]
                database.close()
            if counted == [number]:
                break
            time.sleep(0.2)
        assert counted == [number]
        with (tmp_path / "in.jsonl").open("ab") as file:
            file.writelines(line + b"\n" for line in lines[15:])
            lines = lines[:15]
    process.send_signal(signal.SIGINT)
    done = command.ended(process, tmp_path)
    assert done.code == 0, done.err
    assert "40 texts counted" in done.out
