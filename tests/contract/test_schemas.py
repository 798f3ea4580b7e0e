"""Schemas for editors: every preset names its own and fits it, and a mistyped key does not."""

import functools
import json
import re

import jsonschema
import pytest
import referencing
from omegaconf import OmegaConf

from lushan.config import json_schema
from lushan.config.folders import built_in_conf
from lushan.config.types import fits

CONF = built_in_conf()
FOLDER = CONF.parent / "schemas"
NAMED = re.compile(r"^# yaml-language-server: \$schema=(\S+)$", re.MULTILINE)
FILES = [f for f in sorted(CONF.rglob("*.yaml")) if json_schema.schema_of(CONF, f)]
IDS = [f.relative_to(CONF).as_posix() for f in FILES]


@functools.cache
def validator(path):
    found = [(p.name, json.loads(p.read_text(encoding="utf-8"))) for p in FOLDER.glob("*.json")]
    pairs = [(name, referencing.Resource.from_contents(content)) for name, content in found]
    registry = referencing.Registry().with_resources(pairs)
    return jsonschema.Draft202012Validator(dict(found)[path.name], registry=registry)


def of(file):
    (there,) = NAMED.findall(file.read_text(encoding="utf-8"))
    path = (file.parent / there).resolve()
    assert path == FOLDER / json_schema.schema_of(CONF, file)
    return validator(path)


def content(file):
    return OmegaConf.to_container(OmegaConf.load(file), resolve=False)


@pytest.mark.parametrize("file", FILES, ids=IDS)
def test_a_preset_fits_its_schema_and_a_mistyped_key_does_not(file):
    schema, node = of(file), content(file)
    assert [error.message for error in schema.iter_errors(node)] == []
    inner = [v for v in node.values() if isinstance(v, dict) and "_target_" in v]
    # The names of callbacks and loggers are anybody's, the keys of one are not.
    where = node if file.parent.name not in ("callbacks", "logger") else next(iter(inner), None)
    if where is not None:
        where["no_such_key"] = 1
        assert not schema.is_valid(node)


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        (["union", ["within", ["int"], 1, None, None, None], ["none"]], [3, None], [0, "x", 1.5]),
        (["literal", "a", "b"], ["a"], ["c", 1]),
        (["list", ["str"]], [["x"]], ["x", [1]]),
        (["dict", ["float"]], [{"a": 0.5}], [{"a": "x"}, []]),
        (["tuple", ["float"], ["float"]], [[0.9, 0.95]], [[0.9]]),
        (["within", ["float"], None, None, 0.0, 1.0], [0.5], [0, 1, True]),
        (["any"], [1, "x", None], []),
    ],
)
def test_kinds_are_what_lushan_takes(kind, good, bad):
    schema = jsonschema.Draft202012Validator(json_schema.of_kind(kind))
    assert all(schema.is_valid(value) and fits(value, kind) for value in good)
    assert not any(schema.is_valid(value) or fits(value, kind) for value in bad)


def test_an_editor_reads_what_a_key_means():
    described = json.loads((FOLDER / "optimizer.json").read_text(encoding="utf-8"))["$defs"]
    assert (
        "embeddings"
        in described["lushan.optim.grouped"]["properties"]["layer_decay"]["description"]
    )


def test_no_description_only_refers_to_another():
    for path in FOLDER.glob("*.json"):
        text = path.read_text(encoding="utf-8")
        assert re.findall(r'"description": "(?:See `|See there|<)[^"]*', text) == [], path


@pytest.mark.slow
@pytest.mark.long
def test_the_schemas_are_those_of_today():
    made = json_schema.schemas(CONF)
    there = {p.name: p.read_text(encoding="utf-8") for p in FOLDER.glob("*.json")}
    again = {name: json_schema.written(schema) for name, schema in made.items()}
    stale = [name for name in again.keys() | there.keys() if again.get(name) != there.get(name)]
    assert not stale, "write them by `lushan options --schema schemas`"
