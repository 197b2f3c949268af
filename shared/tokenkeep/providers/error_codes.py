"""Error codes: where bodies keep them, and what each means by itself."""

import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

from tokenkeep.providers.answer_body import Body, Shape
from tokenkeep.providers.meaning import Meaning

_NOTHING: Mapping[str, str] = MappingProxyType({})
_SAFE = re.compile(r"[A-Za-z_.:-]*[0-9]{0,10}[A-Za-z_.:-]*")
_LONGEST_CODE = 64
_LONGEST_PHRASE = 200
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_JOINTS = re.compile(r"[\s.\-/]+")

_REVOKED = """
    account_inactive authorization_not_found authorization_revoked bad_refresh_token consent_required expired_grant
    expired_refresh_token expired_token grant_revoked inactive_org inactive_user interaction_required invalid_grant
    invalid_code invalid_oauth_token invalid_refresh_token item_login_required login_required refresh_token_already_used
    refresh_token_expired refresh_token_invalid refresh_token_invalidated refresh_token_not_found refresh_token_reused
    refresh_token_revoked revoked_token token_expired token_rejected token_revoked user_not_found user_refused
"""
_CLIENT = """
    app_disabled application_disabled bad_client_id bad_client_secret bad_grant_type client_disabled client_not_found
    consumer_key_refused consumer_key_rejected consumer_key_unknown deleted_client disabled_client error_sign
    expired_client_token incorrect_client_credentials invalid_api_key invalid_app_id invalid_client
    invalid_client_credentials invalid_client_id invalid_client_key invalid_client_secret invalid_grant_type
    invalid_redirect_uri invalid_resource invalid_scope invalid_signature invalid_target missing_authentication_token
    redirect_uri_mismatch signature_invalid timestamp_refused unauthorized_client unknown_client
    unrecognized_client_exception unsupported_grant_type
"""
_REQUEST = "missing_parameter missing_parameters missing_required_parameter unsupported_response_type"
_TRANSIENT = """
    api_error fatal_error gateway_timeout general_error institution_down institution_error institution_not_responding
    internal_error internal_failure internal_server_error maintenance nonce_used overloaded overloaded_error
    request_timeout server_error service_unavailable system_error temporarily_unavailable timeout unknown_error
    use_dpop_nonce
"""
_THROTTLED = """
    login_rate_exceeded quota_exceeded rate_limit rate_limit_error rate_limit_exceeded rate_limit_reached rate_limited
    rate_limiting ratelimit ratelimited request_limit_exceeded slow_down throttle_exceeded throttled throttling
    throttling_error too_many_requests
"""
_UNCLEAR = "admin_policy_enforced aws_expired_token"

CODES: Mapping[str, Meaning] = {
    code: meaning
    for meaning, codes in (
        (Meaning.REVOKED, _REVOKED),
        (Meaning.CLIENT_MISCONFIGURED, _CLIENT),
        (Meaning.INVALID_REQUEST, _REQUEST),
        (Meaning.TRANSIENT, _TRANSIENT),
        (Meaning.RATE_LIMITED, _THROTTLED),
        (Meaning.UNCLEAR, _UNCLEAR),
    )
    for code in codes.split()
}
"""Codes that mean the same at every provider that uses them (RFC 6749, section 5.2, and common habits)."""

_OPEN_CODES = frozenset({"access_denied", "invalid_request", "invalid_token", "unauthorized"})
"""Codes of the standard that say too little by themselves; the words beside them decide."""

_PLACES = (
    ("error",),
    ("error", "code"),
    ("error", "type"),
    ("error", "reason"),
    ("error", "name"),
    ("code",),
    ("error_code",),
    ("errorCode",),
    ("error_name",),
    ("error_type",),
    ("errorType",),
    ("__type",),
    ("oauth_problem",),
    ("errors", "errorType"),
    ("errors", "code"),
    ("errors", "type"),
    ("fault", "detail", "errorcode"),
    ("name",),
    ("type",),
    ("status",),
    ("reason",),
    ("data", "error_code"),
    ("data", "error"),
)
_PHRASES = (("message",), ("msg",), ("error", "message"), ("error_description",), ("reason",))
_CODE_KEYS = frozenset(
    {
        "code",
        "error",
        "errorcode",
        "error_code",
        "errortype",
        "error_type",
        "errorname",
        "faultcode",
        "reason",
        "subcode",
    }
)
_AWS_EXPIRED = re.compile(r"(?:\S{0,100}#)?ExpiredToken(?:Exception)?")
_HEADERS = ("x-mashery-error-code", "x-amzn-errortype", "x-sb-error-code", "x-error-code")
_DEEPEST = 4
_MOST_NODES = 60


