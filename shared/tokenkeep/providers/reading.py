"""The decision order: what a complete answer says, read by status, shape, code and words, in that order."""

from collections.abc import Mapping

from tokenkeep.providers import wording
from tokenkeep.providers.answer import Answer
from tokenkeep.providers.answer_body import Body, Shape
from tokenkeep.providers.code_words import of_code_words
from tokenkeep.providers.dialects import read_dialect
from tokenkeep.providers.error_codes import CODES, codes_of
from tokenkeep.providers.meaning import AnswerRule, Meaning, Reading
from tokenkeep.providers.token_set import has_token

_TOO_MANY = 429
_UNAUTHORIZED = 401
_FORBIDDEN = 403
_NOT_ALLOWED = 405
_INTERNAL = 500
_GATEWAY_TIMEOUT = 504

_BY_STATUS: Mapping[int, Meaning] = {
    **dict.fromkeys((405, 407, 410, 426), Meaning.CLIENT_MISCONFIGURED),
    **dict.fromkeys((406, 411, 413, 414, 415, 431), Meaning.INVALID_REQUEST),
    **dict.fromkeys((408, 409, 421, 425), Meaning.TRANSIENT),
}
_EXPIRED = frozenset({"expired_token", "token_expired"})
_BOT_WALLS = ("x-amzn-waf-action", "cf-mitigated", "x-datadome", "x-iinfo")
_NO = (False, "false", "no")
_FAILED = ("error", "fail", "failed", "failure")
_NO_ERRORS = frozenset({"", "0", "false", "none", "null", "ok", "success"})
_CAPTCHA = b"captcha-delivery.com"
_LONGEST_CAPTCHA = 2_048
_NEVER_OF_GRANTS = frozenset({402, 407, 408, 421, 423, 425, 451})
_MOVED_FOR_GOOD = frozenset({301, 308})


def read_answer(
    answer: Answer, body: Body, *, token_path: str | None = None, rules: tuple[AnswerRule, ...] = ()
) -> Reading:
    """What the answer says. Total: every status, header and body has a reading, and UNCLEAR is the one of last resort.

    `revoked` needs the provider's word for it. A page, an empty body and a status by itself never say it.
    """
    status = answer.status
    if status == _TOO_MANY:
        return Reading(Meaning.RATE_LIMITED)
    if _is_redirect(status):
        return _of_redirect(answer)
    is_success = 200 <= status < 300  # noqa: PLR2004 - RFC 9110, section 15.3
    if is_success and has_token(body.fields, token_path) and not _names_an_error(body):
        return Reading(Meaning.OK)
    told = _told(answer, body, rules)
    if told is None or (told.meaning is Meaning.UNCLEAR and told.code is None):
        told = _untold(answer, body)
    if told.meaning is Meaning.REVOKED and status in _NEVER_OF_GRANTS:
        return Reading(Meaning.UNCLEAR, told.code)
    return _tempered(told, status) if status >= _INTERNAL else told


def _is_redirect(status: int) -> bool:
    return 300 <= status < 400  # noqa: PLR2004 - RFC 9110, section 15.4


def _of_redirect(answer: Answer) -> Reading:
    """A redirect is not followed: the secrets are meant for the configured host and no other."""
    if answer.status in _MOVED_FOR_GOOD:
        return Reading(Meaning.CLIENT_MISCONFIGURED)
    location = answer.headers.get("location", "").lower()
    if "/sorry/" in location:
        # Google sends addresses that ask too often to a page of this path.
        return Reading(Meaning.RATE_LIMITED)
    down = "maintenance" in location or "//status." in location
    return Reading(Meaning.TRANSIENT if down else Meaning.UNCLEAR)


def _names_an_error(body: Body) -> bool:
    """Whether the body says that it is a failure. `error` null, empty, false or 0 does not."""
    fields = body.fields
    if not is_no_error(fields.get("error")):
        return True
    if any(fields.get(mark) in _NO for mark in ("ok", "success")) or fields.get("status") in _FAILED:
        return True
    return any(not is_no_error(fields.get(name)) for name in ("errcode", "error_code"))


def is_no_error(value: object) -> bool:
    """Whether what stands in the place of an error says that there was none."""
    if isinstance(value, dict):
        return not value or ("code" in value and is_no_error(value["code"]))
    if isinstance(value, str):
        return value.strip().lower() in _NO_ERRORS
    return not value


def _told(answer: Answer, body: Body, rules: tuple[AnswerRule, ...]) -> Reading | None:
    """What the provider's own rules, codes and sentences say; None when there is nothing to go by."""
    status = answer.status
    codes = codes_of(body, answer.headers)
    first = codes[0] if codes else None
    own = next((rule for rule in rules if rule.matches(status, codes, body.text)), None)
    if own is not None and body.shape not in {Shape.EMPTY, Shape.BROKEN}:
        return Reading(own.means, own.code or first, _subtype(body))
    if body.shape not in {Shape.FIELDS, Shape.TEXT}:
        # A page's words are weighed elsewhere; a gateway's header speaks for itself.
        meaning = next((said for code in codes if (said := of_code_words(code)) is not None), None)
        return None if meaning in {None, Meaning.REVOKED} else Reading(meaning, first)
    dialect = read_dialect(body)
    if dialect is not None:
        return dialect
    if first is None and is_bot_wall(answer):
        return Reading(Meaning.TRANSIENT)
    return Reading(_general(status, codes, body.text), first, _subtype(body))


