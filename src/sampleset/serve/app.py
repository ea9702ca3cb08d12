"""The routes: keys and origins, bodies and errors, the page and its files."""

from __future__ import annotations

import json
import logging
import re
import time
from collections.abc import Awaitable, Callable
from importlib import resources
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from sampleset import __version__
from sampleset.aggregators.confident import WITHHELD
from sampleset.serve.aliases import Models
from sampleset.serve.api_errors import ApiError, api_error, log_fault
from sampleset.serve.chat import Chat
from sampleset.serve.config import ServeConfig
from sampleset.serve.dialects.base import Dialect
from sampleset.serve.dialects.completions import Completions
from sampleset.serve.dialects.messages import Messages
from sampleset.serve.dialects.responses import Responses
from sampleset.serve.feedback import Feedback
from sampleset.serve.limits import Allowances, Gate, Keys, check_origin, read_body
from sampleset.serve.metrics import Metrics
from sampleset.serve.replies import flags_of
from sampleset.serve.requests import parse_request
from sampleset.serve.runs import Runs
from sampleset.serve.streaming import EventStream, LongResponse, Stop, unless_gone
from sampleset.wire.beside import beside

log = logging.getLogger("sampleset.serve")

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; font-src 'self'; img-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_SECURITY = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}
_KINDS = {
    ".css": "text/css",
    ".js": "text/javascript",
    ".woff2": "font/woff2",
    ".html": "text/html",
    ".svg": "image/svg+xml",
}
# The page's own files stand beside the report's, whose style and typesetting it shares.
_FILES = (
    "page.css",
    "page.folds.js",
    "page.mathematics.js",
    "playground.css",
    "playground.js",
    "playground.svg",
    "katex/katex.min.css",
    "katex/katex.min.js",
)

_DIALECTS: dict[str, type[Dialect]] = {
    "/v1/chat/completions": Dialect,
    "/v1/completions": Completions,
    "/v1/responses": Responses,
    "/v1/messages": Messages,
}
# A header's name, as a preflight asks for it.
_NAME = re.compile(r"[\w!#$%&'*+.^`|~-]+", re.ASCII)
_USUAL_NAMES = "authorization, content-type, x-api-key"
WITHHELD_HEADER = "x-sampleset-withheld"
"""Why an answer of a whole reply is withheld, for clients that read no more than the message."""
_FONT = re.compile(r"[A-Za-z0-9_-]{1,64}\.woff2")

Handler = Callable[[Request], Awaitable[Response | EventStream]]


