"""Files of a cache: proved when they are first used, made again when damaged."""

import json

import pytest

from lushan.run import caches, hashes
from lushan.run.caches import is_whole, provide, read_note, replacing, write_note


def made(path, content=b"0123456789" * 100):
    calls = []

    def make():
        calls.append(path)
        with replacing(path) as file:
            file.write(content)

    provide(path, make)
    return len(calls)


def flipped(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)


def cut(path):
    path.write_bytes(path.read_bytes()[:-20])


def emptied(path):
    path.write_bytes(b"")


def removed(path):
    path.unlink()


DAMAGES = [flipped, cut, emptied, removed]


@pytest.mark.fault(67)
@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", ["x.arrow", "x.arrow.sha256"])
def test_a_damaged_file_is_made_again_with_one_line(name, damage, tmp_path, caplog):
    path = tmp_path / "x.arrow"
    assert made(path) == 1
    damage(tmp_path / name)
    caches._proved.clear()  # as another process would see it
    assert made(path) == 1
    assert path.read_bytes() == b"0123456789" * 100
    assert is_whole(path)
    printed = 0 if name == "x.arrow" and damage is removed else 1
    assert [str(path) in text for text in caplog.messages] == [True] * printed
    caches._proved.clear()
    assert made(path) == 0


@pytest.mark.fault(67)
def test_the_file_of_another_name_is_no_whole_one(tmp_path):
    one, other = tmp_path / "one.arrow", tmp_path / "other.arrow"
    made(one, b"one")
    made(other, b"other")
    for end in ("", ".sha256"):  # with its checksum
        (tmp_path / f"one.arrow{end}").write_bytes((tmp_path / f"other.arrow{end}").read_bytes())
    assert made(one, b"one") == 1


def test_a_file_is_read_for_its_checksum_once_in_a_process(tmp_path, monkeypatch):
    path = tmp_path / "x.arrow"
    made(path)
    assert is_whole(path)
    monkeypatch.setattr(caches.files, "sha256_file", None)
    assert is_whole(path)


@pytest.mark.fault(67)
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_note_is_no_note(damage, tmp_path):
    path = tmp_path / "5.json"
    write_note(path, json.dumps({"row": "é\n"}))
    assert json.loads(read_note(path)) == {"row": "é\n"}
    (tmp_path / "6.json").write_bytes(path.read_bytes())
    assert read_note(tmp_path / "6.json") is None
    damage(path)
    assert read_note(path) is None


@pytest.mark.fault(67)
def test_a_damaged_note_on_a_files_hash_is_not_believed(tmp_path):
    file = tmp_path / "large"
    file.write_bytes(b"x" * hashes.LARGE)
    right = hashes.sha256(file, memory=tmp_path / "notes")
    (note,) = (tmp_path / "notes").iterdir()
    flipped(note)
    assert hashes.sha256(file, memory=tmp_path / "notes") == right
    assert read_note(note) == right


@pytest.mark.slow(1)
def test_a_folder_of_many_files_is_read_once(tmp_path, monkeypatch):
    files = [tmp_path / f"{number}.png" for number in range(5000)]
    for file in files:
        file.write_text(file.name)
    first = [hashes.sha256(file) for file in files]
    monkeypatch.setattr(hashes.hashlib, "file_digest", None)
    assert [hashes.sha256(file) for file in files] == first
