"""What is wrong with a request: the field, what stands in it, and what to write instead.

pydantic says where a mistake is; what belongs there is read from the server's own document, so
that each endpoint, also that of a run with fields of its own, is explained in the same way.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from fastapi.exceptions import RequestValidationError

from lushan.common.wording import plural
from lushan.errors import one_of, shorten
from lushan.serve.failures import Refused

Schema = Mapping[str, Any]
_NAMES = {"boolean": "true or false", "null": "null", "string": "a text"}
_BOUNDS = {
    "minimum": "{} or more",
    "exclusiveMinimum": "above {}",
    "maximum": "{} at most",
    "exclusiveMaximum": "below {}",
}
MOST_LISTED = 12
"""Values of an enumeration that are listed."""
LONGEST_SHOWN = 80
"""Characters of what was found that are shown."""


def refusal(error: RequestValidationError, content_type: str | None, document: Schema) -> Refused:
    """Return the refusal that the foremost of several mistakes is.

    Args:
        error: The mistakes.
        content_type: What the request says of its body.
        document: The OpenAPI document, narrowed to the operation: `schema` and `components`.
    """
    mistake, place = _foremost(error)
    kind = mistake["type"]
    if isinstance(error.body, bytes):  # FastAPI reads a body as JSON where its header says so
        stated = "it has none" if content_type is None else f"it is {content_type[:80]!r}"
        text = f"the body must be JSON with Content-Type: application/json, but {stated}"
        return Refused(400, text, code="content_type")
    if kind == "json_invalid":
        return Refused(400, f"the body is not JSON: {mistake['ctx']['error']}", code=kind)
    param = _written(place) or None
    if _is_extra(mistake):
        known = _known(_at(document, error.body, place[:-1]), document)
        hint = one_of(str(place[-1]), known, colon=True)
        return Refused(400, f"unknown field. {hint}", param=param, code=kind)
    if kind in ("union_tag_invalid", "union_tag_not_found"):
        return _of_model(mistake, document)
    wanted = _words(_at(document, error.body, place), document)
    if kind == "missing":
        subject = "this field" if param else "the body"
        return Refused(400, f"{subject} is missing: write {wanted}", param=param, code=kind)
    if kind == "model_attributes_type":
        kind = "object_type"
    subject = "it" if param else "the body"
    text = f"{subject} must be {wanted}; found {_shown(mistake.get('input'))}"
    return Refused(400, text, param=param, code=kind)


def _of_model(mistake: Mapping[str, Any], document: Schema) -> Refused:
    """Return the refusal of a request whose fields depend on the model, which it does not name."""
    names = list(document["schema"]["discriminator"]["mapping"])
    found = mistake["ctx"].get("tag")
    if found is None:
        text = f"set the model: {', '.join(names)}"
    else:
        text = f"unknown model. {one_of(str(found), names, colon=True)}"
    return Refused(400, text, param="model", code=mistake["type"])


# Where


def _foremost(error: RequestValidationError) -> tuple[Mapping[str, Any], list[str | int]]:
    """Return the first mistake, and its place.

    A value that may be of several types has a mistake for each: what is wrong within it, or else
    with it, says more than that it is not of one of them. What is missing may be misspelt.
    """
    placed = [(found, _place(found, error.body)) for found in error.errors()]
    first = placed[0][1]
    same = [pair for pair in placed if pair[1][: len(first)] == first]
    chosen = min(same, key=lambda pair: (pair[0]["type"].endswith("_type"), -len(pair[1])))
    beside = [pair for pair in placed if pair[1][:-1] == chosen[1][:-1] and _is_extra(pair[0])]
    return beside[0] if chosen[0]["type"] == "missing" and beside else chosen


def _is_extra(mistake: Mapping[str, Any]) -> bool:
    return bool(mistake["type"] == "extra_forbidden")


def _place(mistake: Mapping[str, Any], body: object) -> list[str | int]:
    """Return the place of a mistake in a body: pydantic's also names the types that were tried."""
    found: list[str | int] = []
    value, place = body, mistake["loc"]
    for part in place:
        last = mistake["type"] == "missing" and part == place[-1]
        if isinstance(value, dict) and (part in value or last):
            value = value.get(part)
        elif isinstance(value, list) and isinstance(part, int) and part < len(value):
            value = value[part]
        else:
            continue
        found.append(part)
    return found


def _written(place: Sequence[str | int]) -> str:
    """`messages[0].role`."""
    parts = [f"[{part}]" if isinstance(part, int) else f".{part}" for part in place]
    return "".join(parts).removeprefix(".")


# What belongs there


