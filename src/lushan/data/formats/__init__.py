"""The sources a config can name: `data=conll`, `data=table`, ... One module a format."""

from lushan.data.formats.chat import Chat, ChatHub
from lushan.data.formats.conll import Conll
from lushan.data.formats.folder import Folder
from lushan.data.formats.hub import Hub
from lushan.data.formats.interactions import Interactions, SampleInteractions
from lushan.data.formats.jsonl import Jsonl
from lushan.data.formats.mixture import Mixture
from lushan.data.formats.sample_candidates import SampleCandidates
from lushan.data.formats.sample_images import (
    SampleClips,
    SampleImages,
    SampleQuestions,
    SampleScenes,
    SampleStories,
    SampleVQA,
)
from lushan.data.formats.samples import (
    SampleChat,
    SampleNER,
    SamplePairs,
    SampleReviews,
    SampleText,
)
from lushan.data.formats.stream import Stream
from lushan.data.formats.table import Table
from lushan.data.formats.text import Text
from lushan.data.formats.text_folder import TextFolder

__all__ = [
    "Chat",
    "ChatHub",
    "Conll",
    "Folder",
    "Hub",
    "Interactions",
    "Jsonl",
    "Mixture",
    "SampleCandidates",
    "SampleChat",
    "SampleClips",
    "SampleImages",
    "SampleInteractions",
    "SampleNER",
    "SamplePairs",
    "SampleQuestions",
    "SampleReviews",
    "SampleScenes",
    "SampleStories",
    "SampleText",
    "SampleVQA",
    "Stream",
    "Table",
    "Text",
    "TextFolder",
]
