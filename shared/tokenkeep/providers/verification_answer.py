"""What the answer to the verifying request says: from bytes to a finding, without ever raising."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from tokenkeep.domain.account import AuthType, FailureReason
from tokenkeep.domain.external_id import ExternalId
from tokenkeep.domain.verification import Confirmed, Finding, Rejected, Unknown, UnknownReason
from tokenkeep.providers.answer import Answer, NoAnswer
from tokenkeep.providers.answer_body import Body, Shape, read_body
from tokenkeep.providers.entry import Verification
from tokenkeep.providers.error_codes import safe_code
from tokenkeep.providers.external_ids import NoId, read_external_id
from tokenkeep.providers.id_kinds import kind_at, other_path
from tokenkeep.providers.reading import is_bot_wall
from tokenkeep.providers.token_words import Speech, speech_of

_UNAUTHORIZED: Final = 401
_FORBIDDEN: Final = 403
_TOO_MANY: Final = 429
_INTERNAL: Final = 500
_COME_AGAIN = frozenset({408, 409, 421, 425})
_SUCCESSES = frozenset({"", "0", "1", "ok", "success", "200", "201"})
_NO_SUCCESS = frozenset({"error", "fail", "failed", "failure"})
_MARKS = ("ok", "success", "Success", "valid", "is_valid", "authenticated")
_ANONYMOUS = "anonymous"
_BAD_TOKEN = "invalid_token"  # noqa: S105 - RFC 6750's code
_BARE = "unauthorized"

_NO_ANSWER: Mapping[FailureReason, UnknownReason] = {
    FailureReason.NETWORK_ERROR: UnknownReason.NETWORK_ERROR,
    FailureReason.TIMEOUT: UnknownReason.TIMEOUT,
    FailureReason.MALFORMED_RESPONSE: UnknownReason.MALFORMED_RESPONSE,
}
_UNSAID: Mapping[Speech, UnknownReason] = {
    Speech.SCOPE: UnknownReason.INSUFFICIENT_SCOPE,
    Speech.CLIENT: UnknownReason.CLIENT_REFUSED,
    Speech.THROTTLED: UnknownReason.RATE_LIMITED,
    Speech.TROUBLE: UnknownReason.PROVIDER_5XX,
}


@dataclass(frozen=True, slots=True)
class Question:
    """What was asked: the request, of what kind of account, and what its ids' paths may name in braces.

    `known` is whose the account is, where the credentials are for one that exists.
    """

    verification: Verification
    kind: AuthType
    names: Mapping[str, str]
    known: ExternalId | None = None


def unheard(reason: FailureReason) -> Unknown:
    """The finding where no answer came."""
    return Unknown(_NO_ANSWER.get(reason, UnknownReason.INTERNAL_ERROR))


def read_verification(answer: Answer | NoAnswer, question: Question) -> Finding:
    """The finding. Only the provider's own word rejects; a page, a wall, a server in trouble say nothing about credentials.

    A 401 is such a word by itself (RFC 9110, section 15.5.2), unless it names somebody else at fault, or nobody has shown that
    our request is the right one. Everything else rejects by its words alone. A success that does not look like one confirms
    nothing.
    """
    if isinstance(answer, NoAnswer):
        return unheard(answer.reason)
    status = answer.status
    if status == _TOO_MANY:
        return Unknown(UnknownReason.RATE_LIMITED)
    if status >= _INTERNAL:
        return Unknown(UnknownReason.PROVIDER_5XX)
    body = read_body(answer.body)
    if 200 <= status < 300:  # noqa: PLR2004 - RFC 9110, section 15.3
        return _of_success(answer, body, question)
    if status >= 400 and status not in _COME_AGAIN:  # noqa: PLR2004 - RFC 9110, section 15.5
        return _of_refusal(answer, body, question)
    return Unknown(UnknownReason.PROVIDER_4XX if status >= 400 else UnknownReason.MALFORMED_RESPONSE)  # noqa: PLR2004


def _of_refusal(answer: Answer, body: Body, question: Question) -> Finding:
    # A challenge that names an error is written by the server itself, whatever page a proxy puts around it.
    if is_bot_wall(answer) or (
        body.shape is Shape.MARKUP and "error=" not in answer.headers.get("www-authenticate", "")
    ):
        return Unknown(UnknownReason.PROVIDER_4XX)
    speech, code = speech_of(body, answer.headers, question.kind)
    if speech is Speech.BAD_TOKEN:
        return Rejected(safe_code(code) or _BAD_TOKEN, answer.status)
    if speech in _UNSAID and not (speech is Speech.SCOPE and answer.status == _UNAUTHORIZED and code is None):
        return Unknown(_UNSAID[speech])
    if answer.status != _UNAUTHORIZED:
        return Unknown(UnknownReason.PROVIDER_4XX)
    if question.verification.assumed:
        return Unknown(UnknownReason.REJECTED_UNPROVEN)
    return Rejected(safe_code(code) or _BARE, answer.status)


def _of_success(answer: Answer, body: Body, question: Question) -> Finding:
    if body.shape in {Shape.MARKUP, Shape.TEXT, Shape.BROKEN}:
        return Unknown(UnknownReason.MALFORMED_RESPONSE)
    if _says_failure(body.fields):
        return _of_failure(answer, body, question)
    path = question.verification.external_id
    if path is None:
        return Confirmed()
    document = _document(answer.body, body)
    told = read_external_id(document, path, question.names)
    match told:
        case str():
            return Confirmed(told, kind_at(question.verification, question.names), _of_known_kind(document, question))
        case NoId.SEVERAL | NoId.UNFIT:
            return Confirmed()
        case NoId.NULL if _ANONYMOUS in body.text or _is_anonymous(body.fields):
            # Zendesk knows everybody: whoever it does not recognise is its anonymous user.
            return Rejected("anonymous_user", answer.status)
        case _:
            return _of_failure(answer, body, question)


def _of_known_kind(document: object, question: Question) -> ExternalId | None:
    """The id of the kind that is known of the account, where the path has been changed since and the answer holds both."""
    known = question.known
    path = None if known is None else other_path(known.kind, question.verification, question.names)
    told = NoId.MISSING if path is None else read_external_id(document, path, {})
    return ExternalId(told, known.kind) if known is not None and isinstance(told, str) else None


def _of_failure(answer: Answer, body: Body, question: Question) -> Finding:
    """A success by its status that says something else."""
    speech, code = speech_of(body, answer.headers, question.kind)
    if speech is Speech.BAD_TOKEN and _says_failure(body.fields):
        return Rejected(safe_code(code) or _BAD_TOKEN, answer.status)
    return Unknown(_UNSAID.get(speech, UnknownReason.INSUFFICIENT_RESPONSE))


def _says_failure(fields: Mapping[str, Any]) -> bool:
    """Whether the body calls itself a failure: `ok`, `success`, errors of GraphQL, and codes in all their spellings."""
    if any(fields.get(mark) is False for mark in _MARKS):
        return True
    if _is_error(fields.get("error")) or _is_error(fields.get("errors")):
        return True
    status = fields.get("status")
    if isinstance(status, str) and status.strip().lower() in _NO_SUCCESS:
        return True
    said = any(name in fields for name in ("message", "msg", "errmsg"))
    return any(said and name in fields and _is_error(fields[name]) for name in ("errcode", "code"))


def _is_error(value: object) -> bool:
    """Whether a member that is named after an error holds one. TikTok's `{"code": "ok"}` does not."""
    if isinstance(value, dict):
        code = value.get("code", True)
        return bool(value) and (isinstance(code, dict | list) or _is_error(code))
    if isinstance(value, list) or value is None or isinstance(value, bool):
        return bool(value)
    return str(value).strip().lower() not in _SUCCESSES


def _is_anonymous(fields: Mapping[str, Any]) -> bool:
    inner = [fields, *(value for value in list(fields.values())[:20] if isinstance(value, dict))]
    return any(
        isinstance(value, str) and value.strip().lower().startswith(_ANONYMOUS)
        for node in inner
        for name, value in list(node.items())[:50]
        if name.lower() in {"name", "role", "username", "login", "display_name"}
    )


def _document(raw: bytes, body: Body) -> object:
    try:
        return json.loads(raw)
    except (ValueError, RecursionError):
        return body.fields
