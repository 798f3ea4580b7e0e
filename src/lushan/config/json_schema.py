"""JSON schemas of config files, for editors: made from signatures and docstrings.

A file of a group is what its target takes; without a target of its own (its defaults choose one)
it is what any target of the group takes. An experiment holds the keys of the whole config.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from lushan.common.parsing import parse_yaml
from lushan.config.allow_list import nodes, rule_for
from lushan.config.build import TARGET, given
from lushan.config.folders import PRIMARY
from lushan.config.signatures import signature
from lushan.config.types import Kind
from lushan.config.usage import options_by_group
from lushan.errors import UserError

Schema = dict[str, Any]
Content = Schema

GLOBAL = "config"
"""Name of the schema of files that set keys of the whole config."""
DIALECT = "https://json-schema.org/draft/2020-12/schema"
_ANYWHERE = {"type": "string", "pattern": r"^\?\?\?$|\$\{"}
"""What stands for any value: one that must be set, and an interpolation."""
_PLAIN = {"none": "null", "bool": "boolean", "int": "integer", "float": "number", "str": "string"}
_RESERVED: Mapping[str, Schema] = {
    TARGET: {"type": "string", "description": "What is called: the dotted name of it."},
    "_partial_": {"type": "boolean"},
    "_recursive_": {"type": "boolean"},
    "_args_": {"type": "array"},
    "_convert_": {"const": "all"},
    "defaults": {"type": "array", "description": "Files that this one is made of."},
}


def schemas(conf: Path) -> dict[str, Schema]:
    """Return the schemas of a folder of config files, by the names of their files.

    Args:
        conf: With `train.yaml` and a folder for each group.
    """
    files = {
        group: {name: _content(conf / group / f"{name}.yaml") for name in names}
        for group, names in options_by_group([conf]).items()
    }
    whole = [g for g, found in files.items() if _is_global(conf, g, found)]
    groups = {g: found for g, found in files.items() if g not in whole and g[:5] != "hydra"}
    made = {f"{g.replace('/', '.')}.json": _group(g, list(f.values())) for g, f in groups.items()}
    made[f"{GLOBAL}.json"] = _global(_content(conf / f"{PRIMARY}.yaml"), groups)
    return {name: {"$schema": DIALECT, **made[name]} for name in sorted(made)}


def schema_of(conf: Path, file: Path) -> str | None:
    """Return the name of the schema of a config file; None of those of Hydra itself."""
    group, *rest = file.relative_to(conf).with_suffix("").parts
    if group == "hydra":
        return None
    if not rest or "# @package _global_" in file.read_text(encoding="utf-8"):
        return f"{GLOBAL}.json"
    return ".".join((group, *rest[:-1])) + ".json"


def written(schema: Schema) -> str:
    """Return a schema as its file holds it."""
    return json.dumps(schema, ensure_ascii=False, indent=1, default=str) + "\n"


def _content(file: Path) -> Content:
    return dict(parse_yaml(file.read_text(encoding="utf-8")) or {})


def _is_global(conf: Path, group: str, names: Iterable[str]) -> bool:
    return all(schema_of(conf, conf / group / f"{n}.yaml") == f"{GLOBAL}.json" for n in names)


def _group(group: str, contents: list[Content]) -> Schema:
    key = group.replace("/", ".")
    targets = _targets(key, contents)
    node = _node(key, targets, contents)
    made = {name: _target(*at) for name, at in targets.items()}
    return {"title": group, **node, "$defs": {"made": _any_of(targets), **made}}


def _targets(key: str, contents: list[Content]) -> dict[str, tuple[str, str]]:
    """Return the targets that files name, each with the dotted key of a node that it stands at."""
    found: dict[str, tuple[str, str]] = {}
    for content in contents:
        for at, node in nodes(content, key):
            name = node[TARGET]
            try:
                signature(name, at)
            except UserError:  # of a package that is not installed
                continue
            found.setdefault(name, (name, at))
    return dict(sorted(found.items()))


def _node(key: str, targets: Mapping[str, tuple[str, str]], contents: list[Content]) -> Schema:
    """Return the schema of a group's node."""
    own = [name for name, (_, at) in targets.items() if at == key]
    if not own:  # names of one's own, as of callbacks, or plain keys
        keys: dict[str, Schema] = {name: {} for content in contents for name in content}
        inner = {"anyOf": [_any_of(targets), {"not": {"type": "object"}}]}
        plain = not any(TARGET in v for c in contents for v in c.values() if isinstance(v, dict))
        rest: bool | Schema = False if plain else inner
        return {
            "type": "object",
            "properties": {**_RESERVED, **keys} if plain else _RESERVED,
            "additionalProperties": rest,
        }
    choices = [_if(name, {"$ref": f"#/$defs/{name}"}) for name in own]
    return {"type": "object", "allOf": choices, "if": _has_target(), "else": _without(own, targets)}


