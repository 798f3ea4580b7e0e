"""The sources a config can name: `data=conll`, `data=table`, ... One module a format."""

from lushan.data.sources.chat import Chat, ChatHub
from lushan.data.sources.conll import Conll
from lushan.data.sources.hub import Hub
from lushan.data.sources.jsonl import Jsonl
from lushan.data.sources.mixture import Mixture
from lushan.data.sources.samples import (
    SampleChat,
    SampleNER,
    SamplePairs,
    SampleReviews,
    SampleText,
)
from lushan.data.sources.stream import Stream
from lushan.data.sources.table import Table
from lushan.data.sources.text import Text

__all__ = [
    "Chat",
    "ChatHub",
    "Conll",
    "Hub",
    "Jsonl",
    "Mixture",
    "SampleChat",
    "SampleNER",
    "SamplePairs",
    "SampleReviews",
    "SampleText",
    "Stream",
    "Table",
    "Text",
]
