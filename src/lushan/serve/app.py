"""The application: routes, refusals in one shape, and a document that holds what is true."""

from __future__ import annotations

import importlib.resources
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from lushan.serve import head_routes, text_routes
from lushan.serve.counts import Counts
from lushan.serve.exchange import Gone, failed
from lushan.serve.failures import Refused
from lushan.serve.front import Access, Front
from lushan.serve.limits import Bounds
from lushan.serve.mistakes import refusal
from lushan.serve.schemas import ErrorResponse, ModelCard, ModelList, State
from lushan.serve.served import CHAT, COMPLETIONS, Runs, Served
from lushan.version import VERSION

ERRORS: Mapping[int | str, Any] = {
    400: {"model": ErrorResponse, "description": "A field is invalid."},
    401: {"model": ErrorResponse, "description": "The API key is missing or wrong."},
    403: {"model": ErrorResponse, "description": "The host or origin is not allowed."},
    404: {"model": ErrorResponse, "description": "Unknown model."},
    408: {"model": ErrorResponse, "description": "The request did not arrive in time."},
    413: {"model": ErrorResponse, "description": "The body is too large."},
    429: {"model": ErrorResponse, "description": "Too many requests are waiting; see Retry-After."},
    500: {"model": ErrorResponse, "description": "The model failed."},
    503: {"model": ErrorResponse, "description": "The server is shutting down."},
    504: {"model": ErrorResponse, "description": "The request timed out."},
}
_READING: dict[int | str, Any] = {code: ERRORS[code] for code in (401, 403, 408, 413, 503)}
_TYPES = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}


def make_app(served: Sequence[Served], access: Access, bounds: Bounds) -> Front:
    """Return the application that serves some runs.

    Args:
        served: The runs; `close` ends their threads.
        access: Who may ask.
        bounds: Of requests.
    """
    runs = Runs(served)
    app = FastAPI(
        title="lushan",
        version=VERSION,
        docs_url=None,  # both would load scripts of another host
        redoc_url=None,
        redirect_slashes=False,
    )
    files = _assets()
    if runs.all(CHAT) or runs.all(COMPLETIONS):
        app.include_router(text_routes.routes(runs, bounds, ERRORS))
    app.include_router(head_routes.routes(runs, bounds, ERRORS))
    _add_models(app, runs)
    _add_page(app, files)
    _add_errors(app)
    known = [getattr(route, "path", "") for route in app.routes]
    counts = Counts(runs, [*known, *app.openapi()["paths"]])
    runs.count = counts.count
    front = Front(
        app,
        access=access,
        bounds=bounds,
        is_open=lambda path: path in ("/", "/health", "/ready") or path.startswith("/assets/"),
        observe=counts.observe,
    )
    _add_states(app, front, counts)
    _state_truth(app, with_key=bool(access.keys))
    return front


def _add_models(app: FastAPI, runs: Runs) -> None:
    @app.get("/v1/models", response_model=ModelList, responses=_READING, tags=["models"])
    async def models() -> ModelList:
        """List the runs that are served, and what is known of each."""
        return ModelList(data=[run.card for run in runs.by_name.values()])

    missing = {**_READING, 404: ERRORS[404]}

    @app.get("/v1/models/{name:path}", response_model=ModelCard, responses=missing, tags=["models"])
    async def model(name: str) -> ModelCard:
        """Return what is known of a run."""
        return runs.named(name).card


def _add_states(app: FastAPI, front: Front, counts: Counts) -> None:
    refused: dict[int | str, Any] = {code: ERRORS[code] for code in (403, 408, 413)}

    @app.get("/health", response_model=State, responses=refused, tags=["state"])
    async def health() -> State:
        """Return that the process answers."""
        return State(status="ok")

    ending: dict[int | str, Any] = {
        503: {"model": State, "description": "The server is shutting down."}
    }

    @app.get("/ready", response_model=State, responses={**refused, **ending}, tags=["state"])
    async def ready() -> Response:
        """Return whether requests are taken."""
        status = "draining" if front.draining else "ready"
        return JSONResponse({"status": status}, 503 if front.draining else 200)

    texts: dict[int | str, Any] = {200: {"content": {"text/plain": {"schema": {"type": "string"}}}}}
    plain = {**_READING, **texts}

    @app.get("/metrics", response_class=Response, responses=plain, tags=["state"])
    async def metrics() -> Response:
        """Return counts in Prometheus' text format."""
        return Response(counts.text(), media_type="text/plain; version=0.0.4")


