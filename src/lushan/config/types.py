"""Types of YAML values that an annotation takes.

An annotation is brought into plain lists ("kinds") that JSON can hold, so that a config can be
compared with it later without importing what was annotated.
"""

from __future__ import annotations

import collections.abc
import dataclasses
import datetime
import enum
import math
import os
import types
import typing
from collections.abc import Mapping
from typing import Any, Literal, Union

from lushan.configurable import Within

Kind = list[Any]
"""`["int"]`, `["literal", "a", "b"]`, `["union", kind, ...]`, `["list", kind]`,
`["dict", kind of the values]`, `["within", kind, least, most, above, below]`,
`["tuple", kind, ...]`, `["object", name]`, `["any"]`."""

ANY: Kind = ["any"]
_PLAIN: dict[Any, str] = {
    bool: "bool",
    int: "int",
    float: "float",
    str: "str",
    type(None): "none",
    None: "none",
    bytes: "str",
}
_WORDS = {
    "bool": "true or false",
    "int": "a whole number",
    "float": "a number",
    "str": "text",
    "none": "null",
}
_LISTS = (
    list,
    set,
    frozenset,
    collections.abc.Sequence,
    collections.abc.Iterable,
    collections.abc.Collection,
    collections.abc.MutableSequence,
    collections.abc.Set,
)


def kind_of(annotation: object) -> Kind:
    """Return the kind of a resolved annotation; `["any"]` for what cannot be known."""
    if annotation in (Any, object) or isinstance(annotation, str):
        return ANY
    if isinstance(annotation, type(None) | type) and annotation in _PLAIN:
        return [_PLAIN[annotation]]
    if isinstance(annotation, typing.NewType):
        return kind_of(annotation.__supertype__)
    if isinstance(annotation, typing.TypeVar):
        return kind_of(annotation.__bound__) if annotation.__bound__ else ANY
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is None:
        return _bare(annotation)
    return _generic(origin, arguments)


def _generic(origin: object, arguments: tuple[Any, ...]) -> Kind:
    if origin in (Union, types.UnionType):
        return ["union", *(kind_of(a) for a in arguments)]
    if origin is Literal:
        return ["literal", *arguments]
    if origin is typing.Annotated:
        inner = kind_of(arguments[0])
        bounds = [one for one in arguments[1:] if isinstance(one, Within)]
        return ["within", inner, *dataclasses.astuple(bounds[0])] if bounds else inner
    if origin in (typing.Final, typing.ClassVar, typing.Required):
        return kind_of(arguments[0])
    if origin is tuple:
        if len(arguments) == 2 and arguments[1] is Ellipsis:
            return ["list", kind_of(arguments[0])]
        return ["tuple", *(kind_of(a) for a in arguments)]
    return _container(origin, arguments)


def _container(origin: object, arguments: tuple[Any, ...]) -> Kind:
    if origin in _LISTS:
        return ["list", kind_of(arguments[0])]
    if isinstance(origin, type) and issubclass(origin, collections.abc.Mapping):
        return ["dict", kind_of(arguments[1])]
    return ["object", getattr(origin, "__name__", str(origin))]


def _bare(annotation: object) -> Kind:
    if not isinstance(annotation, type):
        return ANY
    if issubclass(annotation, enum.Enum):
        return ["literal", *(m.value for m in annotation), *(m.name for m in annotation)]
    if issubclass(annotation, os.PathLike):
        return ["str"]
    if issubclass(annotation, datetime.timedelta | datetime.date):
        return ANY
    if annotation in _LISTS or issubclass(annotation, tuple):
        return ["list", ANY]
    if typing.is_typeddict(annotation) or issubclass(annotation, collections.abc.Mapping):
        return ["dict", ANY]
    # That of typing_extensions is another one.
    if any(base.__name__ == "Protocol" for base in annotation.__bases__):
        return ANY
    return ["object", annotation.__name__]


def writable(kind: Kind) -> bool:
    """Return whether YAML can write a value of a kind; an object only a target or code can give."""
    if kind[0] == "union":
        # `None` does not count: what may also be null is still given by code.
        return any(writable(k) for k in kind[1:] if k != ["none"])
    if kind[0] in ("list", "dict"):
        return writable(kind[1])
    return bool(kind[0] != "object")


