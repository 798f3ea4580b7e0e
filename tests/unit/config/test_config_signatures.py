"""Annotations to kinds, kinds to words, and signatures that are remembered on disk."""

import enum
import json
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, NewType, TypedDict, Union

import pytest

from lushan.config import signatures, types
from lushan.config.check_cache import remembered
from lushan.config.signatures import cache_file, read, signature
from lushan.config.types import ANY, fits, kind_of, repair, words
from lushan.run.caches import read_note


class Colour(enum.Enum):
    RED = "r"


class Row(TypedDict):
    a: int


INT, STR, NONE, FLOAT, BOOL = ["int"], ["str"], ["none"], ["float"], ["bool"]


@pytest.mark.parametrize(
    ("annotation", "kind"),
    [
        (int, INT),
        (int | None, ["union", INT, NONE]),
        (Union[int, str], ["union", INT, STR]),  # noqa: UP007
        (Literal["a", 1], ["literal", "a", 1]),
        (list[int], ["list", INT]),
        (Sequence[str], ["list", STR]),
        (tuple[int, ...], ["list", INT]),
        (tuple[int, str], ["tuple", INT, STR]),
        (dict[str, int], ["dict", INT]),
        (Mapping[str, Any], ["dict", ANY]),
        (Annotated[int, "x"], INT),
        (NewType("Id", str), STR),
        (Path, STR),
        (os.PathLike, STR),
        (bytes, STR),
        (Colour, ["literal", "r", "RED"]),
        (Row, ["dict", ANY]),
        (list, ["list", ANY]),
        (Any, ANY),
        ("Unresolved", ANY),
        (Callable[..., int], ["object", "Callable"]),
        (Path | list[Colour], ["union", STR, ["list", ["literal", "r", "RED"]]]),
        (pytest.Item, ["object", "Item"]),
    ],
)
def test_the_kind_of_an_annotation(annotation, kind):
    assert kind_of(annotation) == kind
    assert json.loads(json.dumps(kind)) == kind


MADE = {"_target_": "a.b"}


@pytest.mark.parametrize(
    ("kind", "right", "wrong"),
    [
        (INT, [0, -1], [True, 1.0, "1", None, MADE]),
        (FLOAT, [0, 1.5, float("inf")], [True, "1", None, MADE]),
        (BOOL, [True], [1, "true", MADE]),
        (STR, ["", "x"], [1, None, [], MADE]),
        (NONE, [None], ["null", False, MADE]),
        (ANY, [None, 1, {}, MADE], []),
        (["literal", "a", 1], ["a", 1], ["b", True, 1.0, MADE]),
        (["union", INT, NONE], [1, None], ["1", MADE]),
        (["list", INT], [[], [1], (1,)], [1, [True], ["1"], {}, MADE]),
        (["list", ANY], [[], [MADE], MADE], [1, "x"]),
        (["tuple", INT, STR], [[1, "a"]], [[1], [1, "a", "b"], ["a", 1], MADE]),
        (["dict", INT], [{}, {"a": 1}], [{"a": "b"}, [], MADE]),
        (["object", "Callback"], [MADE, {}, []], [1, "x", None]),
        (["union", STR, ["object", "Strategy"]], ["ddp", MADE], [1, None]),
    ],
)
def test_what_fits(kind, right, wrong):
    assert [value for value in right if not fits(value, kind)] == []
    assert [value for value in wrong if fits(value, kind)] == []


@pytest.mark.parametrize(
    ("kind", "printed"),
    [
        (["union", INT, NONE], "a whole number or null"),
        (["union", ["union", INT, STR], NONE], "a whole number or text or null"),
        (["literal", "a", "b", 3], "one of a, b, 3"),
        (["literal", "a"], "a"),
        (["list", STR], "a list of text"),
        (["tuple", INT, INT], "[a whole number, a whole number]"),
        (["object", "Callback"], "a Callback (a mapping with a _target_)"),
    ],
)
def test_a_kind_in_words(kind, printed):
    assert words(kind) == printed


QUOTED = "Text that looks like another type needs quotes"