def normal(code: str) -> str:
    """A code in snake case: `Invalid grant`, `INVALID-GRANT` and `InvalidGrantException` are all `invalid_grant`."""
    name = code.strip().rpartition("#")[2]
    return _JOINTS.sub("_", _CAMEL.sub("_", name)).lower().strip("_").removesuffix("_exception")


def safe_code(code: str | None) -> str | None:
    """The code if it may be kept: up to 64 letters, digits and `_ . : -`, the digits in one short run.

    An opaque token that a server puts where its code should be has digits all over, so it is not taken for one.
    """
    if code is None or len(code) > _LONGEST_CODE or not _SAFE.fullmatch(code):
        return None
    return code or None


def codes_of(body: Body, headers: Mapping[str, str] = _NOTHING) -> tuple[str, ...]:
    """Every code that the body and the headers name, in normal form: those that we know come first, then by place.

    A sentence for people counts when it is a code in other words (`{"message": "Invalid grant"}`), or begins with one
    (`invalid_client: Invalid client_id or client_secret`). A sentence without a blank is a code, wherever it stands.
    """
    told = [code for name in _HEADERS if name in headers for code in _forms(headers[name])]
    if body.shape is Shape.TEXT:
        return tuple(dict.fromkeys([code for code in _forms(body.text) if _is_known(code)] + told))
    named = [code for place in _PLACES for value in _at(body.fields, place) for code in _forms(value)]
    phrases = [value for place in _PHRASES for value in _at(body.fields, place)]
    spelt = [code for value in phrases for code in _forms(value)]
    single = [code for value in phrases if " " not in value.strip() for code in _forms(value)]
    deep = [code for value in _deep(body.fields) for code in _forms(value)]
    all_named = [*named, *single, *deep, *told]
    known = [code for code in all_named if _is_known(code)] + [code for code in spelt if _counts_as_phrase(code)]
    others = [code for code in all_named if not _is_known(code)]
    return tuple(dict.fromkeys(known + others))


def _deep(fields: Mapping[str, Any]) -> Iterator[str]:
    """What stands under the name of a code anywhere in the body, nearest to the top first. Looks neither deep nor long."""
    waiting: list[tuple[Any, int]] = [(fields, 0)]
    for _ in range(_MOST_NODES):
        if not waiting:
            return
        node, depth = waiting.pop(0)
        if isinstance(node, dict):
            yield from (
                value
                for key, value in list(node.items())[:50]
                if isinstance(value, str) and key.lower() in _CODE_KEYS and " " not in value
            )
        inner = node.values() if isinstance(node, dict) else node
        if depth < _DEEPEST:
            waiting.extend((value, depth + 1) for value in list(inner)[:20] if isinstance(value, dict | list))


def _is_known(code: str) -> bool:
    return code in CODES or code in _OPEN_CODES


def _counts_as_phrase(code: str) -> bool:
    """Whether a sentence that spells this code says it. `User not found` and `Token expired` speak of many things."""
    return code in CODES and (CODES[code] is not Meaning.REVOKED or "grant" in code or "refresh" in code)


def _forms(value: str) -> Iterator[str]:
    """The text as a code, and what stands before its first colon as one. An address is none."""
    if value.startswith(("http://", "https://")):
        return
    if _AWS_EXPIRED.fullmatch(value):
        yield "aws_expired_token"  # the credentials of the provider's own machines
        return
    if len(value) > _LONGEST_PHRASE:
        value = value.partition(":")[0][:_LONGEST_PHRASE]
    whole = normal(value)
    head, colon, _ = value.partition(":")
    if whole:
        yield whole
    if colon and (short := normal(head)):
        yield short


def _at(fields: Mapping[str, Any], place: tuple[str, ...]) -> Iterator[str]:
    node: Any = fields
    for name in place:
        if isinstance(node, list):
            node = node[0] if node else None
        node = node.get(name) if isinstance(node, dict) else None
    if isinstance(node, str):
        yield node
    elif isinstance(node, int) and not isinstance(node, bool) and abs(node) < 10**9:
        yield str(node)
