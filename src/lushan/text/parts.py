"""Contents of messages in typed parts, texts and images, as processors of transformers take them.

A part is `{"type": "text", "text": ...}` or `{"type": "image"}` with the image, an entry of
`references`: `path` and `bytes`. Files name an image by `image`, `path` or `url`, or write a mark
`<image>` in a text and the image beside the messages (ShareGPT). Likewise a video, which is read as
several images, its frames.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import unquote, urlsplit

MARKS = {"image": "<image>", "video": "<video>"}
"""What stands in a text for an image or video that is kept beside the messages."""
Part = Mapping[str, Any]
Resolve = Callable[[object, str], Sequence[Mapping[str, Any]]]
"""Gives `path` and `bytes` of each image of what a file names, an `image` or a `video`."""
TOKENS = "tokens"
"""The entry of an image's part with the ids of the tokens that stand for it in a text."""
_CONTENT = re.compile(r"(?:message|messages\[0\])\['content'\]")
_KINDS = {"image": "image", "image_url": "image", "video": "video", "video_url": "video"}
"""Types of parts to what they hold."""


class Found(dict[str, Any]):
    """The part of an image that is there: never what a file says, but what was found for it."""


class Parts(tuple[Part, ...]):
    """A content of which some parts are images."""


class BadPart(ValueError):
    """A part of a content that is none; states why."""


def text(content: str) -> Part:
    """Return the part of a text."""
    return {"type": "text", "text": content}


def image(reference: Mapping[str, Any]) -> Part:
    """Return the part of an image."""
    return Found(type="image", path=reference["path"], bytes=reference["bytes"])


def form_of(content: Sequence[Part]) -> list[Part]:
    """Return parts that say of an image only that it stands there."""
    return [{"type": "image"} if is_image(part) else part for part in content]


def is_image(part: Part) -> bool:
    """Return whether a part is an image."""
    return part.get("type") == "image"


def images_of(content: object) -> list[Part]:
    """Return the images of a content; none where it is a text."""
    return [part for part in content if is_image(part)] if isinstance(content, list | tuple) else []


def text_of(content: object) -> str:
    """Return the texts of a content, end to end."""
    if not isinstance(content, list | tuple):
        return str(content or "")
    return "".join(part["text"] for part in content if not is_image(part))


def are_parts(content: object, *, known: bool = False) -> bool:
    """Return whether a content is written as a list of parts.

    Args:
        content: Of a message.
        known: Whether parts of other types make it something else, as what a tool has returned.
    """
    if not isinstance(content, list | tuple) or not content:
        return False
    if not all(isinstance(part, Mapping) and "type" in part for part in content):
        return False
    return not known or all(part["type"] in ("text", *_KINDS) for part in content)


def read(content: Sequence[Part], resolve: Resolve) -> str | Parts:
    """Return a content's parts in one form; one text, where all of them are texts.

    Raises:
        BadPart: A part is neither a text nor an image nor a video.
        UserError: An image or a video is not there.
    """
    found = [part for given in content for part in _read(given, resolve)]
    return Parts(found) if images_of(found) else text_of(found)


def received(content: Sequence[object], decoded: Callable[[str], bytes]) -> list[object]:
    """Return the parts of a request's content with their images: no name in it is looked up.

    Args:
        content: As OpenAI's clients send it.
        decoded: From a URL to the image that it holds.

    Raises:
        BadPart: An image is named otherwise than by a URL, or a part holds a video.
    """
    found: list[object] = []
    for part in content:
        kind = _KINDS.get(str(part.get("type"))) if isinstance(part, Mapping) else None
        if kind == "video":
            raise BadPart("a request can contain texts and images, but no videos")
        if kind is not None and isinstance(part, Mapping):
            names = ("image", "bytes", "path", "url", "image_url")
            named = next((part[name] for name in names if part.get(name)), None)
            url = named.get("url") if isinstance(named, Mapping) else named
            if not isinstance(url, str):
                raise BadPart("a part of type image needs a URL")
            found.append(image({"path": "", "bytes": decoded(url)}))
        else:
            found.append(part)
    return found


def _read(part: Part, resolve: Resolve) -> list[Part]:
    if isinstance(part, Found):
        return [part]
    if part["type"] == "text":
        if not isinstance(part.get("text"), str):
            raise BadPart("a part of type text has no text")
        return [text(part["text"])]
    kind = _KINDS.get(str(part["type"]))
    if kind is None:
        raise BadPart(f"parts must be text, image or video, but this is of type {part['type']!r}")
    names = (kind, "bytes", "path", "url", f"{kind}_url")
    named = [name for name in names if part.get(name) not in (None, "")]
    if len(named) != 1:
        what = f"has {' and '.join(named)}" if named else "has no file"
        raise BadPart(f"a part of the type {kind} {what}: set one of {kind}, path or url")
    value = part[named[0]]
    if isinstance(value, Mapping) and isinstance(value.get("url"), str):  # as OpenAI's clients do
        value = value["url"]
    local = _local(value, kind) if isinstance(value, str) else value
    return [image(found) for found in resolve(local, kind)]


def _local(name: str, kind: str) -> str:
    """Return the path of a file that a URL names.

    Raises:
        BadPart: It lies on another machine, or holds the image itself.
    """
    scheme = name.partition(":")[0].lower() if ":" in name else ""
    if scheme == "file":
        return unquote(urlsplit(name).path)
    if scheme in ("http", "https", "ftp", "s3", "data"):
        raise BadPart(
            f"{'an' if kind == 'image' else 'a'} {kind} must be a file, but this is a URL of "
            f"{scheme}: {name[:60]}"
        )
    return name


def seeing(template: str, token: str) -> str:
    """Return one of our templates, which write texts, that also takes contents in parts.

    Args:
        template: The Jinja text.
        token: What it writes for an image.
    """
    macro = (
        "{%- macro said(content) -%}{%- if content is string -%}{{- content -}}{%- else -%}"
        "{%- for part in content or [] -%}"
        f"{{{{- {json.dumps(token)} if part['type'] == 'image' else part['text'] -}}}}"
        "{%- endfor -%}{%- endif -%}{%- endmacro -%}\n"
    )
    return macro + _CONTENT.sub(r"said(\g<0>)", template)


def placed(
    texts: Sequence[str], media: Mapping[str, Sequence[Sequence[Part]]]
) -> list[str | Parts]:
    """Return contents with images where the marks are.

    Args:
        texts: Contents, with marks.
        media: Of each kind whose marks are read (`MARKS`), the images of each mark: as many as
            marks.

    Raises:
        BadPart: They are more, or fewer.
    """
    for kind, several in media.items():
        marks = sum(content.count(MARKS[kind]) for content in texts)
        if marks != len(several):
            raise BadPart(
                f"there are {marks} placeholders {MARKS[kind]}, but {len(several)} {kind}s"
            )
    left = {MARKS[kind]: iter(several) for kind, several in media.items()}
    pattern = re.compile(f"({'|'.join(map(re.escape, left))})")
    return [_at_marks(pattern.split(content), left) for content in texts]


def _at_marks(pieces: Sequence[str], left: Mapping[str, Iterator[Sequence[Part]]]) -> str | Parts:
    """Return a content of texts and, at each second place, a mark; the text alone without any."""
    if len(pieces) == 1:
        return pieces[0]
    found: list[Part] = []
    for place, piece in enumerate(pieces):
        if place % 2:
            found += next(left[piece])
        elif piece:
            found.append(text(piece))
    return Parts(found)