@pytest.mark.parametrize(
    ("value", "kind", "printed"),
    [
        ("3", INT, "Write 3 without quotes."),
        ("1e-3", FLOAT, "Write 1e-3 without quotes."),
        ("True", BOOL, "Write true without quotes."),
        (3.0, INT, "Write 3."),
        (True, INT, "Write 1."),
        (3.5, INT, None),
        ("x", INT, None),
        (float("nan"), INT, None),
        (float("inf"), INT, None),
        (12, ["str"], f"{QUOTED}: \"'12'\" in a shell."),
        (False, ["str"], f"{QUOTED}: \"'false'\" in a shell."),
    ],
)
def test_a_repair(value, kind, printed):
    assert repair(value, kind) == printed


def test_what_yaml_can_write():
    assert types.writable(["union", STR, ["object", "A"]])
    assert not types.writable(["union", NONE, ["object", "A"]])
    assert not types.writable(["list", ["object", "A"]])


class Above:
    def __init__(self, lr: float, *, late: object, name: str = None, **kwargs) -> None: ...  # noqa: RUF013


class Below(Above):
    def __init__(self, width: "int", **kwargs: Any) -> None: ...

    @classmethod
    def check(cls, cfg): ...


def test_a_signature_goes_through_to_the_class_above():
    found = read(Below)
    kinds_ = {p.name: p.kind for p in found.parameters.values()}
    assert kinds_ == {
        "width": INT,
        "lr": FLOAT,
        "late": ANY,
        "name": ["union", STR, NONE],
    }
    assert found.parameters["width"].required
    assert found.parameters["late"].late
    assert not found.parameters["lr"].late
    assert found.open
    assert found.checks == ("check",)
    assert not read(lambda a: a).open


class Referred:
    """What others refer to.

    Args:
        size: In pixels.
        way: See `refers`.
    """


def refers(size=1, way=len, far=max, name=Referred, other=2):
    """Refer to others.

    Args:
        size: See `Referred`.
        way: See `Referred`.
        far: See `nowhere.at_all`; the largest by default.
        name: See `Referred`.
        other: A number. See `Referred`.
    """


def test_a_meaning_is_taken_from_where_it_refers_to():
    found = read(refers).parameters
    assert {name: one.meaning for name, one in found.items()} == {
        "size": "In pixels.",
        "way": "",  # they refer to each other
        "far": "the largest by default.",
        "name": "",
        "other": "A number. See `Referred`.",
    }
    own = signature("lushan.models.encoders.fresh").parameters
    other = signature("lushan.models.encoders.pretrained").parameters
    shared = own.keys() & other.keys()
    assert {"attention", "auto_class", "wrap"} <= shared
    assert all(own[name].meaning == other[name].meaning != "" for name in shared)


def test_a_callable_is_named_where_it_is_a_default():
    found = read(refers).parameters
    assert found["way"].default == ("builtins.len",)
    assert found["name"].default == (f"{__name__}.Referred",)
    wrap = signature("lushan.models.encoders.pretrained").parameters["wrap"]
    assert wrap.default == ("lushan.models.encoders.encoder_of",)


def test_a_model_config_takes_what_its_model_reads():
    found = signature("transformers.DebertaV2Config", "model.config")
    assert {"hidden_size", "position_buckets", "share_att_key"} <= set(found.parameters)


@pytest.fixture
def cache(here, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(here))
    monkeypatch.setattr(signatures, "_BEGAN", time.time_ns() + 10**12)  # modules of tests are new
    monkeypatch.setattr(signatures, "_entries", {})  # pytest may use a folder's name again
    return cache_file()


def kept(cache, name):
    """The entries of a target on disk: one for each place that it was found in."""
    entries = json.loads(read_note(cache) or "")["signatures"]
    return [entry for key, entry in entries.items() if key.partition(" ")[0] == name]


def remembered_by_another_process():
    signatures._entries.clear()


def test_a_signature_is_remembered_on_disk(cache, monkeypatch):
    first = signature("torch.optim.SGD")
    assert kept(cache, "torch.optim.SGD")
    remembered_by_another_process()
    monkeypatch.setattr(signatures, "read", lambda _: pytest.fail("it was read again"))
    assert signature("torch.optim.SGD") == first


