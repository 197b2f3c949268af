"""Whether a resource server's answer speaks of the access token: it is bad, or it lacks a scope, or somebody else is at fault.

The words differ from those of token endpoints: there, bad credentials are the client's, here they are the account's.
"""

import re
from collections.abc import Mapping
from enum import Enum, auto

from tokenkeep.domain.account import AuthType
from tokenkeep.providers import wording
from tokenkeep.providers.answer_body import Body
from tokenkeep.providers.dialects import read_dialect
from tokenkeep.providers.error_codes import codes_of
from tokenkeep.providers.meaning import Meaning


class Speech(Enum):
    """What of the token the answer speaks."""

    BAD_TOKEN = auto()
    SCOPE = auto()
    CLIENT = auto()
    THROTTLED = auto()
    TROUBLE = auto()
    NOTHING = auto()


_CHALLENGE = re.compile(r'\berror="?([A-Za-z_]{1,40})"?', re.ASCII)
_LONGEST = 4_000

_BAD_CODES = """
    account_inactive authentication_failed bad_credentials bad_token expired_access_token expired_token
    inactive_token invalid_access_token invalid_accesstoken invalid_auth invalid_authentication invalid_authentication_credentials
    invalid_authentication_token invalid_bearer_token invalid_credentials invalid_grant invalid_oauth_token invalid_session_id
    invalid_token invalidauthenticationtoken oauth_token_expired revoked_token token_expired token_invalid
    token_inactive token_not_valid token_rejected token_revoked
"""
_SCOPE_CODES = """
    insufficient_permissions insufficient_scope insufficientpermissions invalid_oauthscope missing_scope no_permission
    oauth_scope_mismatch
"""
_CLIENT_CODES = """
    app_disabled application_disabled client_disabled invalid_api_key invalid_app_id invalid_client invalid_client_id invalid_key
    missing_api_key missing_authentication_token unauthorized_client unknown_client
"""

_CODES = (
    (Speech.SCOPE, frozenset(_SCOPE_CODES.split())),
    (Speech.BAD_TOKEN, frozenset(_BAD_CODES.split())),
    (Speech.CLIENT, frozenset(_CLIENT_CODES.split())),
)

_TOKEN = r"(?:(?:access|auth|authentication|authorization|bearer|o ?auth2?|security|session|user) )*token"  # noqa: S105 - a pattern
_SAYS_BAD = re.compile(
    rf"(?:invalid|expired|revoked|bad|malformed|unknown|inactive|incorrect|wrong|unrecogni[sz]ed|unauthori[sz]ed) (?:or \w+ )?{_TOKEN}"
    rf"|{_TOKEN} (?:\w+ ){{0,4}}(?:invalid|expired|revoked|inactive|incorrect|malformed|rejected|unknown|deleted|disabled|blacklisted)"
    rf"|{_TOKEN} (?:\w+ ){{0,2}}not (?:\w+ )?(?:valid|active|found|recogni[sz]ed|accepted)|not (?:a )?valid {_TOKEN}"
    r"|(?:bad|invalid|incorrect|wrong) (?:\w+ )?credentials|(?:api|access) key or access token"
)
_SAYS_SCOPE = re.compile(r"\bscopes?\b|permission|not (?:allowed|authori[sz]ed) to access")
_SAYS_CLIENT = re.compile(
    r"(?:api|consumer|subscription|developer|app|application|client) ?(?:key|id|secret|token)\b|\bip address\b|user agent"
)
_NOT_OURS = re.compile(r"c ?srf|x ?srf|captcha|missing authentication token")


_DIALECT: Mapping[Meaning, Speech] = {
    Meaning.REVOKED: Speech.BAD_TOKEN,
    Meaning.CLIENT_MISCONFIGURED: Speech.CLIENT,
    Meaning.RATE_LIMITED: Speech.THROTTLED,
    Meaning.TRANSIENT: Speech.TROUBLE,
}


def speech_of(body: Body, headers: Mapping[str, str], kind: AuthType) -> tuple[Speech, str | None]:
    """What the answer speaks of, and the code in which it does. Of an API key's account the key is no client's."""
    dialect = read_dialect(body)
    if dialect is not None:
        return _DIALECT.get(dialect.meaning, Speech.NOTHING), dialect.code
    codes = (*_challenged(headers), *codes_of(body, headers))
    text = body.text[:_LONGEST]
    if wording.is_throttled(text) or any(code.startswith(("rate_limit", "ratelimit", "too_many")) for code in codes):
        return Speech.THROTTLED, None
    if _NOT_OURS.search(text):
        return Speech.CLIENT, None
    for speech, known in _CODES:
        named = next((code for code in codes if code in known), None)
        if named is not None:
            return _for(kind, speech), named
    first = next((code for code in codes if not code.isdigit()), None)
    if _SAYS_BAD.search(text):
        return Speech.BAD_TOKEN, first
    if _SAYS_CLIENT.search(text):
        return _for(kind, Speech.CLIENT), first
    return (Speech.SCOPE if _SAYS_SCOPE.search(text) else Speech.NOTHING), first


def _challenged(headers: Mapping[str, str]) -> tuple[str, ...]:
    """The error that a Bearer challenge names (RFC 6750, section 3)."""
    found = _CHALLENGE.search(headers.get("www-authenticate", "")[:_LONGEST])
    return () if found is None else (found[1].lower(),)


def _for(kind: AuthType, speech: Speech) -> Speech:
    return Speech.BAD_TOKEN if speech is Speech.CLIENT and kind is not AuthType.OAUTH2 else speech
