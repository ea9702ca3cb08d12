"""Errors as OpenAI's clients know them: a status and `{"error": {message, type, param, code}}`.

A message holds neither a key nor a prompt. It quotes an upstream only where the quote is about the
request itself (a schema it does not take, say); it goes to the client that sent the request, and to no log.
"""

from __future__ import annotations

import logging
import traceback
from typing import Any

from sampleset.errors import (
    AuthenticationError,
    BackendError,
    CapReachedError,
    ContextOverflowError,
    InvalidArgumentError,
    QuotaError,
    RefusedPromptError,
    RequestRefusedError,
    SampleSetError,
    SamplingError,
    UnknownModelError,
    UnsupportedByBackendError,
)

_log = logging.getLogger("sampleset.serve")

_TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}


class ApiError(SampleSetError):
    """A request is answered by an error.

    Attributes:
        status: HTTP status.
        message: What failed, and what to do.
        param: The field at fault.
        code: OpenAI's name of the fault, or one of ours.
        retry_after: Seconds to wait, for 429 and 503.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        retry_after: int | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.param = param
        self.code = code
        self.retry_after = retry_after

    def body(self) -> dict[str, Any]:
        """The error as JSON."""
        kind = _TYPES.get(self.status, "server_error" if self.status >= 500 else "invalid_request_error")
        return {"error": {"message": self.message, "type": kind, "param": self.param, "code": self.code}}


def api_error(error: Exception) -> ApiError:
    """The error that a client gets for any error; an unforeseen one says only that the server failed."""
    if isinstance(error, ApiError):
        return error
    if isinstance(error, ContextOverflowError):
        message = str(error) if error.said is None else error.said
        return ApiError(400, message, param="messages", code="context_length_exceeded")
    if isinstance(error, RefusedPromptError):
        if error.said is None:
            return ApiError(502, "The upstream's content filter withheld the reply.", code="content_filter")
        return ApiError(
            400, f"The upstream's content filter refuses the request: {error.said}", code="content_filter"
        )
    if isinstance(error, RequestRefusedError):
        return ApiError(400, f"The upstream refuses the request: {error.said}")
    if isinstance(error, BackendError) and error.kind is not None:
        # A server's words about its key or model are for the operator of this server.
        why = next(
            (why for kind, why in _WHY.items() if isinstance(error, kind)), f"could not answer ({error.kind})"
        )
        return ApiError(502, f"The upstream {why}.", code="upstream_error")
    if isinstance(error, InvalidArgumentError | UnsupportedByBackendError):
        return ApiError(400, str(error))
    if isinstance(error, CapReachedError):
        return ApiError(
            400,
            "What this server lets a request cost leaves no room for a sample. Lower max_tokens, or shorten "
            "the messages.",
            param="max_tokens",
            code="cap_reached",
        )
    if isinstance(error, SamplingError):
        return ApiError(502, str(error), code="too_few_samples")
    if isinstance(error, SampleSetError):
        return ApiError(502, f"A model could not be asked ({type(error).__name__}).", code="upstream_error")
    return ApiError(500, "The server failed on this request; its log names the place.", code="internal_error")


_WHY = {
    AuthenticationError: "refuses the server's key",
    QuotaError: "has no credit left on the server's account",
    UnknownModelError: "does not know the model",
}


def place_of_error(error: BaseException) -> str:
    """The file and line where an error arose."""
    frames = traceback.extract_tb(error.__traceback__)
    return f"at {frames[-1].filename}:{frames[-1].lineno}" if frames else "at an unknown place"


def log_fault(error: BaseException) -> None:
    """Where an unforeseen error arose, without its message: that may quote a prompt or a key."""
    chain = [error, *filter(None, (error.__cause__, error.__context__))]
    for link in chain:
        frames = traceback.extract_tb(link.__traceback__)[-3:]
        _log.error("%s at %s", type(link).__name__, ", ".join(f"{f.filename}:{f.lineno}" for f in frames))
