"""Requests that are refused, in OpenAI's shape: `{"error": {message, type, param, code}}`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.responses import JSONResponse

from lushan.errors import UserError

_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
}
INVALID, OURS = "invalid_request_error", "server_error"


class Refused(Exception):
    """A request that is not answered.

    Args:
        status: HTTP's code.
        message: What is wrong.
        param: The field of the request at fault.
        code: A name that programs distinguish it by.
        headers: Of the response.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.status, self.param, self.code = status, param, code
        self.message, self.headers = message, dict(headers or {})
        super().__init__(message)

    @property
    def body(self) -> dict[str, Any]:
        """The content of the response."""
        kind = _TYPES.get(self.status, INVALID if self.status < 500 else OURS)
        error = {"message": self.message, "type": kind, "param": self.param, "code": self.code}
        return {"error": error}

    @property
    def response(self) -> JSONResponse:
        """The response."""
        return JSONResponse(self.body, self.status, self.headers)


def of_user(error: UserError, param: str, *, code: str | None = None) -> Refused:
    """Return the refusal that a user's mistake is, named by the field of the request."""
    # A hint is for the command line, and may name files of this machine.
    return Refused(400, error.problem, param=param, code=code)
