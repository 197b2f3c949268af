"""What a request to a provider needs, of whatever kind the credentials are."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import NoReturn

from tokenkeep.client.reading import Answer
from tokenkeep.domain.incoming_event import fingerprint
from tokenkeep.domain.secret import Secret


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Token(Answer):
    """Credentials, ready to use: put `headers`, `query` and `path` into a request, as far as they are there.

    Neither repr nor str shows them, and pickle refuses them: a token belongs into no cache and no queue. `access_token` is
    None where the credentials are none. `path` goes before the request's own path. `is_signed`: each request is signed for
    itself, by `client.accounts.sign`. `expires_at` None: they do not expire.
    """

    access_token: str | None = None
    token_type: str | None = None
    expires_at: datetime | None = None
    scopes: tuple[str, ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    refreshed: bool = False
    query: Mapping[str, str] = field(default_factory=dict)
    path: str | None = None
    sign_url: str | None = None

    @property
    def is_signed(self) -> bool:
        """Whether each request is signed for itself (RFC 5849)."""
        return self.sign_url is not None

    @property
    def fingerprint(self) -> str | None:
        """The first 16 hex digits of the access token's SHA-256, by which reports name it; None where there is no token."""
        return None if self.access_token is None else fingerprint(Secret(self.access_token))

    def __repr__(self) -> str:
        expires_at = None if self.expires_at is None else self.expires_at.isoformat()
        return f"Token(***, expires_at={expires_at})"

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a token is never pickled: ask for one where it is needed")
