"""The web application: a page, and an API in JSON that is described at /docs."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from functools import partial
from importlib.resources import files
from typing import Annotated, Any, TypeVar
from urllib.parse import quote

from fastapi import FastAPI, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, StreamingResponse
from fastapi_offline import FastAPIOffline
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from .. import __version__
from ..errors import SamvarError
from ..views.html import STYLE
from . import schema
from .desk import Busy, Desk, while_there
from .guard import Guard
from .lookup import FORMS, Answer, Lookup, Scan, pieces

T = TypeVar("T")

LOGGER = logging.getLogger(__name__)
RETRY_AFTER = 2  # seconds, of a 503
LEFT = 499  # status of a request whose client has left, which nobody reads
LOCAL = "localhost"
REGION = "Samvar-Region"  # header of the page of a region in genes
STATIC = {"page.html": "text/html", "page.css": "text/css", "page.js": "text/javascript"}

Asked = Annotated[str, Query(description=f"One of these: {FORMS}.")]
Region = Annotated[
    str, Query(description="A region CHR:START-END, or an exon GENE:exon N with 50 bases around.")
]
Knockouts = Annotated[
    bool,
    Query(
        description="Put each site back alone, too, and divide deltas as finely as `samvar "
        "explain` does: takes several times as long."
    ),
]

_ERROR = {
    "description": "What is wrong, in words.",
    "content": {"application/json": {"schema": schema.Error.model_json_schema()}},
}
_BUSY = _ERROR | {"description": "Too many requests are there: come again after Retry-After."}
_REFUSED: dict[int | str, dict[str, Any]] = {422: _ERROR, 503: _BUSY}


class TooLarge(SamvarError):
    """The body of a request is larger than is allowed."""


class Lines(StreamingResponse):
    """A response that takes a place at the desk while it is written."""

    media_type = "application/x-ndjson"

    def __init__(self, desk: Desk, content: AsyncIterator[str]):
        super().__init__(content)
        self._desk = desk

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._desk.place():
            await super().__call__(scope, receive, send)


_LINE = {  # of a response that is no JSON on the whole
    "model": schema.Line,
    "content": {Lines.media_type: {"schema": {"type": "object"}}},
}


def make_app(lookup: Lookup, names: Collection[str] = ()) -> FastAPI:
    """The application. `names`: of this host beside localhost and its addresses; requests for
    others are refused."""
    app = FastAPIOffline(
        title="samvar",
        version=__version__,
        description="Which splice sites a variant changes, and which RNA-binding-protein sites are "
        "the cause. Nothing that is asked is stored.",
        redoc_url=None,
        swagger_ui_parameters={"validatorUrl": None},
    )
    app.add_middleware(Guard, names={LOCAL, *names})
    desk = Desk(lookup.scorer.predictor.submit, lookup.bounds.requests)
    _add_errors(app)
    _add_page(app, lookup)
    _add_api(app, lookup, desk)
    return app


# ----------------------------------------------------------------------------------------- the page


def _add_page(app: FastAPI, lookup: Lookup) -> None:
    folder = files(__package__) / "static"
    content = {name: (folder / name).read_text(encoding="utf-8") for name in STATIC}
    content["page.css"] = STYLE + content["page.css"]

    def serve(name: str) -> Callable[[], Awaitable[Response]]:
        async def file() -> Response:
            return Response(content[name], media_type=STATIC[name])

        return file

    for path, name in (("/", "page.html"), ("/page.css", "page.css"), ("/page.js", "page.js")):
        app.get(path, include_in_schema=False)(serve(name))


# ------------------------------------------------------------------------------------------ the API


def _add_api(app: FastAPI, lookup: Lookup, desk: Desk) -> None:
    bounds, about = lookup.bounds, schema.About.of(lookup.about, lookup.bounds)

    async def worked(request: Request, job: Callable[[], T]) -> T:
        with desk.place():
            return await while_there(request, desk.work(job))

    def as_json(query: str, knockouts: bool) -> str:
        return json.dumps(lookup.answer(query, knockouts).to_dict(), allow_nan=False)

    @app.get(
        "/api/answer",
        summary="Explain a variant, a region or an exon",
        response_class=JSONResponse,
        responses=_REFUSED | {200: {"model": schema.Answer}},
    )
    async def answer(request: Request, query: Asked, knockouts: Knockouts = False) -> Response:
        """Verdict, deltas, causes, events, landscape and raw probabilities."""
        told = await worked(request, partial(as_json, query, knockouts))
        return Response(told, media_type="application/json")

    @app.get(
        "/api/page",
        summary="The same as a page",
        response_class=HTMLResponse,
        responses=_REFUSED,
    )
    async def page(request: Request, query: Asked, knockouts: Knockouts = False) -> Response:
        """The self-contained page of `samvar explain --html`, with the landscape as a figure."""

        def job() -> tuple[str, dict[str, str]]:
            found = lookup.answer(query, knockouts)
            return lookup.page(found), _region_header(found)

        text, headers = await worked(request, job)
        return HTMLResponse(text, headers=headers)

    async def scanned(query: str, told: Callable[[Scan], str]) -> str:
        """In pieces, between which others have their turn."""
        place = await desk.work(partial(lookup.place, query))
        found = []
        for piece in pieces(place):
            found += await desk.work(partial(lookup.scan, piece))
        return await desk.work(partial(told, Scan(query, place, found)))

    @app.get(
        "/api/scan",
        summary="Score every SNV of a region or an exon",
        response_class=JSONResponse,
        responses=_REFUSED | {200: {"model": schema.Scan}},
    )
    async def scan(request: Request, query: Region) -> Response:
        """The rows of `samvar scan`: deltas of each SNV, and the strongest cause of the largest."""
        with desk.place():
            told = await while_there(request, scanned(query, lambda s: json.dumps(s.to_dict())))
        return Response(told, media_type="application/json")

    @app.get(
        "/api/scan/page",
        summary="The same as a page",
        response_class=HTMLResponse,
        responses=_REFUSED,
    )
    async def scan_page(request: Request, query: Region) -> Response:
        """The heat map of `samvar scan --figure`, and the SNVs that do most."""
        with desk.place():
            return HTMLResponse(await while_there(request, scanned(query, lookup.scan_page)))

    @app.post(
        "/api/batch",
        summary="Explain many",
        status_code=200,
        response_class=Lines,
        responses=_REFUSED | {200: _LINE, 413: _ERROR},
        openapi_extra={
            "requestBody": {
                "required": True,
                "content": {
                    "text/plain": {
                        "schema": {"type": "string"},
                        "example": "chr17:43094464:A:G\nNM_000059.4:c.8165C>G\n",
                    }
                },
                "description": f"Up to {bounds.lines} lines, a query on each.",
            }
        },
    )
    async def batch(request: Request, knockouts: Knockouts = False) -> Response:
        """A line of JSON for each line, in order, as soon as it is there: its answer, or what is
        wrong with it."""
        text = (await _body(request, bounds.body)).decode(errors="replace")
        lines = (line.removesuffix("\r") for line in text.split("\n"))
        queries = [(i, line) for i, line in enumerate(lines, 1) if line.strip()]
        if not 1 <= len(queries) <= bounds.lines:
            raise SamvarError(
                f"the batch has {len(queries)} lines that are not empty; 1 to {bounds.lines} are "
                "allowed"
            )

        async def told() -> AsyncIterator[str]:
            for number, query in queries:
                start = json.dumps(dict(line=number, asked=query, query=query.strip()))[:-1]
                try:
                    found = await desk.work(partial(as_json, query, knockouts))
                    yield f'{start}, "answer": {found}}}\n'
                except Exception as e:
                    _log(e)
                    yield f'{start}, "error": {json.dumps(_words(e))}}}\n'

        return Lines(desk, told())

    @app.get("/api/about", summary="Version, model, files and bounds")
    async def tell_about() -> schema.About:
        """What answers come from, how long they may be, and how far the model can be trusted."""
        return about


def _region_header(answer: Answer) -> dict[str, str]:
    """The region whose SNVs can be scored; none for an answer about variants, or beyond genes."""
    (e, *_) = answer.explanations
    if e.alt or not e.genes:
        return {}
    return {REGION: quote(f"{e.contig}:{e.pos}-{e.end}")}


async def _body(request: Request, most: int) -> bytes:
    """Raises TooLarge for more than so many bytes."""
    parts, size = [], 0
    async for part in request.stream():
        parts.append(part)
        size += len(part)
        if size > most:
            raise TooLarge(f"the request is larger than {most:,} bytes")
    return b"".join(parts)


# ------------------------------------------------------------------------------------------- errors


def _words(error: Exception) -> str:
    """What is wrong, for whoever asked."""
    if isinstance(error, SamvarError):
        return str(error)
    return f"internal error: {type(error).__name__}"


def _log(error: Exception) -> None:
    """The traceback of what no query should lead to; not above INFO, as it may hold the query."""
    if not isinstance(error, SamvarError):
        LOGGER.info(_words(error), exc_info=error)


def _add_errors(app: FastAPI) -> None:
    """Every error as {"error": words}."""

    def respond(status: int, words: str, headers: dict[str, str] | None = None) -> Response:
        return JSONResponse(dict(error=words), status, headers)

    @app.exception_handler(SamvarError)
    async def refused(request: Request, error: SamvarError) -> Response:
        if isinstance(error, Busy):
            return respond(503, _words(error), {"Retry-After": str(RETRY_AFTER)})
        return respond(413 if isinstance(error, TooLarge) else 422, _words(error))

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> Response:
        wrong = (f"{e['loc'][-1]}: {e['msg']}" for e in error.errors())
        return respond(422, "; ".join(wrong))

    @app.exception_handler(HTTPException)
    async def without_route(request: Request, error: HTTPException) -> Response:
        words = f"{request.method} {request.url.path}: {error.detail}"
        return respond(error.status_code, words, dict(error.headers or {}))

    @app.exception_handler(ClientDisconnect)
    async def left(request: Request, error: ClientDisconnect) -> Response:
        return Response(status_code=LEFT)

    @app.exception_handler(Exception)
    async def failed(request: Request, error: Exception) -> Response:
        _log(error)
        return respond(500, _words(error))
