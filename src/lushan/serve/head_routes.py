"""`/predict`, `/v1/embeddings` and `/v1/rerank`."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Union, cast

import numpy as np
from fastapi import APIRouter, Body, Request
from pydantic import BaseModel
from starlette.responses import JSONResponse, Response

from lushan.common.parsing import is_text
from lushan.retrieval.embedder import Role
from lushan.run.files import jsonable
from lushan.serve.exchange import unless_gone
from lushan.serve.failures import Refused
from lushan.serve.limits import Bounds
from lushan.serve.pairs import Candidates, Scored
from lushan.serve.schemas import (
    Document,
    Embedding,
    EmbeddingRequest,
    EmbeddingResponse,
    InputUsage,
    Ranked,
    RerankRequest,
    RerankResponse,
)
from lushan.serve.served import EMBEDDINGS, PREDICT, RERANK, Runs, Served
from lushan.serve.vectors import Embedded, Several, Vectors


class PredictResponse(BaseModel):
    """Predictions, in the order of the inputs; each with `id`, as `lushan predict` writes it."""

    model: str
    run_id: str | None
    predictions: list[dict[str, Any]]


def routes(runs: Runs, bounds: Bounds, errors: Mapping[int | str, Any]) -> APIRouter:
    """Return the routes of runs with heads and of encoders, as far as such are served."""
    router = APIRouter(tags=["heads"])
    if heads := runs.all(PREDICT):
        _add_predict(router, runs, heads, bounds, errors)
    if runs.all(EMBEDDINGS):
        _add_vectors(router, runs, bounds, errors)
    if runs.all(RERANK):
        _add_rerank(router, runs, bounds, errors)
    return router


def _add_predict(
    router: APIRouter,
    runs: Runs,
    heads: list[Served],
    bounds: Bounds,
    errors: Mapping[int | str, Any],
) -> None:
    kinds = [run.heads.request(alone=len(heads) == 1) for run in heads if run.heads is not None]
    kind: Any = kinds[0] if len(kinds) == 1 else Union[tuple(kinds)]  # noqa: UP007 - made at run time
    given = Body() if len(kinds) == 1 else Body(discriminator="model")

    async def predict(request: Request, body: Any) -> Response:
        """Predict on examples."""
        run = runs.find(body.model, PREDICT)
        assert run.heads is not None
        rows = [row.model_dump(exclude_none=True) for row in body.inputs]
        for number, row in enumerate(rows):
            if not row:
                raise Refused(400, "it has no field", param=f"inputs[{number}]")
        encoded = await run.heads.read(rows)
        work = run.heads.worker.ask(encoded, len(rows), bounds.seconds)
        found = await unless_gone(request, work)
        content = {"model": run.name, "run_id": run.about.run_id, "predictions": jsonable(found)}
        return JSONResponse(content)

    predict.__annotations__["body"] = Annotated[kind, given]
    predict.__annotations__["request"] = Request
    router.post(PREDICT, response_model=PredictResponse, responses=dict(errors))(predict)


def _add_vectors(
    router: APIRouter, runs: Runs, bounds: Bounds, errors: Mapping[int | str, Any]
) -> None:
    @router.post(EMBEDDINGS, response_model=EmbeddingResponse, responses=dict(errors))
    async def embed(request: Request, body: EmbeddingRequest) -> Response:
        """Return vectors of texts, of length 1."""
        run = runs.find(body.model, EMBEDDINGS)
        assert run.vectors is not None
        if body.dimensions not in (None, run.vectors.width):
            text = f"vectors have {run.vectors.width} dimensions"
            raise Refused(400, text, param="dimensions")
        texts = [body.input] if isinstance(body.input, str) else body.input
        several = Several(texts, [body.input_type] * len(texts))
        found = await _embedded(request, run.vectors, several, bounds, "input")
        is_text = body.encoding_format == "base64"
        data = [
            Embedding(index=i, embedding=_base64(vector) if is_text else vector.tolist())
            for i, vector in enumerate(found.vectors)
        ]
        response = EmbeddingResponse(
            data=data, model=run.name, usage=_usage(found), notes=found.notes
        )
        return JSONResponse(response.model_dump(mode="json"))


def _add_rerank(
    router: APIRouter, runs: Runs, bounds: Bounds, errors: Mapping[int | str, Any]
) -> None:
    @router.post(RERANK, response_model=RerankResponse, responses=dict(errors))
    async def rerank(request: Request, body: RerankRequest) -> Response:
        """Order documents by a query: by a reranker's scores, or the cosine of vectors."""
        run = runs.find(body.model, RERANK)
        found = await _scored(request, run, body, bounds)
        order = np.argsort(-found.scores, kind="stable")[: body.top_n]
        results = [
            Ranked(
                index=int(i),
                relevance_score=float(found.scores[i]),
                document=Document(text=body.documents[i]) if body.return_documents else None,
            )
            for i in order
        ]
        response = RerankResponse(
            id=f"rerank-{secrets.token_hex(12)}",
            model=run.name,
            results=results,
            usage=InputUsage(prompt_tokens=found.tokens, total_tokens=found.tokens),
            notes=found.notes,
        )
        return JSONResponse(response.model_dump(mode="json"))


async def _scored(request: Request, run: Served, body: RerankRequest, bounds: Bounds) -> Scored:
    _require_text([body.query], "query")
    _require_text(body.documents, "documents")
    if run.pairs is not None:
        candidates = Candidates(body.query, body.documents)
        work = run.pairs.worker.ask(candidates, len(body.documents), bounds.seconds)
        return await unless_gone(request, work)
    assert run.vectors is not None
    roles: list[Role] = ["query", *cast("list[Role]", ["passage"] * len(body.documents))]
    several = Several([body.query, *body.documents], roles)
    found = await _embedded(request, run.vectors, several, bounds, "documents")
    return Scored(found.vectors[1:] @ found.vectors[0], found.tokens, found.notes)


async def _embedded(
    request: Request, vectors: Vectors, several: Several, bounds: Bounds, param: str
) -> Embedded:
    _require_text(several.texts, param)
    work = vectors.worker.ask(several, len(several.texts), bounds.seconds)
    return await unless_gone(request, work)


def _require_text(texts: Sequence[str], param: str) -> None:
    for text in texts:
        if not is_text(text):
            raise Refused(400, "a text holds half of a surrogate pair", param=param)


def _usage(found: Embedded) -> InputUsage:
    return InputUsage(prompt_tokens=found.tokens, total_tokens=found.tokens)


def _base64(vector: np.ndarray) -> str:
    return base64.b64encode(vector.astype("<f4").tobytes()).decode()
