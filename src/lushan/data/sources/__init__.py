"""The sources a config can name: `data=conll`, `data=table`, ... One module a format."""

from lushan.data.sources.conll import Conll
from lushan.data.sources.hub import Hub
from lushan.data.sources.jsonl import Jsonl
from lushan.data.sources.samples import SampleNER, SampleReviews
from lushan.data.sources.table import Table
from lushan.data.sources.text import Text

__all__ = ["Conll", "Hub", "Jsonl", "SampleNER", "SampleReviews", "Table", "Text"]
