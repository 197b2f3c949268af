"""The kinds of fields that options and data files are made of: what each accepts, and how JSON Schema says it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

_BRACES = re.compile(r"[{}\s]")
_LONGEST_URL = 2_048
_LONGEST_TEXT = 200


@dataclass(frozen=True, slots=True)
class Url:
    """An absolute http or https address. Whether it may be called is for the token endpoint's adapter to say.

    Braces mark placeholders, which only a provider's own data file may use.
    """

    templated: bool = False

    def complaint(self, value: object) -> str | None:
        """What is wrong with the value, or None."""
        if not isinstance(value, str) or len(value) > _LONGEST_URL:
            return f"expected a URL of at most {_LONGEST_URL} characters"
        if not value.isprintable() or (not self.templated and _BRACES.search(value)) or " " in value:
            return "a URL holds no blanks, control characters or braces"
        try:
            parts = urlsplit(value)
            has_host = bool(parts.hostname) and (parts.port is None or parts.port > 0)
        except ValueError:
            return "this is not a URL"
        if parts.scheme not in {"http", "https"} or not has_host:
            return "expected an absolute URL such as https://example.com/token"
        if parts.username is not None or parts.fragment:
            return "a URL here has no user name and no fragment"
        return None

    def schema(self) -> dict[str, Any]:
        """The field in JSON Schema."""
        return {"type": "string", "format": "uri", "maxLength": _LONGEST_URL}


@dataclass(frozen=True, slots=True)
class Choice:
    """One of a few words."""

    words: tuple[str, ...]

    def complaint(self, value: object) -> str | None:
        """What is wrong with the value, or None."""
        return None if isinstance(value, str) and value in self.words else f"expected one of {', '.join(self.words)}"

    def schema(self) -> dict[str, Any]:
        """The field in JSON Schema."""
        return {"type": "string", "enum": list(self.words)}


@dataclass(frozen=True, slots=True)
class Whole:
    """A whole number within bounds, both included."""

    least: int
    most: int

    def complaint(self, value: object) -> str | None:
        """What is wrong with the value, or None. True and False are no numbers."""
        is_whole = isinstance(value, int) and not isinstance(value, bool)
        if is_whole and isinstance(value, int) and self.least <= value <= self.most:
            return None
        return f"expected a whole number from {self.least} to {self.most}"

    def schema(self) -> dict[str, Any]:
        """The field in JSON Schema."""
        return {"type": "integer", "minimum": self.least, "maximum": self.most}


@dataclass(frozen=True, slots=True)
class Text:
    """A text that a pattern matches as a whole."""

    pattern: str = rf".{{1,{_LONGEST_TEXT}}}"
    says: str = f"a text of 1 to {_LONGEST_TEXT} characters"

    def complaint(self, value: object) -> str | None:
        """What is wrong with the value, or None."""
        return None if isinstance(value, str) and re.fullmatch(self.pattern, value) else f"expected {self.says}"

    def schema(self) -> dict[str, Any]:
        """The field in JSON Schema."""
        return {"type": "string", "pattern": f"^(?:{self.pattern})$"}


Field = Url | Choice | Whole | Text

_DAY = 86_400

OAUTH2_FIELDS: Mapping[str, Field] = {
    "authorization_url": Url(),
    "token_url": Url(),
    "refresh_url": Url(),
    "revocation_url": Url(),
    "introspection_url": Url(),
    "userinfo_url": Url(),
    "token_endpoint_auth_method": Choice(("client_secret_basic", "client_secret_post", "none")),
    "pkce": Choice(("required", "supported", "none")),
    "scope_separator": Text(r"[ ,;|+]{1,2}", "a separator such as a blank or a comma"),
    "refresh_rotates": Choice(("yes", "no", "sometimes")),
    "old_refresh_grace_s": Whole(0, 30 * _DAY),
    "old_refresh_grace_answer": Choice(("same", "newest", "unknown")),
    "reuse_detection": Choice(("revokes", "refuses", "none", "unknown")),
    "confirm_revocation_s": Whole(0, 3_600),
    "access_token_ttl_s": Whole(1, 3650 * _DAY),
    "external_id_path": Text(r"[A-Za-z0-9_.\[\]+ -]{1,200}", "a path such as user.id"),
}
"""An OAuth 2 provider's settings, by the names of the contract and of RFC 8414 where that has one."""

OAUTH1_FIELDS: Mapping[str, Field] = {
    "request_token_url": Url(),
    "authorization_url": Url(),
    "access_token_url": Url(),
    "signature_method": Choice(("HMAC-SHA1", "HMAC-SHA256", "RSA-SHA1", "PLAINTEXT")),
}

API_KEY_FIELDS: Mapping[str, Field] = {
    "key_placement": Text(
        r"(?:header|query) [A-Za-z0-9_-]{1,64}(?:: [ -~]{0,100})?", "a text such as header x-api-key: {key}"
    ),
}