def _at(document: Schema, body: object, place: Sequence[str | int]) -> list[Schema]:
    """Return what the document says of a place of a body: several, where it may be several."""
    schemas, value = [document["schema"]], body
    for part in place:
        options = [option for one in schemas for option in _options(one, document, value)]
        if isinstance(part, int):
            schemas = [one["items"] for one in options if "items" in one]
        else:
            fields = [one.get("properties", {}) for one in options]
            others = [one.get("additionalProperties") for one in options]
            schemas = [one[part] for one in fields if part in one]
            schemas = schemas or [one for one in others if isinstance(one, dict)]
        inside = isinstance(value, list) and isinstance(part, int)
        inside = inside or (isinstance(value, dict) and part in value)
        value = value[part] if inside else None  # type: ignore[index]
    return schemas


def _options(schema: Schema, document: Schema, value: object = None) -> Iterator[Schema]:
    """Yield what a schema may be, without references; by the value, where that chooses."""
    if (name := schema.get("$ref")) is not None:
        yield from _options(document["components"]["schemas"][name.rpartition("/")[2]], document)
        return
    several = schema.get("anyOf") or schema.get("oneOf")
    if several is None:
        yield schema
        return
    by = schema.get("discriminator", {})
    chosen = value.get(by.get("propertyName")) if isinstance(value, dict) else None
    if isinstance(chosen, str) and chosen in by.get("mapping", {}):
        several = [{"$ref": by["mapping"][chosen]}]
    for option in several:
        yield from _options(option, document, value)


def _known(schemas: Sequence[Schema], document: Schema) -> list[str]:
    """Return the fields of an object."""
    options = [option for one in schemas for option in _options(one, document)]
    return list(dict.fromkeys(name for one in options for name in one.get("properties", {})))


def _words(schemas: Sequence[Schema], document: Schema) -> str:
    """Return in words what belongs in a place."""
    options = [option for one in schemas for option in _options(one, document)]
    said = list(dict.fromkeys(_said(option, document) for option in options))
    # What may be null may be left out, and is no news.
    *first, last = [words for words in said if words != "null"] or said or ["another value"]
    return f"{', '.join(first)} or {last}" if first else last


def _said(schema: Schema, document: Schema) -> str:
    if "const" in schema or "enum" in schema:
        values = schema.get("enum") or [schema["const"]]
        listed = [json.dumps(value, ensure_ascii=False) for value in values[:MOST_LISTED]]
        return " or ".join([*listed, *["..."] * (len(values) > MOST_LISTED)])
    kind = str(schema.get("type"))
    if kind in ("integer", "number"):
        whole = "a whole number" if kind == "integer" else "a number"
        return f"{whole}{_bounds(schema)}"
    if kind == "array":
        sizes = _sizes(schema, "minItems", "maxItems", "entry", "entries")
        each = _words([schema.get("items", {})], document)
        return f"a list{sizes}, each of them {each}"
    if kind == "object":
        return _object(schema)
    words = _NAMES.get(kind, "any value")
    if kind == "string":
        words += _sizes(schema, "minLength", "maxLength", "character", "characters")
        if "pattern" in schema:
            words += f" like {schema['pattern']}"
    return words


def _bounds(schema: Schema) -> str:
    found = {name: _number(schema[name]) for name in _BOUNDS if name in schema}
    if {"minimum", "maximum"} <= set(found):
        return f" from {found['minimum']} to {found['maximum']}"
    parts = [_BOUNDS[name].format(number) for name, number in found.items()]
    return f", {' and '.join(parts)}" if parts else ""


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) and abs(value) < 1e15 else f"{value:.3g}"


def _sizes(schema: Schema, least: str, most: str, one: str, many: str) -> str:
    low, high = schema.get(least, 0), schema.get(most)
    if high is None:
        return f" of at least {plural(low, one, many)}" if low else ""
    if not low:
        return f" of at most {plural(high, one, many)}"
    return f" of {low:,} to {plural(high, one, many)}" if low < high else f" of {low:,} {many}"


def _object(schema: Schema) -> str:
    needed = schema.get("required") or list(schema.get("properties", {}))
    if schema.get("maxProperties") == 0:
        return "an empty object"
    if not needed:
        return f"an object{_sizes(schema, 'minProperties', 'maxProperties', 'field', 'fields')}"
    return f"an object with {', '.join(needed)}"


def _shown(value: object) -> str:
    """Return what was found, shortened; of what holds others, how many or which."""
    if isinstance(value, list):
        return f"a list of {plural(len(value), 'entry', 'entries')}"
    if isinstance(value, dict):
        names = ", ".join(value)
        return f"an object with {shorten(names)[1:-1]}" if value else "an empty object"
    if isinstance(value, str):
        cut = f" ({len(value):,} characters)" if len(value) > LONGEST_SHOWN else ""
        return f"{shorten(value, LONGEST_SHOWN)}{cut}"
    return shorten(json.dumps(value), LONGEST_SHOWN).strip("'")
