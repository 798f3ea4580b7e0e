"""Files that grow, are rotated, truncated, or hold lines beyond all bounds; a URL; a pipe."""

import contextlib
import http.server
import io
import json
import os
import shutil
import threading
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lushan.errors import RunFailed, UserError
from lushan.monitor import sources
from lushan.monitor.opening import source_of
from lushan.monitor.poll import HttpSource
from lushan.monitor.records import Parser, iso, moment_of, seconds
from lushan.monitor.sources import FileSource, FolderSource, PipeSource


def lines(source, position=None):
    found = []
    for some in source.read(position):
        found += some.lines
        position = some.position
    return found, position


@pytest.fixture
def path(tmp_path):
    return tmp_path / "in.jsonl"


def test_a_file_that_grows(path):
    path.write_bytes(b"a\nb\nhal")
    source = FileSource(path, whole=False)
    first, position = lines(source)
    assert first == [b"a", b"b"]
    with path.open("ab") as file:
        file.write(b"f\nc\n")
    position = json.loads(json.dumps(position))
    assert lines(source, position)[0] == [b"half", b"c"]
    assert lines(FileSource(path, whole=True))[0] == [b"a", b"b", b"half", b"c"]


def test_the_last_line_of_a_whole_file_needs_no_end(path):
    path.write_bytes(b"a\nb")
    found, position = lines(FileSource(path, whole=True))
    assert found == [b"a", b"b"]
    assert lines(FileSource(path, whole=True), position)[0] == []


def test_a_rotated_file_is_read_to_its_end(path, tmp_path):
    path.write_bytes(b"a\nb\n")
    source = FileSource(path, whole=False)
    _, position = lines(source)
    with path.open("ab") as file:
        file.write(b"c\nd")
    path.rename(tmp_path / "in.jsonl.1")
    path.write_bytes(b"e\n")
    found, position = lines(source, position)
    assert found == [b"c", b"d", b"e"]
    assert source.counts["file rotated"] == 1
    assert lines(source, position)[0] == []


def test_a_file_that_was_rotated_twice_meanwhile(path, tmp_path):
    path.write_bytes(b"a\n")
    (tmp_path / "in.jsonl.9").write_bytes(b"older\n")
    os.utime(tmp_path / "in.jsonl.9", (1, 1))
    source = FileSource(path, whole=False)
    _, position = lines(source)
    path.rename(tmp_path / "in.jsonl.2")
    for number, name in enumerate(("in.jsonl.1", "in.jsonl"), start=1):
        (tmp_path / name).write_bytes(name.encode() + b"\n")
        os.utime(tmp_path / name, (2**31, 2**31 + number))
    assert lines(source, position)[0] == [b"in.jsonl.1", b"in.jsonl"]


def test_a_file_rotated_while_it_is_open(path, tmp_path, monkeypatch):
    path.write_bytes(b"a\nb\n")
    source = FileSource(path, whole=False)
    found = []
    for some in source.read(None):
        found += some.lines
        if path.read_bytes() == b"a\nb\n":
            path.rename(tmp_path / "in.jsonl.1")
            path.write_bytes(b"c\n")
    assert found == [b"a", b"b", b"c"]


@pytest.mark.parametrize("content", [b"x\n", b"another line\nand more of it\n"])
def test_a_truncated_file_is_read_from_its_start(path, content):
    path.write_bytes(b"a line\nb\n")
    source = FileSource(path, whole=False)
    _, position = lines(source)
    path.write_bytes(content)  # the same inode, as copytruncate does
    assert lines(source, position)[0] == content.splitlines()
    assert sum(source.counts.values()) == 1


def test_a_huge_line_is_skipped_and_counted(path, monkeypatch):
    monkeypatch.setattr(sources, "MOST", 100)
    monkeypatch.setattr(sources, "CHUNK", 64)
    path.write_bytes(b"a\n" + b"x" * 1000 + b"\nb\n" + b"y" * 101 + b"\nc\n" + b"z" * 500)
    source = FileSource(path, whole=True)
    found, _ = lines(source)
    assert found == [b"a", b"b", b"c"]
    assert source.counts[sources.HUGE] == 3


@given(
    st.lists(st.binary(max_size=300).map(lambda b: b.replace(b"\n", b"")), max_size=30),
    st.integers(1, 200),
)
def test_a_position_anywhere_continues_there(tmp_path_factory, parts, chunk):
    path = tmp_path_factory.mktemp("x") / "in"
    path.write_bytes(b"".join(part + b"\n" for part in parts))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sources, "CHUNK", chunk)
        patch.setattr(sources, "MOST", 200)
        found, position, counts = [], None, Counter()
        while True:  # as if it were killed after each piece
            source = FileSource(path, whole=False)
            read = source.read(position)
            some = next((one for one in read if one.position != position), None)
            if some is None:
                break
            counts += source.counts
            found += some.lines
            position = json.loads(json.dumps(some.position))
    assert found == [part for part in parts if len(part) <= 200]
    assert counts.total() == sum(len(part) > 200 for part in parts)


