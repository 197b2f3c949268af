"""How a provider is asked to revoke a grant: as RFC 7009 has it, or in a way of its own."""

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final
from urllib.parse import urlsplit

from tokenkeep.providers.request_shape import RESERVED_HEADERS

SECRET_NAMES: Final = ("access_token", "refresh_token", "token")
"""What of a grant may stand in braces. `token` is the one that is to be revoked, whichever that is."""

REVOCATION_NAMES: Final = frozenset({*SECRET_NAMES, "client_id"})
"""What may stand in braces in the address and the parameters of a revocation without being declared."""

_SECRET = re.compile(r"\{(access_token|refresh_token|token|client_secret)\}")
_NOT_THESE = "|".join(sorted(RESERVED_HEADERS - {"authorization"}))

AUTH_PATTERN: Final = rf"client|client_secret_basic|client_secret_post|bearer|none|header (?!(?:{_NOT_THESE}):)[a-z0-9-]{{1,64}}: [ -z|~]{{0,100}}\{{(?:access_token|client_secret)\}}"
"""How the request of a revocation shows by whose right it is made."""

_BEARER = ("authorization", "Bearer {access_token}")


class TokenKind(StrEnum):
    """A token of a grant, by its name in RFC 7009, section 2.1."""

    REFRESH = "refresh_token"
    ACCESS = "access_token"


class RevocationMethod(StrEnum):
    """How the request is made."""

    POST = "POST"
    DELETE = "DELETE"
    GET = "GET"


class RevocationFormat(StrEnum):
    """Where the parameters stand. Those of a GET are always in the query."""

    FORM = "form"
    JSON = "json"
    QUERY = "query"


@dataclass(frozen=True, slots=True)
class RevocationWay:
    """What a provider wants to be sent.

    `params` stand in the place of RFC 7009's two; without them those are sent, unless the token stands in the address or in a
    header already. `token` is which one is revoked where the account has both. `header` is a name with a template.
    `by_client`: the client shows itself, as at the token endpoint or by the method `client_auth` (RFC 7591, section 2).
    """

    url: str
    method: RevocationMethod = RevocationMethod.POST
    request_format: RevocationFormat = RevocationFormat.FORM
    token: TokenKind = TokenKind.REFRESH
    by_client: bool = True
    client_auth: str | None = None
    header: tuple[str, str] | None = None
    params: Mapping[str, str] = field(default_factory=dict)

    @property
    def needs_client(self) -> bool:
        """Whether the client's own proof is part of the request."""
        return self.by_client or "client_secret" in self._named

    @property
    def says_token(self) -> bool:
        """Whether the request is made by the right of the token alone: an answer that refuses it speaks of the token."""
        return not self.needs_client

    @property
    def sends_standard_params(self) -> bool:
        """Whether RFC 7009's own parameters are sent: nothing else says which token is meant."""
        return not self.params and not self._named & {*SECRET_NAMES}

    def tokens_of(self, held: Collection[TokenKind]) -> frozenset[TokenKind]:
        """Which of an account's tokens the request takes; none when it has not got them all, and can't be made."""
        wanted = {TokenKind(name) for name in self._named if name in frozenset(TokenKind)}
        if "token" in self._named or self.sends_standard_params:
            wanted.add(self.revoked_of(held))
        return frozenset(wanted) if wanted <= {*held} else frozenset()

    def revoked_of(self, held: Collection[TokenKind]) -> TokenKind:
        """The token that is revoked: an account that never had a refresh token loses its access token."""
        return self.token if self.token in held else TokenKind.ACCESS

    @property
    def _named(self) -> frozenset[str]:
        templates = (self.url, *self.params.values(), *([self.header[1]] if self.header else ()))
        return frozenset(name for template in templates for name in _SECRET.findall(template))


def revocation_way(chosen: Callable[[str], Any]) -> RevocationWay | None:
    """The way that these settings, by their names in data files and options, describe; None when there is no address."""
    url = chosen("revocation_url")
    if url is None:
        return None
    auth = chosen("revocation_auth") or "client"
    return RevocationWay(
        url=url,
        method=RevocationMethod(chosen("revocation_method") or RevocationMethod.POST),
        request_format=RevocationFormat(chosen("revocation_format") or RevocationFormat.FORM),
        token=TokenKind(chosen("revocation_token") or TokenKind.REFRESH),
        by_client=auth.startswith("client"),
        client_auth=auth if auth.startswith("client_") else None,
        header=_BEARER if auth == "bearer" else _header(auth),
        params=chosen("revocation_params"),
    )


def split_address(template: str) -> tuple[str, str]:
    """The part of an address that holds no secret, and the rest, from the first placeholder of a secret on."""
    found = _SECRET.search(template)
    return (template, "") if found is None else (template[: found.start()], template[found.start() :])


def address_complaint(template: str) -> str | None:
    """What is wrong with secrets in the address of a revocation, or None: they may stand in its path and nowhere else."""
    shown, rest = split_address(template)
    if not rest:
        return None
    before = urlsplit(shown)
    in_path = before.path.startswith("/") and not before.query and "?" not in shown
    if not in_path or _SECRET.search(urlsplit(rest).query):
        return "a token may stand in the path of the address only"
    return None


def _header(auth: str) -> tuple[str, str] | None:
    name, _, template = auth.removeprefix("header ").partition(": ")
    return (name, template) if template else None
