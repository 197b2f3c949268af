"""What the provider knows: codes, grants, access and refresh tokens. In memory, and nothing is ever forgotten."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from tokenkeep.adapters.demo_provider.options import ProviderOptions
from tokenkeep.adapters.demo_provider.presentations import Outcome

Clock = Callable[[], datetime]


class RevokedBecause(StrEnum):
    """What ended a grant."""

    REUSE = "refresh_token_reused"
    CODE_REUSE = "code_reused"
    CLIENT = "revoked_by_client"
    ADMIN = "revoked_by_admin"


@dataclass(slots=True)
class Grant:
    """One user's consent to one client; all tokens that follow from it die with it. `refreshes` counts those granted."""

    id: str
    user: str
    client_id: str
    scope: str
    opened_at: datetime
    refreshes: int = 0
    revoked_at: datetime | None = None
    revoked_because: RevokedBecause | None = None

    @property
    def is_revoked(self) -> bool:
        """Whether it has ended."""
        return self.revoked_at is not None


@dataclass(slots=True)
class Code:
    """An authorization code. `grant` is what it was redeemed for. Authlib asks by the methods' names."""

    text: str = field(repr=False)
    client_id: str
    redirect_uri: str
    scope: str
    user: str
    expires_at: datetime
    code_challenge: str | None = None
    code_challenge_method: str | None = None
    grant: Grant | None = None

    def get_redirect_uri(self) -> str:
        """The redirect URI of the authorization request."""
        return self.redirect_uri

    def get_scope(self) -> str:
        """The scopes, with spaces between."""
        return self.scope


@dataclass(slots=True)
class RefreshToken:
    """A refresh token. `used_at` is when its successor was handed out."""

    text: str = field(repr=False)
    grant: Grant
    scope: str
    used_at: datetime | None = None

    def check_client(self, client: Any) -> bool:
        """Whether it was issued to this client."""
        return bool(client.get_client_id() == self.grant.client_id)

    def get_scope(self) -> str:
        """The scopes, with spaces between."""
        return self.scope


@dataclass(slots=True)
class AccessToken:
    """An access token. It asks the clock itself, since Authlib does not say what time it is."""

    text: str = field(repr=False)
    grant: Grant
    scope: str
    expires_at: datetime
    clock: Clock = field(repr=False)
    revoked: bool = False

    def check_client(self, client: Any) -> bool:
        """Whether it was issued to this client."""
        return bool(client.get_client_id() == self.grant.client_id)

    def get_scope(self) -> str:
        """The scopes, with spaces between."""
        return self.scope

    def is_expired(self) -> bool:
        """Whether its time has run out."""
        return self.clock() >= self.expires_at

    def is_revoked(self) -> bool:
        """Whether it, or its grant, was revoked."""
        return self.revoked or self.grant.is_revoked


class Ledger:
    """The store, and the rules of what may be used again."""

    def __init__(self, options: ProviderOptions, clock: Clock) -> None:
        self._options = options
        self._clock = clock
        self._codes: dict[str, Code] = {}
        self.grants: dict[str, Grant] = {}
        self.access_tokens: dict[str, AccessToken] = {}
        self.refresh_tokens: dict[str, RefreshToken] = {}

    def add_code(
        self, code: str, *, client_id: str, redirect_uri: str, scope: str, user: str, pkce: Mapping[str, Any]
    ) -> None:
        """Keep a fresh authorization code with what it was asked for."""
        self._codes[code] = Code(
            text=code,
            client_id=client_id,
            redirect_uri=redirect_uri,
            scope=scope,
            user=user,
            expires_at=self._clock() + timedelta(seconds=self._options.code_lifetime_s),
            code_challenge=pkce.get("code_challenge"),
            code_challenge_method=pkce.get("code_challenge_method"),
        )

    def redeemable_code(self, text: str, *, client_id: str) -> Code | None:
        """The code, if this client may redeem it. One that comes again ends the grant (RFC 6749, section 4.1.2)."""
        code = self._codes.get(text)
        if code is None or code.client_id != client_id:
            return None
        if code.grant is not None:
            self.revoke(code.grant, RevokedBecause.CODE_REUSE)
            return None
        return None if self._clock() >= code.expires_at else code

    def open_grant(self, code: Code) -> Grant:
        """Redeem the code."""
        grant = Grant(f"grant-{len(self.grants) + 1}", code.user, code.client_id, code.scope, self._clock())
        self.grants[grant.id] = grant
        code.grant = grant
        return grant

    def keep_tokens(self, token: Mapping[str, Any], grant: Grant) -> None:
        """Keep the tokens of an answer to the client."""
        expires_at = self._clock() + timedelta(seconds=token["expires_in"])
        scope = token.get("scope", "")
        access = AccessToken(token["access_token"], grant, scope, expires_at, self._clock)
        self.access_tokens[access.text] = access
        if "refresh_token" in token:
            refresh = RefreshToken(token["refresh_token"], grant, grant.scope)
            self.refresh_tokens[refresh.text] = refresh

    def present(self, text: str, *, client_id: str) -> tuple[RefreshToken | None, Outcome]:
        """What a presentation of a refresh token leads to: the token if it is good, and what is to be said of it."""
        token = self.refresh_tokens.get(text)
        if token is None or token.grant.client_id != client_id or token.grant.is_revoked:
            return None, Outcome.REFUSED
        if token.used_at is None:
            return token, Outcome.GRANTED
        if self._clock() < token.used_at + timedelta(seconds=self._options.grace_s):
            return token, Outcome.GRANTED_IN_GRACE
        if self._options.detects_reuse:
            self.revoke(token.grant, RevokedBecause.REUSE)
        return None, Outcome.REUSED

    def settle(self, token: RefreshToken) -> None:
        """Count a granted refresh; if tokens rotate, this one is used up from now on."""
        token.grant.refreshes += 1
        if self._options.rotates and token.used_at is None:
            token.used_at = self._clock()

    def revoke(self, grant: Grant, because: RevokedBecause) -> None:
        """End a grant with all its tokens. A second end changes nothing."""
        if not grant.is_revoked:
            grant.revoked_at = self._clock()
            grant.revoked_because = because

    def user_of(self, *, code: str | None, refresh_token: str | None) -> str | None:
        """Whose code or refresh token this is."""
        if refresh_token is not None and (token := self.refresh_tokens.get(refresh_token)) is not None:
            return token.grant.user
        if code is not None and (known := self._codes.get(code)) is not None:
            return known.user
        return None