class Server:
    """The application's state and its endpoints.

    Args:
        config: The configuration.
        models: The models, opened.
        keys: The keys of the clients.
    """

    def __init__(self, config: ServeConfig, models: Models, keys: Keys) -> None:
        self._config, self._models, self._keys = config, models, keys
        self._gate = Gate(config.max_concurrent, config.max_queue)
        self._allowances = Allowances(config, time.monotonic)
        self.stop = Stop()
        self._metrics = Metrics()
        self._runs = Runs(config.keep_runs, config.runs_folder)
        self._feedback = Feedback(config.feedback_file)
        self._created = int(time.time())
        aliases = models.aliases
        self._configs = {name: alias.config for name, alias in aliases.items()}
        self._usual = {name: alias.aggregator for name, alias in aliases.items()}
        self._local = {name: alias.is_local for name, alias in aliases.items()}

    def app(self) -> Starlette:
        """The ASGI application."""
        routes = [
            *(
                Route(path, self._endpoint(self._chat_route(dialect), dialect), methods=["POST", "OPTIONS"])
                for path, dialect in _DIALECTS.items()
            ),
            Route(
                "/v1/messages/count_tokens", self._endpoint(_uncounted, Messages), methods=["POST", "OPTIONS"]
            ),
            Route("/v1/models", self._endpoint(self._list), methods=["GET", "OPTIONS"]),
            Route("/v1/models/{name:path}", self._endpoint(self._model), methods=["GET", "OPTIONS"]),
            Route("/v1/runs/{name}", self._endpoint(self._run), methods=["GET", "OPTIONS"]),
            Route("/feedback", self._endpoint(self._hear), methods=["POST", "OPTIONS"]),
            Route("/metrics", self._endpoint(self._measure), methods=["GET"]),
            Route("/health", self._health, methods=["GET"]),
            Route("/", self._file, methods=["GET"]),
            Route("/static/{path:path}", self._file, methods=["GET"]),
        ]
        handlers: dict[Any, Any] = {404: self._no_route, 405: self._no_route}
        return Starlette(routes=routes, exception_handlers=handlers, middleware=[Middleware(_PlainPaths)])

    def _endpoint(
        self, handler: Handler, dialect: type[Dialect] = Dialect
    ) -> Callable[[Request], Awaitable[Response]]:
        """The handler behind keys, origins and the dialect's form of errors."""

        async def answer(request: Request) -> Response:
            origin: str | None = None
            response: Response | EventStream
            try:
                origin = check_origin(request, self._config, self._keys)
                if request.method == "OPTIONS":
                    response = Response(status_code=204)
                else:
                    key = self._keys.check(_key(request))
                    request.state.caller = key or (request.client.host if request.client else "")
                    response = await self.stop.unless(handler(request))
            except ClientDisconnect:
                response = Response(status_code=400)
            except Exception as error:
                failure = api_error(error)
                if failure.status == 500:
                    log_fault(error)
                response = _error(failure, dialect)
            return _allowing(request, response, origin)  # type: ignore[return-value]

        return answer

    def _chat_route(self, dialect: type[Dialect]) -> Handler:
        """The handler of requests in a dialect."""

        async def answer(request: Request) -> Response | EventStream:
            return await self._answer(request, dialect)

        return answer

    async def _answer(self, request: Request, dialect: type[Dialect]) -> Response | EventStream:
        started = time.monotonic()
        turn = self._allowances.begin(request.state.caller)
        try:
            chat_request, translation = await read_body(
                request,
                self._config,
                lambda body: parse_request(body, self._configs, self._usual, self._local, dialect),
                turn,
            )
            try:
                self._gate.enter()
            except ApiError as full:
                self._metrics.add("requests", model=chat_request.alias, status=str(full.status))
                raise
        except BaseException:
            turn.end()
            raise

        def leave() -> None:
            self._gate.leave()
            turn.end()

        def done(status: int, error: Exception | None) -> None:
            seconds = time.monotonic() - started
            self._metrics.answered(chat_request.alias, status, seconds)
            if status == 500 and error is not None:
                log_fault(error)
            log.info(
                "%s k=%d n=%d: %d in %.0f ms",
                chat_request.alias,
                chat_request.k,
                chat_request.n,
                status,
                seconds * 1000,
            )

        alias = self._models.aliases[chat_request.alias]
        chat = Chat(
            chat_request, alias, self._gate, self._metrics, self._runs, self._models.prices, done, self.stop,
            self._feedback,
        )  # fmt: skip
        if chat_request.stream:
            return EventStream(
                lambda emit: chat.stream(translation.events(emit)), self._config.keep_alive, leave
            )
        try:
            completion = await unless_gone(chat.complete(), request.receive)
        finally:
            leave()
        if completion is None:
            return Response(status_code=400)
        body = await beside(chat.size, lambda: json.dumps(translation.reply(completion)).encode())
        flags = sorted(flags_of(completion) & WITHHELD)
        headers = {WITHHELD_HEADER: ", ".join(flags)} if flags else None
        return LongResponse(body, headers=headers, media_type="application/json")

    async def _list(self, request: Request) -> Response:
        return JSONResponse({"object": "list", "data": [self._row(name) for name in self._configs]})

    async def _model(self, request: Request) -> Response:
        name = request.path_params["name"]
        if name not in self._configs:
            raise ApiError(
                404, f"The model {name[:80]!r} does not exist.", param="model", code="model_not_found"
            )
        return JSONResponse(self._row(name))

    def _row(self, name: str) -> dict[str, object]:
        alias_row = {**self._models.aliases[name].listing(), "keeps_runs": bool(self._runs)}
        return {
            "id": name,
            "object": "model",
            "created": self._created,
            "owned_by": "sampleset",
            "sampleset": alias_row,
        }

    async def _run(self, request: Request) -> Response:
        text = self._runs.read(request.path_params["name"])
        if text is None:
            raise ApiError(
                404, "There is no run of that name, or it is no longer kept.", code="run_not_found"
            )
        return Response(text, media_type="application/json", headers={"Cache-Control": "no-store"})

    async def _hear(self, request: Request) -> Response:
        turn = self._allowances.begin(request.state.caller)
        try:
            body = await read_body(request, self._config, lambda body: body, turn)
        finally:
            turn.end()
        return JSONResponse(await self._feedback.receive(body))

    async def _measure(self, request: Request) -> Response:
        text = self._metrics.text(self._gate.active, self._gate.waiting)
        text += "\n".join([*self._feedback.lines(), ""])
        return PlainTextResponse(text, media_type="text/plain; version=0.0.4")

    async def _no_route(self, request: Request, error: Exception) -> Response:
        status: int = getattr(error, "status_code", 404)
        what = "has no such route" if status == 404 else f"does not take {request.method} here"
        dialect = next(
            (dialect_type for path, dialect_type in _DIALECTS.items() if request.url.path.startswith(path)),
            Dialect,
        )
        origin = self._allowed_origin(request)
        if origin is not None and request.method == "OPTIONS":
            response = Response(status_code=204)
        else:
            response = _error(ApiError(status, f"This server {what}; see docs/reference/serve.md."), dialect)
        _allowing(request, response, origin)
        return response

    def _allowed_origin(self, request: Request) -> str | None:
        """The origin of a page that may ask, for routes that everybody may ask."""
        origin = request.headers.get("origin")
        return origin if origin in self._config.allow_origins else None

    async def _health(self, request: Request) -> Response:
        response = JSONResponse({"status": "ok", "version": __version__})
        _allowing(request, response, self._allowed_origin(request))
        return response

    async def _file(self, request: Request) -> Response:
        path = request.path_params.get("path", "playground.html")
        is_font = path.startswith("katex/fonts/") and path.count("/") == 2 and path.endswith(".woff2")
        wing = "report" if path.startswith(("katex/", "page.")) else "serve"
        file = resources.files("sampleset") / wing / "page" / path
        is_known = path in (*_FILES, "playground.html") or (is_font and _FONT.fullmatch(Path(path).name))
        if not is_known or not file.is_file():
            response = _error(ApiError(404, "There is no such file."))
            _allowing(request, response, self._allowed_origin(request))
            return response
        kind = _KINDS[Path(path).suffix]
        headers = _SECURITY | ({"Cache-Control": "max-age=86400"} if path.startswith("katex/") else {})
        response = Response(file.read_bytes(), media_type=kind, headers=headers)
        _allowing(request, response, self._allowed_origin(request))
        return response


