"""Which error each answer of the API is: pure."""

from collections.abc import Mapping
from typing import Any

from tokenkeep.client import errors
from tokenkeep.client.errors import ApiProblem, ClientError, ServiceUnavailable, TemporaryProblem

LONGEST_RETRY_AFTER_S = 300.0
"""For longer than that nobody is told to wait, in seconds."""

REQUEST_ID = "x-request-id"

_TOO_MANY = 429
_FAULTS = frozenset({500, 502, 503, 504})
_BY_STATUS: Mapping[int, type[ApiProblem]] = {
    400: errors.InvalidRequest,
    401: errors.NotAuthenticated,
    403: errors.NotAllowed,
    404: errors.NotFound,
    409: errors.Conflict,
    413: errors.InvalidRequest,
    415: errors.InvalidRequest,
    422: errors.InvalidRequest,
}
_BY_CODE: Mapping[str, type[ApiProblem]] = {
    "account_disabled": errors.AccountDisabled,
    "account_exists": errors.AccountExists,
    "account_pending": errors.AccountNotReady,
    "credentials_erased": errors.CredentialsErased,
    "credentials_rejected": errors.CredentialsRejected,
    "cursor_expired": errors.CursorExpired,
    "reauthorization_required": errors.ReauthorizationRequired,
    "source_paused": errors.SourcePaused,
}
"""Codes that callers treat in ways of their own. All others are told by their status."""
_PAUSED = "source_paused"


def fault(status: int, headers: Mapping[str, str], document: Mapping[str, Any]) -> ClientError:
    """The error that an answer without success is. `document`: its JSON object, empty if it is none."""
    code, detail = str(document.get("code", "unknown")), str(document.get("detail", ""))
    correlation_id, after = headers.get(REQUEST_ID), _retry_after(headers.get("retry-after", ""))
    if status in _FAULTS or status == _TOO_MANY:
        if document.get("reason") == _PAUSED:
            # As it is told where a refresh is asked for: waiting is of no use, somebody has to resume the source.
            return errors.SourcePaused(
                status, code, detail, retry_after=after, correlation_id=correlation_id, document=document
            )
        kind = _temporary(status, code)
        return kind(status, code, detail, retry_after=after, correlation_id=correlation_id, document=document)
    refusal = _BY_CODE.get(code) or _BY_STATUS.get(status, ApiProblem)
    field = document.get("field")
    return refusal(
        status,
        code,
        detail,
        field if isinstance(field, str) else None,
        retry_after=after,
        correlation_id=correlation_id,
        document=document,
    )


def _temporary(status: int, code: str) -> type[TemporaryProblem]:
    if status == _TOO_MANY:
        return errors.RateLimited
    return errors.TokenUnavailable if code == "token_unavailable" else ServiceUnavailable


def _retry_after(value: str) -> float | None:
    """The seconds of a Retry-After; a date in it is not counted on."""
    return min(float(value), LONGEST_RETRY_AFTER_S) if value.isascii() and value.isdigit() else None
