"""Codes that nobody has listed: what the words say that they are made of (`refresh_token_reused`, `APP_SUSPENDED`)."""

from tokenkeep.providers.meaning import Meaning

_MOST_WORDS = 6
_THROTTLE = frozenset(["qps", "quota", "ratelimit", "ratelimited", "throttle", "throttled", "throttling"])
_TROUBLE = frozenset(
    [
        "backend",
        "busy",
        "concurrent",
        "conflict",
        "gateway",
        "hystrix",
        "internal",
        "maintenance",
        "outage",
        "overload",
        "overloaded",
        "retry",
        "simultaneous",
        "temporarily",
        "temporary",
        "timeout",
        "unavailable",
        "unreachable",
        "upstream",
    ]
)
_LEFT = frozenset(
    ["deauthorized", "deauthorised", "disconnected", "unauthorize", "uninstalled", "unlinked", "unsubscribed"]
)
_ASK_THE_USER = frozenset(
    [
        "consent",
        "interaction",
        "login",
        "mfa",
        "reauth",
        "reauthenticate",
        "reauthentication",
        "reauthorization",
        "reauthorize",
        "reconnect",
        "reconsent",
        "relink",
        "relogin",
        "signin",
        "sso",
    ]
)
_GRANTS = frozenset(
    ["authorisation", "authorization", "consent", "delegation", "grant", "login", "session", "token", "tokens"]
)
_ENDED = frozenset(
    [
        "blacklisted",
        "consumed",
        "deleted",
        "expired",
        "inactive",
        "invalidated",
        "removed",
        "rejected",
        "reused",
        "revoked",
        "terminated",
        "used",
        "withdrawn",
    ]
)
_WRONG = frozenset(
    [
        "bad",
        "fail",
        "failed",
        "incorrect",
        "invalid",
        "malformed",
        "mismatch",
        "missing",
        "not",
        "notfound",
        "unknown",
        "unrecognized",
        "wrong",
    ]
)
_OTHER_TOKENS = frozenset(
    [
        "access",
        "api",
        "app",
        "application",
        "bearer",
        "client",
        "code",
        "csrf",
        "device",
        "id",
        "identity",
        "jwt",
        "key",
    ]
)
_OWNERS = frozenset(
    [
        "account",
        "customer",
        "member",
        "merchant",
        "org",
        "organisation",
        "organization",
        "owner",
        "seller",
        "shop",
        "store",
        "team",
        "user",
        "workspace",
    ]
)
_GONE = frozenset(["closed", "deactivated", "deleted", "disabled", "gone", "inactive", "removed", "terminated"])
_MACHINERY = frozenset(
    [
        "agent",
        "endpoint",
        "handler",
        "pool",
        "request",
        "server",
        "service",
        "signature",
        "state",
        "store",
        "type",
        "url",
        "verify",
    ]
)
_CLIENTS = frozenset(["app", "application", "client", "consumer", "developer", "partner"])
_CLIENT_FAULTS = _WRONG | frozenset(
    [
        "blocked",
        "deactivated",
        "deleted",
        "disabled",
        "disallowed",
        "error",
        "expired",
        "inactive",
        "rejected",
        "revoked",
        "suspended",
        "unauthorized",
        "unsupported",
    ]
)
_OUR_ADDRESS = frozenset(
    ["certificate", "hostname", "https", "insecure", "realm", "redirect", "ssl", "tenant", "tls", "transport"]
)
_PARAMETERS = frozenset(
    [
        "argument",
        "arguments",
        "body",
        "content",
        "field",
        "form",
        "input",
        "json",
        "media",
        "param",
        "parameter",
        "parameters",
        "params",
        "payload",
        "request",
        "validation",
    ]
)


def of_code_words(code: str) -> Meaning | None:
    """What a code in normal form (`error_codes.normal`) means by its words; None when they say too little.

    A code says `revoked` only where it names a grant, or the user, and what became of it.
    """
    spelt = code.split("_")
    if len(spelt) > _MOST_WORDS:
        return None  # a sentence in the place of a code
    words = frozenset(spelt)
    if _THROTTLE & words or {"rate", "limit"} <= words or {"too", "many"} <= words or _is_limit(words):
        return Meaning.RATE_LIMITED
    if _LEFT & words:
        return Meaning.REVOKED
    if "grant" in words and "type" in words:
        return Meaning.CLIENT_MISCONFIGURED
    if "refresh" in words and "not" in words and {"allowed", "enabled", "supported"} & words:
        return Meaning.CLIENT_MISCONFIGURED
    if {"due", "early"} & words and {"refresh", "token"} & words:
        return Meaning.TRANSIENT
    if _names_a_dead_grant(words):
        return Meaning.REVOKED
    if _TROUBLE & words or {"server", "error"} <= words or {"time", "out"} <= words:
        return Meaning.TRANSIENT
    return _of_ourselves(words)


def _is_limit(words: frozenset[str]) -> bool:
    return "limit" in words and bool({"access", "api", "call", "calls", "frequency", "request", "requests"} & words)


def _names_a_dead_grant(words: frozenset[str]) -> bool:
    if _MACHINERY & words or "failed" in words:
        return False
    if "refresh" in words and (_ENDED | _WRONG - {"missing"}) & words:
        return not (_CLIENTS | {"param", "parameter"}) & words
    if _ASK_THE_USER & words and {"required", "needed"} & words:
        return True
    if _OTHER_TOKENS & words or "certificate" in words:
        return False
    if {"consent", "grant"} & words and "invalid" in words:
        return True
    if {"session", "expired"} <= words:
        return False  # most often that of an access token
    if _GRANTS & words and (_ENDED & words or {"not", "found"} <= words or "notfound" in words):
        return True
    return bool(_OWNERS & words and (_GONE & words or _is_no_user(words)))


def _is_no_user(words: frozenset[str]) -> bool:
    return "user" in words and "not" in words and bool({"active", "exist", "exists", "found"} & words)


def _of_ourselves(words: frozenset[str]) -> Meaning | None:
    if _CLIENTS & words and (_CLIENT_FAULTS & words or {"secret", "credentials"} & words):
        return Meaning.CLIENT_MISCONFIGURED
    if {"api", "key"} <= words and (_CLIENT_FAULTS & words):
        return Meaning.CLIENT_MISCONFIGURED
    if _OUR_ADDRESS & words or {"signature", "dpop"} & words:
        return Meaning.CLIENT_MISCONFIGURED
    if _PARAMETERS & words and (_WRONG | {"required", "unsupported"}) & words and len(words) > 1:
        # `invalid_request` and `bad_request` say too little for this.
        return None if words <= _WRONG | {"request"} else Meaning.INVALID_REQUEST
    return None