def is_bot_wall(answer: Answer) -> bool:
    """Whether the answer comes from a wall against robots: it is about our address, never about a grant."""
    return any(name in answer.headers for name in _BOT_WALLS) or _CAPTCHA in answer.body[:_LONGEST_CAPTCHA]


def _general(status: int, codes: tuple[str, ...], text: str) -> Meaning:
    """The rules that hold at every provider."""
    code = codes[0] if codes else None
    if status == _NOT_ALLOWED and not wording.is_throttled(text):
        return Meaning.CLIENT_MISCONFIGURED
    known = CODES.get(code or "")
    if known is Meaning.TRANSIENT and status < _INTERNAL and _names_a_dead_grant(codes[1:]):
        return Meaning.REVOKED
    if known is not Meaning.RATE_LIMITED and wording.is_throttled(text):
        is_dead = code == "invalid_grant" and wording.limits_a_dead_grant(text)
        return wording.of_invalid_grant(text) if is_dead else Meaning.RATE_LIMITED
    if code in _EXPIRED and "unauthorized" in codes:
        return Meaning.UNCLEAR  # so an API speaks of an access token
    if code == "access_denied" and status == _UNAUTHORIZED:
        return Meaning.CLIENT_MISCONFIGURED
    if code == "invalid_grant":
        return Meaning.CLIENT_MISCONFIGURED if "invalid_client" in codes else _of_invalid_grant(codes, text)
    if code == "unauthorized_client":
        return wording.of_unauthorized_client(text)
    return _by_words(codes, text) if known is None else known


def _of_invalid_grant(codes: tuple[str, ...], text: str) -> Meaning:
    """By the words; but a token that the provider's own code calls dead was there, whatever they say is missing."""
    said = wording.of_invalid_grant(text)
    if said is not Meaning.INVALID_REQUEST:
        return said
    is_dead = any("refresh" in code and CODES.get(code) is Meaning.REVOKED for code in codes)
    return Meaning.REVOKED if is_dead else said


def _names_a_dead_grant(codes: tuple[str, ...]) -> bool:
    """Whether a code beside a general one says what really happened."""
    return any(of_code_words(code) is Meaning.REVOKED for code in codes)


def _by_words(codes: tuple[str, ...], text: str) -> Meaning:
    """The sentences first, then what the words of a code say that nobody has listed."""
    said = wording.of_words_alone(text)
    if said is not Meaning.UNCLEAR:
        return said
    meanings = (of_code_words(code) for code in codes)
    return next((meaning for meaning in meanings if meaning is not None), Meaning.UNCLEAR)


def _subtype(body: Body) -> str | None:
    for name in ("error_subtype", "suberror"):
        value = body.fields.get(name)
        if isinstance(value, str):
            return value
    return None


def _untold(answer: Answer, body: Body) -> Reading:
    """What the status and the kind of body say, where no code and no sentence does."""
    status = answer.status
    if is_bot_wall(answer) and status != _UNAUTHORIZED:
        return Reading(Meaning.TRANSIENT)
    if status in _BY_STATUS:
        return Reading(_BY_STATUS[status])
    if status < 300 and body.shape is Shape.BROKEN:  # noqa: PLR2004 - a cut success
        return Reading(Meaning.TRANSIENT)
    if body.shape is Shape.MARKUP:
        return Reading(_of_page(status, body.text))
    challenge = answer.headers.get("www-authenticate", "").lower()
    if status == _UNAUTHORIZED and body.shape is Shape.EMPTY and challenge.startswith("basic"):
        return Reading(Meaning.CLIENT_MISCONFIGURED)
    return Reading(Meaning.UNCLEAR)


def _of_page(status: int, text: str) -> Meaning:
    """A page is a proxy's, a firewall's or a sign-in form's. It never says that a grant is dead."""
    if "csrf" in text:
        return Meaning.UNCLEAR
    if status == _FORBIDDEN:
        return Meaning.RATE_LIMITED if wording.is_throttled(text) else Meaning.TRANSIENT
    if wording.names_our_address(text):
        return Meaning.CLIENT_MISCONFIGURED
    if wording.names_large_headers(text):
        return Meaning.INVALID_REQUEST
    if status < 300 and wording.is_block_page(text):  # noqa: PLR2004 - a page in the place of a success
        return Meaning.TRANSIENT
    return Meaning.UNCLEAR


def _tempered(told: Reading, status: int) -> Reading:
    """A server in trouble is believed when it asks for fewer requests, and in nothing else.

    A dead grant that a 500 speaks of is worth asking about again; with the others it is not even noted.
    """
    if told.meaning is Meaning.RATE_LIMITED and status != _GATEWAY_TIMEOUT:
        return told
    if told.meaning is Meaning.REVOKED and status == _INTERNAL:
        return Reading(Meaning.UNCLEAR, told.code)
    return Reading(Meaning.TRANSIENT, told.code)