def _any_of(targets: Iterable[str]) -> Schema:
    choices = [_if(name, {"$ref": f"#/$defs/{name}"}) for name in targets]
    return {"type": ["object", "array"], **({"allOf": choices} if choices else {})}


def _if(name: str, then: Schema) -> Schema:
    named = {"properties": {TARGET: {"const": name}}, "required": [TARGET]}
    condition = {"type": "object", **named}
    return {"if": condition, "then": then}


def _has_target() -> Schema:
    return {"required": [TARGET]}


def _without(own: list[str], targets: Mapping[str, tuple[str, str]]) -> Schema:
    """Return the schema of a node whose defaults choose what it calls: any of these."""
    several: dict[str, dict[str, Schema]] = {}
    is_open = False
    for name in own:
        made = _target(*targets[name])
        is_open = is_open or made["additionalProperties"]
        for key, schema in made["properties"].items():
            if schema not in (known := several.setdefault(key, {})).values():
                known[f"#/$defs/{name}/properties/{key}"] = schema
    found = {key: [{"$ref": place} for place in known] for key, known in several.items()}
    properties = {k: s[0] if len(s) == 1 else {"anyOf": s} for k, s in found.items()}
    return {"properties": properties, "additionalProperties": is_open}


def _target(name: str, key: str) -> Schema:
    """Return the schema of a node that calls something."""
    found, late = signature(name, key), given(key)
    properties: dict[str, Schema] = dict(_RESERVED)
    for one in found.parameters.values():
        if one.name not in late:
            described = {"description": one.meaning} if one.meaning else {}
            properties[one.name] = described | {"anyOf": [of_kind(one.kind), _ANYWHERE]}
    closed = not found.open or bool(rule_for(name, key).closed)
    return {"properties": properties, "additionalProperties": not closed}


def of_kind(kind: Kind) -> Schema:
    """Return the schema of the values of a kind."""
    name, *rest = kind
    if name in _PLAIN:
        return {"type": _PLAIN[name]}
    if name == "literal":
        return {"enum": rest}
    if name == "union":  # of `int | str` and `str | int` Python keeps whichever was made first
        return {"anyOf": sorted((of_kind(one) for one in rest), key=json.dumps)}
    if name == "within":
        bounds = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")
        pairs = zip(bounds, rest[1:], strict=True)
        return of_kind(rest[0]) | {word: value for word, value in pairs if value is not None}
    if name == "list":
        return {"type": "array", "items": of_kind(rest[0])}
    if name == "tuple":
        return {"type": "array", "minItems": len(rest), "maxItems": len(rest)}
    if name == "dict":
        return {"type": "object", "additionalProperties": {"anyOf": [of_kind(rest[0]), _ANYWHERE]}}
    return {"$ref": "#/$defs/made"} if name == "object" else {}


def _global(top: Content, groups: Mapping[str, Mapping[str, Content]]) -> Schema:
    """Return the schema of files that set keys of the whole config."""
    own: dict[str, Schema] = {key: {} for key in top if key != "defaults"}
    references = {group: {"$ref": f"{group}.json"} for group in groups if "/" not in group}
    optional = {g: {"anyOf": [{"type": "null"}, found]} for g, found in references.items()}
    properties = {"defaults": _RESERVED["defaults"], "hydra": {}, **own, **optional}
    return {
        "title": GLOBAL,
        "type": "object",
        "properties": properties,
        "additionalProperties": False,
    }
