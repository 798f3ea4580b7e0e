"""The sources a config can name: `data=conll`, `data=table`, ... One module a format."""

from lushan.data.sources.conll import Conll
from lushan.data.sources.samples import SampleNER, SampleReviews
from lushan.data.sources.table import Table

__all__ = ["Conll", "SampleNER", "SampleReviews", "Table"]
