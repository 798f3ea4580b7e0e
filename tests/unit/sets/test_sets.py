"""Public data sets, downloaded from a server of this machine that fails in every way."""

import gzip
import hashlib
import io
import json
import re
import shutil
import tarfile
import threading
import zipfile
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from omegaconf import OmegaConf

from lushan import public_sets
from lushan.config.compose import built_in_conf, compose
from lushan.data.formats import Conll
from lushan.errors import RunFailed, UserError
from lushan.run.identity import run_id
from lushan.sets import download, prepare, store
from lushan.sets.archives import unpack

TRAIN = b"Anna B-person\nlives O\n\n" * 50_000  # a megabyte: several blocks
DEV = b"Bo B-person\nsings O\n"


class Server(ThreadingHTTPServer):
    """Serves `files`; `answers` holds what is done instead, a path's next one first."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files, self.answers, self.asked = {}, {}, []

    def url(self, path):
        return f"http://127.0.0.1:{self.server_address[1]}/{path}"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def do_GET(self):
        path = self.path.lstrip("/")
        self.server.asked.append((path, self.headers.get("Range")))
        steps = self.server.answers.get(path) or [None]
        step = steps.pop(0)
        content = self.server.files.get(path)
        if isinstance(step, int) or content is None:
            self.send_response(step or 404)
            self.send_header("Retry-After", "0")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        start = int(re.match(r"bytes=(\d+)-", self.headers.get("Range", "bytes=0-"))[1])
        if step == "no ranges":
            start = 0
        self.send_response(206 if start else 200)
        if start:
            whole = len(content)
            self.send_header("Content-Range", f"bytes {start}-{whole - 1}/{whole}")
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        part = content[start:]
        if step == "break":
            self.wfile.write(part[: len(part) // 2])
            self.close_connection = True
            return
        self.wfile.write(part)


@pytest.fixture
def server():
    with Server() as one:
        threading.Thread(target=one.serve_forever, kwargs={"poll_interval": 0.01}).start()
        one.files = {"train": TRAIN, "dev": DEV}
        yield one
        one.shutdown()


@pytest.fixture
def known(server, tmp_path, monkeypatch):
    """Describe a set of the server; the environment is a bare one, with a cache of its own."""
    monkeypatch.setattr(download, "FIRST_PAUSE", 0.0)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv(public_sets.VARIABLE, str(tmp_path / "sets"))
    for name in (store.FOLDER, "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    store.folder_of.cache_clear()

    def write(*, hashes=True, prepare="as_they_are", mirrors=("",), **more):
        entry = {"title": "Tiny", "licence": "MIT", "source": "https://example.org", **more}
        entry |= {"prepare": prepare, "downloads": {}}
        for name, content in server.files.items():
            urls = [server.url(mirror + name) for mirror in mirrors]
            one = {"urls": urls, "bytes": len(content)}
            one |= {"sha256": hashlib.sha256(content).hexdigest()} if hashes else {}
            entry["downloads"][f"{name}.conll" if prepare != "unpacked" else name] = one
        file = tmp_path / "sets" / "tiny.yaml"
        file.parent.mkdir(exist_ok=True)
        file.write_text(json.dumps(entry))
        return file

    yield write
    store.folder_of.cache_clear()


def sha256(content):
    return hashlib.sha256(content).hexdigest()


def get(note=lambda line: None):
    return store.get(public_sets.find("tiny"), note)


def test_a_set_is_downloaded_once_and_as_a_whole(known, server, cli_inside):
    known()
    done = cli_inside("data", "get", "tiny", "--json")
    assert done.code == 0, done.err
    (found,) = json.loads(done.out)
    folder = store.cache() / "tiny"
    assert found["folder"] == str(folder)
    assert (folder / "train.conll").read_bytes() == TRAIN
    assert sorted(p.name for p in store.cache().iterdir()) == [".downloads", "tiny"]
    assert len(server.asked) == 2
    again = cli_inside("data", "get", "tiny", "--quiet")
    assert (again.out.strip(), again.err, len(server.asked)) == (str(folder), "", 2)
    (folder / "dev.conll").write_bytes(b"changed")
    get()
    assert (folder / "dev.conll").read_bytes() == DEV
    assert "here  Tiny; MIT" in cli_inside("data", "list").out


def test_a_broken_connection_is_resumed_where_it_broke(known, server):
    known()
    server.answers = {"train": ["break"]}
    get()
    ranges = [r for path, r in server.asked if path == "train"]
    assert ranges[0] is None
    assert 0 < int(ranges[1][6:-1]) <= len(TRAIN) // 2


def test_what_an_interrupted_download_left_is_resumed(known, server, monkeypatch):
    known()

    def interrupt(there):
        if there > 300_000:
            raise KeyboardInterrupt

    one = public_sets.find("tiny").downloads[0]
    raw = store.cache() / ".downloads" / "tiny"
    raw.mkdir(parents=True)
    with pytest.raises(KeyboardInterrupt):
        download.fetch(one, raw, interrupt)
    (part,) = raw.iterdir()
    assert part.name == "train.conll.part"
    assert store.local("tiny") is None
    server.asked.clear()
    assert (get() / "train.conll").read_bytes() == TRAIN
    assert server.asked[0] == (
        "train",
        f"bytes={part.stat().st_size if part.exists() else 524288}-",
    )


def test_a_server_without_ranges_is_read_from_the_start(known, server):
    known()
    server.answers = {"train": ["break", "no ranges"]}
    assert (get() / "train.conll").read_bytes() == TRAIN


def test_a_failing_server_is_asked_again_and_then_a_mirror(known, server):
    known(mirrors=("", "mirror/"))
    server.files |= {"mirror/train": TRAIN}
    server.answers = {"train": [503] * download.TRIES, "dev": [500, 429]}
    get()
    asked = Counter(path for path, _ in server.asked)
    assert asked == {"train": download.TRIES, "mirror/train": 1, "dev": 3}


def test_another_file_is_removed_and_refused(known, server, cli_inside):
    known(mirrors=("", "mirror/"))
    server.files = {"train": TRAIN[:-1] + b"x", "dev": DEV}
    done = cli_inside("data", "get", "tiny")
    assert done.code == 1
    assert "the downloaded file is wrong and was deleted: its SHA-256 is" in done.err
    assert "mirror/train: the server returns 404" in done.err
    assert not [p for p in store.cache().rglob("*") if p.is_file()]
    server.files["train"] = TRAIN
    get()


def test_a_hash_of_git_will_do(known, server, tmp_path):
    file = known()
    entry = json.loads(file.read_text())
    del entry["downloads"]["dev.conll"]["sha256"]
    blob = hashlib.sha1(b"blob %d\0" % len(DEV) + DEV).hexdigest()
    entry["downloads"]["dev.conll"]["git_blob"] = blob
    file.write_text(json.dumps(entry))
    get()
    server.files["dev"] = DEV[::-1]
    shutil.rmtree(store.cache())
    with pytest.raises(RunFailed, match="its Git hash is"):
        get()


def test_a_hash_that_was_not_known_is_recorded_and_held_to(known, server):
    known(hashes=False)
    notes = []
    folder = get(notes.append)
    meant = hashlib.sha256(TRAIN).hexdigest()
    assert notes[0] == f"train.conll: SHA-256 recorded at this first download: {meant}"
    (folder / "train.conll").unlink()
    server.files["train"] = TRAIN[::-1]
    with pytest.raises(RunFailed, match="has changed: its SHA-256 is"):
        get(notes.append)


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"train.conll": sha256(TRAIN), "dev.conll.gz": sha256(DEV)}, None),
        ({"train.conll": sha256(DEV), "dev.conll.gz": None}, "train.conll differs from"),
        ({"train.conll": None, "test.conll": None}, "test.conll was not created from"),
    ],
)
def test_what_is_made_is_compared_with_what_is_known(files, said, known, server):
    server.files["dev"] = gzip.compress(DEV)
    entry = json.loads((file := known(files=files)).read_text())
    entry["downloads"]["dev.conll.gz"] = entry["downloads"].pop("dev.conll")
    file.write_text(json.dumps(entry))
    if said is None:
        folder = get()
        assert gzip.decompress((folder / "dev.conll.gz").read_bytes()) == DEV
        assert json.loads((folder / store.RECORD).read_text())["files"].keys() == files.keys()
        return
    with pytest.raises(RunFailed, match=said):
        get()
    assert sorted(p.name for p in store.cache().iterdir()) == [".downloads"]


def test_a_full_disk_is_seen_before(known, server, monkeypatch, cli_inside):
    known()
    usage = shutil.disk_usage("/")
    monkeypatch.setattr(shutil, "disk_usage", lambda place: usage._replace(free=1000))
    done = cli_inside("data", "get", "tiny")
    assert done.code == 2
    assert "MB are needed" in done.err
    assert server.asked == []


def test_only_what_everyone_may_have_is_downloaded_unasked(known, server, cli_inside, monkeypatch):
    known(licence="CC BY-NC (no commercial use)")
    done = cli_inside("data", "get", "tiny")
    assert (done.code, server.asked) == (2, [])
    assert "Add --yes." in done.err
    with pytest.raises(UserError, match="Run lushan data get tiny") as caught:
        store.folder_of("set://tiny", "data.dir")
    assert "Offline, set data.dir=FOLDER with" in str(caught.value)
    assert cli_inside("data", "get", "tiny", "--yes").code == 0


def test_a_source_downloads_its_set(known, server, monkeypatch, capsys):
    known()
    source = Conll(dir="set://tiny", train="dev.conll", validation="train.conll")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(UserError, match=r"is not on this machine \(HF_HUB_OFFLINE is set\)"):
        source.path_of("train", "dev.conll")
    with pytest.raises(UserError, match="downloads are not allowed"):
        get()
    monkeypatch.delenv("HF_HUB_OFFLINE")
    assert source.path_of("train", "dev.conll") == store.cache() / "tiny" / "dev.conll"
    assert capsys.readouterr().err.startswith("tiny: downloading")


def test_the_place_of_a_set_is_not_its_run(tmp_path, monkeypatch):
    plain = OmegaConf.to_container(compose(["experiment=ner/wnut17"]), resolve=True)
    assert plain["data"]["dir"] == "set://wnut17"
    before = run_id(plain)
    monkeypatch.setenv(store.FOLDER, str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert run_id(plain) == before


def test_a_folder_that_holds_the_files_of_a_set_is_the_set(known, tmp_path, monkeypatch):
    text = gzip.compress(DEV * 50)
    known(files={"train.conll": sha256(TRAIN), "dev.conll.gz": sha256(DEV * 50), "x": None})
    monkeypatch.setattr(public_sets, "PUBLIC", tmp_path / "sets")
    public_sets.public.cache_clear()
    folder = tmp_path / "copy"
    folder.mkdir()
    for name, content in {"train.conll": TRAIN, "dev.conll.gz": text, "x": DEV}.items():
        (folder / name).write_bytes(content)

    def id_of(place, **more):
        data = {"train": "train.conll", "validation": "dev.conll.gz", "prompt": "x" * 999, **more}
        return run_id({"data": {"dir": str(place), **data}})

    named = "set://tiny"
    assert id_of(folder) == id_of(named) == id_of(tmp_path / "sets" / ".." / "copy")
    one, other = (
        {"data": {"sources": {"a": {"dir": place, "train": "train.conll"}}}}
        for place in (named, str(folder))
    )
    assert run_id(one) == run_id(other)
    for more in ({"test": "x"}, {"test": ["*.conll"]}, {"train": "no file", "validation": None}):
        assert id_of(folder, **more) != id_of(named, **more)
    (folder / "dev.conll.gz").write_bytes(text[:-20])  # damaged: whoever reads it says so
    assert id_of(folder) != id_of(named)
    public_sets.public.cache_clear()


def test_a_folder_of_the_user_is_taken_first(known, tmp_path, monkeypatch):
    known()
    (tmp_path / "own" / "tiny").mkdir(parents=True)
    monkeypatch.setenv(store.FOLDER, str(tmp_path / "own"))
    assert store.local("tiny") == tmp_path / "own" / "tiny"


def archive(kind, names):
    sink = io.BytesIO()
    if kind == "zip":
        with zipfile.ZipFile(sink, "w") as file:
            for name in names:
                file.writestr(name, b"x")
    else:
        with tarfile.open(fileobj=sink, mode="w:gz") as file:
            for name in names:
                entry = tarfile.TarInfo(name.removeprefix("link:"))
                if name.startswith("link:"):
                    entry.type, entry.linkname = tarfile.SYMTYPE, "/etc"
                    file.addfile(entry)
                else:
                    entry.size = 1
                    file.addfile(entry, io.BytesIO(b"x"))
    return sink.getvalue()


@pytest.mark.parametrize("kind", ["zip", "tar"])
@pytest.mark.parametrize("name", ["../out", "/out", "a/../../out"])
def test_no_member_leaves_the_folder(kind, name, tmp_path):
    (tmp_path / "a").write_bytes(archive(kind, ["inside/x", name]))
    with pytest.raises(UserError, match="outside of the folder"):
        unpack(tmp_path / "a", tmp_path / "to")
    assert not (tmp_path / "out").exists()


def test_links_are_refused_and_damage_is_named(tmp_path):
    (tmp_path / "a").write_bytes(archive("tar", ["link:b"]))
    with pytest.raises(UserError, match="is a link"):
        unpack(tmp_path / "a", tmp_path / "to")
    (tmp_path / "b").write_bytes(archive("tar", ["x"] * 200)[:100])
    with pytest.raises(UserError, match="damaged"):
        unpack(tmp_path / "b", tmp_path / "to")


def test_an_archive_of_ones_own_is_unpacked(known, server):
    server.files = {"a.zip": archive("zip", ["train/x.txt"]), "b": b"plain"}
    known(prepare="unpacked")
    folder = get()
    assert (folder / "train" / "x.txt").read_bytes() == b"x"
    assert (folder / "b").read_bytes() == b"plain"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"urls": ["ftp://example.org/x"]}, "not an HTTPS address"),
        ({"urls": ["http://example.org/x"]}, "not an HTTPS address"),
        ({"urls": []}, "has no address"),
        ({"urls": [], "path": "x"}, "github: OWNER/NAME@COMMIT"),
        ({"sha256": 5}, "Expected `str`"),
    ],
)
def test_a_description_is_checked(change, said, known):
    file = known()
    entry = json.loads(file.read_text())
    entry["downloads"]["dev.conll"] |= change
    file.write_text(json.dumps(entry))
    with pytest.raises(UserError, match=re.escape(said)):
        public_sets.find("tiny")


def test_names_stay_inside(known):
    file = known()
    entry = json.loads(file.read_text())
    entry["downloads"]["../x"] = entry["downloads"].pop("dev.conll")
    file.write_text(json.dumps(entry))
    with pytest.raises(UserError, match="is not a valid name"):
        public_sets.find("tiny")


def test_every_preset_names_its_set():
    sets = public_sets.known()
    named = dict[str, set[str]]()
    for path in (built_in_conf() / "data").glob("*.yaml"):
        if found := re.search(r"^dir: set://(\w+)$", path.read_text(), re.M):
            named.setdefault(found[1], set()).add(path.stem)
    assert named == {name: set(one.presets) for name, one in sets.items()}
    for one in sets.values():
        assert all(d.is_known for d in one.downloads), one.name
        assert one.prepare in prepare.BY_NAME


def test_the_hubs_name_and_a_presets_lead_to_the_set():
    assert public_sets.find("leondz/wnut_17").name == "wnut17"
    assert public_sets.find("phrasebank").name == "financial_phrasebank"
    with pytest.raises(UserError, match="Did you mean 'wnut17'"):
        public_sets.find("wnut7")


DIALOGUE = {
    "type": "t",
    "task description": ["d"],
    "goal": [],
    "messages": [{"role": "usr", "content": "a", "dialog_act": [], "user_state": []}],
}
TURN = {"speaker": "USER", "utterance": "a", "frames": [{"actions": [{"act": "B"}, {"act": "A"}]}]}


def zipped(name, text):
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as file:
        file.writestr(name, text)
    return sink.getvalue()


@pytest.mark.parametrize(
    ("name", "raw", "file", "row"),
    [
        ("wnut17", {"t": b"a\tO\n\t\nb\tO\n"}, "t", "a\tO\n\nb\tO\n"),
        (
            "crosswoz",
            {"val.json.zip": zipped("val.json", json.dumps({"7": DIALOGUE}))},
            "val.jsonl.gz",
            {
                "id": "7",
                "type": "t",
                "task": ["d"],
                "messages": [{"role": "usr", "content": "a", "dialog_act": []}],
            },
        ),
        (
            "sgd",
            {
                f"{s}.001.json": json.dumps(
                    [{"dialogue_id": "1", "services": ["s"], "turns": [TURN]}]
                ).encode()
                for s in ("train", "dev", "test")
            },
            "dev.jsonl.gz",
            {
                "id": "1",
                "services": ["s"],
                "turns": [{"speaker": "USER", "utterance": "a", "acts": ["A", "B"]}],
            },
        ),
        (
            "financial_phrasebank",
            {
                "50agree.csv": "label,x\nneutral,é\n".encode("latin-1"),
                "allagree.csv": b"i,s,l\n0,a,2\n",
            },
            "sentences_allagree.csv",
            "label,sentence\npositive,a\n",
        ),
        (
            "ml_latest_small",
            {"ratings.csv": b"u,m\n1,2\n999,999999,5.0,1493846415"},
            "ratings.csv.gz",
            "u,m\n1,2\n",
        ),
    ],
)
def test_sets_are_prepared(name, raw, file, row, tmp_path):
    given, made = tmp_path / "raw", tmp_path / "made"
    given.mkdir()
    made.mkdir()
    for one, content in raw.items():
        (given / one).write_bytes(content)
    prepare.BY_NAME[name](given, made)
    content = (made / file).read_bytes()
    text = (gzip.decompress(content) if file.endswith(".gz") else content).decode()
    assert (text if isinstance(row, str) else json.loads(text)) == row