def test_a_folder(tmp_path):
    (tmp_path / "b.jsonl").write_bytes(b"2\n")
    (tmp_path / "a.jsonl").write_bytes(b"1\n")
    (tmp_path / "notes.txt").write_bytes(b"no\n")
    source = FolderSource(tmp_path, whole=False)
    found, position = lines(source)
    assert found == [b"1", b"2"]
    (tmp_path / "c.ndjson").write_bytes(b"3\n")
    with (tmp_path / "a.jsonl").open("ab") as file:
        file.write(b"1b\n")
    assert lines(source, position)[0] == [b"1b", b"3"]


def test_a_folder_may_hold_others_and_vanish(tmp_path):
    folder = tmp_path / "in"
    (folder / "older.jsonl").mkdir(parents=True)
    with pytest.raises(UserError, match="no file in this folder"):
        source_of(str(folder), follow=False, every=1)
    (folder / "a.jsonl").write_bytes(b"1\n")
    source = FolderSource(folder, whole=False)
    found, position = lines(source)
    assert found == [b"1"]
    shutil.rmtree(folder)
    assert lines(source, position)[0] == []
    folder.mkdir()
    (folder / "b.jsonl").write_bytes(b"2\n")
    assert lines(source, position)[0] == [b"2"]


def test_a_pipe():
    assert lines(PipeSource(io.BytesIO(b"a\nb")))[0] == [b"a", b"b"]


@pytest.mark.parametrize("name", ["none.jsonl", "ftp://x/y", "http:///x", "empty", "/dev/null"])
def test_what_is_no_source(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="--source"):
        source_of(name, follow=False, every=1)


# A URL


class Answers(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/there":
            self.send_response(302)
            self.send_header("Location", "/rows")
        elif self.path == "/elsewhere":
            self.send_response(302)
            self.send_header("Location", f"http://localhost:{self.server.server_port + 1}/rows")
        else:
            self.send_response(200 if self.path != "/error" else 500)
        self.end_headers()
        body = {"/rows": b'{"a": 1}\n{"a": 2}\n', "/list": b'[{"a": 1}, {"a": 2}]'}
        with contextlib.suppress(OSError):
            self.wfile.write(body.get(self.path, b"x" * (300_000 if self.path == "/big" else 1)))

    def log_message(self, *_):
        pass


@pytest.fixture
def url(socket_enabled):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("name", ["rows", "list", "there"])
def test_a_url(url, name):
    found, _ = lines(HttpSource(f"{url}/{name}", every=1))
    assert [json.loads(line)["a"] for line in found if line] == [1, 2]


@pytest.mark.parametrize(
    ("name", "why"), [("elsewhere", "another host"), ("error", "500"), ("big", "MiB")]
)
def test_a_url_that_is_not_read(url, name, why, monkeypatch):
    monkeypatch.setattr("lushan.monitor.poll.MOST", 100_000)
    with pytest.raises(RunFailed, match=why):
        lines(HttpSource(f"{url}/{name}", every=1))


def test_a_failed_request_is_no_end(url, capsys):
    source = HttpSource(f"{url}/error", every=0.01)
    following = source.follow(None)
    assert [next(following).lines for _ in range(3)] == [[], [], []]
    assert source.counts["failed requests"] >= 2
    assert "500" in capsys.readouterr().err


# Records


def test_times():
    assert moment_of("2024-05-01T12:00:00+02:00") == moment_of("2024-05-01T10:00:00")
    assert moment_of(1714557600000) == moment_of(1714557600) == moment_of("2024-05-01T10:00:00Z")
    assert iso(1714557600) == "2024-05-01T10:00:00Z"
    for wrong in ("soon", True, None, [], 1e400, float("nan"), -5, 10**30, "1900-01-01", "9" * 99):
        assert moment_of(wrong) is None


@pytest.mark.parametrize(
    ("text", "length"),
    [("1h", 3600), ("90s", 90), ("15min", 900), ("day", 86400), ("2 weeks", 1209600)],
)
def test_lengths_of_time(text, length):
    assert seconds(text) == length


@pytest.mark.parametrize("text", ["", "h1", "0h", "1 fortnight", "-1h", "1"])
def test_what_is_no_length(text):
    with pytest.raises(ValueError, match="1h"):
        seconds(text)


@given(
    st.binary(max_size=200)
    | st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(max_size=9) | st.integers(),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(["text", "time", "id"]), inner)
        ),
        max_leaves=6,
    ).map(lambda value: json.dumps(value).encode())
)
def test_any_line_is_a_record_or_is_counted(line):
    parser = Parser()
    record = parser.parse(line, 0.0)
    assert (record is None) == (parser.counts.total() == 1 or not line.strip())