class _PlainPaths:
    """Takes `/v1//models/` for `/v1/models`: base URLs with a slash at the end make such paths.

    A redirect would not do: browsers follow none that answers a preflight.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path: str = scope.get("path", "")
        if path.startswith("/v1/") and ("//" in path or path.endswith("/")):
            scope = {**scope, "path": re.sub("/{2,}", "/", path).rstrip("/")}
        await self._app(scope, receive, send)


async def _uncounted(request: Request) -> Response:
    raise ApiError(
        404, "'count_tokens' is not served: only the upstreams know how they count.", code="unsupported_route"
    )


def _key(request: Request) -> str:
    """The key that a request carries, as the header `Authorization` holds it."""
    if "authorization" not in request.headers and (key := request.headers.get("x-api-key")):
        return f"Bearer {key}"
    return request.headers.get("authorization", "")


def _allowing(
    request: Request, response: Response | EventStream, origin: str | None
) -> Response | EventStream:
    """The response with the headers that let a page of another origin read it.

    An allowed origin may send whatever headers it asks for: clients add their own to those that are needed.
    """
    if origin is None:
        if isinstance(response, Response):
            # Or a cache would hand it to a page that may read it only with these headers.
            response.headers.setdefault("vary", "origin")
        return response
    headers = {
        "access-control-allow-origin": origin,
        "access-control-expose-headers": f"retry-after, {WITHHELD_HEADER}",
        "vary": "origin",
    }
    if request.method == "OPTIONS":
        lists = ",".join(request.headers.getlist("access-control-request-headers"))
        names = list(filter(None, (name.strip(" \t") for name in lists.split(","))))
        is_usual = not names or not all(map(_NAME.fullmatch, names))
        headers |= {
            "access-control-allow-headers": _USUAL_NAMES if is_usual else ", ".join(names),
            "access-control-allow-methods": "GET, POST",
            "access-control-max-age": "600",
            "vary": "origin, access-control-request-headers",
        }
        # Browsers ask so before a public page may reach an address of a private network.
        if request.headers.get("access-control-request-private-network") == "true":
            headers["access-control-allow-private-network"] = "true"
    if isinstance(response, EventStream):
        response.add_headers(headers)
    else:
        response.headers.update(headers)
    return response


def _error(error: ApiError, dialect: type[Dialect] = Dialect) -> Response:
    headers = {} if error.retry_after is None else {"Retry-After": str(error.retry_after)}
    # In ASCII: halves of characters, which a message may quote, have no other form.
    body = json.dumps(dialect.error(error.body()["error"], error.status))
    return Response(body, error.status, headers, "application/json")