def _assets() -> dict[str, bytes]:
    folder = importlib.resources.files("lushan.serve") / "assets"
    return {file.name: file.read_bytes() for file in folder.iterdir() if file.is_file()}


def _add_page(app: FastAPI, files: Mapping[str, bytes]) -> None:
    def file(name: str) -> Response:
        content = files.get(name)
        if content is None:
            raise Refused(404, "the file does not exist")
        return Response(
            content,
            media_type=_TYPES[name.rpartition(".")[2]],
            headers={"Cache-Control": "no-cache"},
        )

    @app.get("/", include_in_schema=False)
    async def page() -> Response:
        return file("page.html")

    @app.get("/assets/{name}", include_in_schema=False)
    async def asset(name: str) -> Response:
        return file(name)


def _add_errors(app: FastAPI) -> None:
    paths = sorted(app.openapi()["paths"])
    app.openapi_schema = None

    @app.exception_handler(Refused)
    async def refused(request: Request, error: Refused) -> Response:  # noqa: ARG001 - FastAPI's form
        return error.response

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> Response:
        document = app.openapi()
        operation = document["paths"][request.scope["route"].path][request.method.lower()]
        body = operation["requestBody"]["content"]["application/json"]
        narrowed = {**body, "components": document["components"]}
        return refusal(error, request.headers.get("content-type"), narrowed).response

    @app.exception_handler(HTTPException)
    async def http(request: Request, error: HTTPException) -> Response:
        if error.status_code == 400 and error.__cause__ is not None:
            return _unreadable(error.__cause__).response
        if error.status_code == 404 and request.url.path not in paths:
            text = f"unknown path; available: {', '.join(paths)}"
            return Refused(404, text, code="path_not_found").response
        text = str(error.detail)
        if error.status_code == 405:
            wanted = (error.headers or {}).get("Allow", "another method")
            text = f"{request.method} is not allowed here; use {wanted} {request.url.path}"
        return Refused(error.status_code, text, headers=error.headers).response

    @app.exception_handler(Gone)
    async def gone(request: Request, error: Gone) -> Response:  # noqa: ARG001
        return Response(status_code=499)

    @app.exception_handler(Exception)
    async def ours(request: Request, error: Exception) -> Response:  # noqa: ARG001
        return failed(error).response


def _unreadable(cause: BaseException) -> Refused:
    """Return the refusal of a body that ends the reader of JSON in another way than by its form."""
    reason = "a number has too many digits"
    if isinstance(cause, UnicodeDecodeError):
        reason = "it is not UTF-8"
    elif isinstance(cause, RecursionError):
        reason = "it is nested too deeply"
    return Refused(400, f"the body is not valid JSON: {reason}", code="invalid_json")


def _state_truth(app: FastAPI, *, with_key: bool) -> None:
    """Correct the document: FastAPI assumes refusals of its own, and knows of no key."""
    app.openapi_schema = None
    document = app.openapi()
    for path in document["paths"].values():
        for operation in path.values():
            operation["responses"].pop("422", None)
            if with_key and not {"/health", "/ready"} & {operation.get("path", "")}:
                operation["security"] = [{"key": []}]
    schemas = document.get("components", {}).get("schemas", {})
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    if with_key:
        scheme = {"type": "http", "scheme": "bearer"}
        document.setdefault("components", {})["securitySchemes"] = {"key": scheme}
        for path in ("/health", "/ready"):
            document["paths"][path]["get"].pop("security")
    app.openapi_schema = document