@pytest.mark.fault(67)
@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"verdicts": 3}', "bit", "key", "pipe"])
def test_a_damaged_memory_is_written_anew(cache, text):
    first = signature("torch.optim.SGD")
    content = cache.read_text()
    damaged = {
        "bit": content.replace('"required": false', '"required": galse', 1),
        "key": content.replace('"positional"', '"pozitional"', 1),
    }
    cache.unlink()
    os.mkfifo(cache) if text == "pipe" else cache.write_text(damaged.get(text, text))
    remembered_by_another_process()
    assert signature("torch.optim.SGD") == first
    assert kept(cache, "torch.optim.SGD")


class Power:
    def __init__(self, base: int, power: float, **more: int) -> None: ...


class Square(Power):
    def __init__(self, base: int, **more: int) -> None:
        super().__init__(base, power=2.0, **more)


def test_what_a_class_gives_itself_is_no_argument():
    assert set(read(Square).parameters) == {"base"}
    assert set(read(Power).parameters) == {"base", "power"}


def test_a_changed_file_is_read_again(cache, here, monkeypatch):
    module = here / "changing_one.py"
    module.write_text("class A:\n    def __init__(self, a: int): ...\n")
    monkeypatch.setenv("LUSHAN_TARGETS", "changing_one.")
    monkeypatch.syspath_prepend(here)
    try:
        assert set(signature("changing_one.A").parameters) == {"a"}
        remembered_by_another_process()
        module.write_text("class A:\n    def __init__(self, a: int, bc: int): ...\n")
        monkeypatch.delitem(sys.modules, "changing_one")
        assert set(signature("changing_one.A").parameters) == {"a", "bc"}
    finally:
        sys.modules.pop("changing_one", None)


def test_what_was_imported_before_its_file_changed_is_not_remembered(cache, here, monkeypatch):
    module = here / "changing_two.py"
    module.write_text("class A:\n    def __init__(self, a: int): ...\nclass B(A): ...\n")
    monkeypatch.setenv("LUSHAN_TARGETS", "changing_two.")
    monkeypatch.syspath_prepend(here)
    monkeypatch.setattr(signatures, "_BEGAN", time.time_ns())
    try:
        signature("changing_two.A")
        module.write_text("class A:\n    def __init__(self, bc: int): ...\nclass B(A): ...\n")
        assert set(signature("changing_two.B").parameters) == {"a"}  # of this process
        assert remembered(["?"], "changing_two.B", lambda: 1) == 1
        del sys.modules["changing_two"]
        remembered_by_another_process()
        assert set(signature("changing_two.B").parameters) == {"bc"}
        assert remembered(["?"], "changing_two.B", lambda: 2) == 2
    finally:
        sys.modules.pop("changing_two", None)


def test_another_project_s_package_of_the_same_name_is_another(cache, here, monkeypatch):
    monkeypatch.setenv("LUSHAN_TARGETS", "of_two_projects.")
    for name in ("a", "b"):
        (here / name).mkdir()
        module = here / name / "of_two_projects.py"
        module.write_text(f"class A:\n    def __init__(self, {name}: int): ...\n")
        with monkeypatch.context() as project:
            project.syspath_prepend(here / name)
            assert set(signature("of_two_projects.A").parameters) == {name}
        del sys.modules["of_two_projects"]
        remembered_by_another_process()
    assert len(kept(cache, "of_two_projects.A")) == 2
    monkeypatch.setattr(signatures, "read", lambda _: pytest.fail("it was read again"))
    for name in ("a", "b", "a"):  # neither forgets what the other has read
        with monkeypatch.context() as project:
            project.syspath_prepend(here / name)
            assert set(signature("of_two_projects.A").parameters) == {name}
        remembered_by_another_process()


def test_what_another_process_has_written_meanwhile_is_kept(cache):
    signature("torch.optim.SGD")
    here, signatures._entries[cache] = (
        signatures._entries[cache],
        {"signatures": {}, "verdicts": {}},
    )
    signature("torch.optim.Adam")  # by a process that had begun before
    signatures._entries[cache] = here
    signatures.check_results()["x"] = 1
    signatures.save()
    assert kept(cache, "torch.optim.SGD")
    assert kept(cache, "torch.optim.Adam")


def test_a_folder_that_cannot_be_written_is_no_harm(here, monkeypatch):
    (here / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(here / "file"))
    assert "momentum" in signature("torch.optim.SGD").parameters