def fits(value: Any, kind: Kind) -> bool:
    """Return whether a plain value is one of a kind; what a `_target_` makes is not known."""
    if isinstance(value, Mapping) and "_target_" in value:
        return _can_be_made(kind)
    name, *rest = kind
    if name in ("none", "bool", "int", "float", "str"):
        return _fits_plain(value, name)
    if name == "literal":
        return any(value == option and type(value) is type(option) for option in rest)
    if name == "union":
        return any(fits(value, k) for k in rest)
    if name == "within":
        return fits(value, rest[0]) and Within(*rest[1:]).holds(value)
    if name == "list":
        return isinstance(value, list | tuple) and all(fits(item, rest[0]) for item in value)
    if name == "tuple":
        return (
            isinstance(value, list | tuple)
            and len(value) == len(rest)
            and all(fits(item, k) for item, k in zip(value, rest, strict=True))
        )
    if name == "dict":
        return isinstance(value, Mapping) and all(fits(item, rest[0]) for item in value.values())
    if name == "object":
        # Mappings and lists may hold targets; a plain word or number cannot be an object.
        return isinstance(value, Mapping | list | tuple)
    return True


def _can_be_made(kind: Kind) -> bool:
    """Return whether a target may stand for a value of a kind: for no number or word."""
    name, *rest = kind
    if name in ("union", "tuple"):
        return any(_can_be_made(k) for k in rest)
    if name in ("list", "dict"):
        return _can_be_made(rest[0])
    return name in ("object", "any")


def _fits_plain(value: object, name: str) -> bool:
    # A bool is an int to Python, and never what was meant.
    if name == "none":
        return value is None
    if name == "bool":
        return isinstance(value, bool)
    if name == "int":
        return isinstance(value, int) and not isinstance(value, bool)
    if name == "float":
        return isinstance(value, int | float) and not isinstance(value, bool)
    return isinstance(value, str)


def words(kind: Kind) -> str:
    """A kind as one reads it: `a whole number or null`."""
    name, *rest = kind
    if name in _WORDS:
        return _WORDS[name]
    if name == "literal":
        options = [str(option) if isinstance(option, str) else repr(option) for option in rest]
        return options[0] if len(options) == 1 else "one of " + ", ".join(options)
    if name == "union":
        flat = [inner for k in rest for inner in (k[1:] if k[0] == "union" else [k])]
        return " or ".join(dict.fromkeys(words(k) for k in flat))
    if name == "within":
        return f"{words(rest[0])}, {Within(*rest[1:])}"
    if name == "list":
        return "a list" if rest[0][0] in ("any", "object") else f"a list of {words(rest[0])}"
    if name == "tuple":
        return "[" + ", ".join(words(k) for k in rest) + "]"
    if name == "dict":
        return "a mapping"
    if name == "object":
        return f"a {rest[0]} (a mapping with a _target_)"
    return "anything"


def bounds(value: object, kind: Kind) -> str:
    """The bounds that a number is outside of, in words; empty where it is of another kind."""
    if kind[0] == "within":
        return str(Within(*kind[2:])) if fits(value, kind[1]) else ""
    if kind[0] != "union":
        return ""
    found = [text for inner in kind[1:] if (text := bounds(value, inner))]
    others = [repr(o) for o in options(kind) if type(o) is type(value)]
    return " or ".join([*others, *found] if found else [])


def options(kind: Kind) -> list[Any]:
    """The words a kind consists of, where it does: the options of a literal."""
    if kind[0] == "literal":
        return list(kind[1:])
    if kind[0] == "union":
        return [option for k in kind[1:] for option in options(k)]
    plain: dict[str, list[Any]] = {"bool": [True, False], "none": [None]}
    return plain.get(kind[0], [])


def repair(value: object, kind: Kind) -> str | None:
    """Suggest how to write a value that was nearly right: `'3'` for 3, `3.0` for 3."""
    if isinstance(value, str) and not isinstance(value, bool):
        for reading in (int, float):
            try:
                number = reading(value)
            except ValueError:
                continue
            if fits(number, kind):
                return f"Write {value.strip()} without quotes."
        if value.lower() in ("true", "false") and fits(True, kind):
            return f"Write {value.lower()} without quotes."
    if isinstance(value, float) and math.isfinite(value) and value == int(value):
        return f"Write {int(value)}." if fits(int(value), kind) else None
    if isinstance(value, bool) and fits(int(value), kind):
        return f"Write {int(value)}."
    if isinstance(value, int | float) and fits("", kind):
        text = str(value).lower() if isinstance(value, bool) else str(value)
        return f"Text that looks like another type needs quotes: \"'{text}'\" in a shell."
    return None
