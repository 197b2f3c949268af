"""Credentials on their way into an account's row: their lives worked out, their usefulness seen, sealed."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any, Self

from tokenkeep.application.prepared_account import GrantClaim, PreparedCredentials
from tokenkeep.application.sealing import TokenSealer
from tokenkeep.application.work import Work
from tokenkeep.domain.account import Account, AuthType
from tokenkeep.domain.credential import CredentialVersion, Held, StaticCredentials, TokenSet, is_renewed
from tokenkeep.domain.errors import InvalidInput
from tokenkeep.domain.ids import AccountId
from tokenkeep.domain.refresh_policy import RefreshPolicy
from tokenkeep.domain.secret import Secret
from tokenkeep.domain.source import Source
from tokenkeep.providers.account_properties import missing_properties
from tokenkeep.providers.catalogue import Catalogue
from tokenkeep.providers.entry import Presented, Provider
from tokenkeep.providers.hook_rules import HookScheme
from tokenkeep.providers.lifetimes import folded, refresh_end
from tokenkeep.providers.options import effective_rules
from tokenkeep.providers.request_credentials import request_credentials
from tokenkeep.providers.rules import OAuth2Rules
from tokenkeep.providers.security_events import token_marks
from tokenkeep.providers.token_request import check_properties


@dataclass(frozen=True, slots=True)
class LiveTokens:
    """A token set that the caller already holds. `expires_in_s` counts from the moment of the call."""

    access_token: Secret
    refresh_token: Secret | None = None
    token_type: str = "Bearer"  # noqa: S105 - RFC 6750's name of a scheme
    scopes: tuple[str, ...] | None = None
    expires_at: datetime | None = None
    expires_in_s: float | None = None
    refresh_token_expires_at: datetime | None = None


Stored = LiveTokens | TokenSet | StaticCredentials
"""What can be stored."""


@dataclass(frozen=True, slots=True)
class Keeping:
    """How a source's accounts keep their credentials. `rules` are those of OAuth 2, and None for other kinds."""

    provider: Provider
    source: Source
    rules: OAuth2Rules | None

    @classmethod
    def at(cls, catalogue: Catalogue, source: Source) -> Self:
        """What goes for this source."""
        provider = catalogue.get(source.provider)
        is_oauth2 = provider.auth_type is AuthType.OAUTH2
        return cls(provider, source, effective_rules(provider, source.options) if is_oauth2 else None)

    @property
    def idle_life(self) -> timedelta | None:
        """How long what renews them may lie unused; None when nothing does, or nobody says that it may not."""
        return None if self.rules is None or self._presented is not Presented.REFRESH_TOKEN else self.rules.idle_life

    def policy(self, usual: RefreshPolicy) -> RefreshPolicy:
        """The usual margins, as the provider lets them be kept."""
        return usual if self.rules is None else usual.within(self.rules.refresh_window)

    @property
    def spends(self) -> bool:
        """Whether what renews them may be used up by being presented."""
        return self.rules is not None and self.rules.rotation.spends

    @property
    def _presented(self) -> Presented:
        return Presented.REFRESH_TOKEN if self.rules is None else self.rules.presented

    def normalised(self, given: Stored, *, now: datetime) -> Held:
        """Credentials with their life worked out: as told, else as the provider is known to give."""
        match given:
            case TokenSet():
                # An answer that names no scope grants what was asked for (RFC 6749, section 5.1).
                return given if given.scopes is not None else replace(given, scopes=self.source.scopes)
            case StaticCredentials():
                usual = self.source.options.get("access_token_ttl_s") or self.provider.access_token_ttl_s
                if given.expires_at is not None or usual is None:
                    return given
                return replace(given, expires_at=now + timedelta(seconds=usual))
            case LiveTokens():
                return self._of_live(given, now=now)

    def _of_live(self, tokens: LiveTokens, *, now: datetime) -> TokenSet:
        usual = None if self.rules is None else self.rules.access_token_ttl_s
        expires_at = tokens.expires_at
        if expires_at is None and tokens.expires_in_s is not None:
            expires_at = now + timedelta(seconds=tokens.expires_in_s)
        if expires_at is None and usual is not None:
            expires_at = now + timedelta(seconds=usual)
        refresh_token = tokens.refresh_token
        if refresh_token is None and self._presented is Presented.ACCESS_TOKEN:
            refresh_token = tokens.access_token
        refresh_ends_at = tokens.refresh_token_expires_at
        if refresh_ends_at is None and tokens.refresh_token is not None:
            # The usual life tells nothing here: nobody knows when it began.
            refresh_ends_at = refresh_end(folded({}), tokens.refresh_token.reveal(), sent_at=now).at
        return TokenSet(
            access_token=tokens.access_token,
            token_type=tokens.token_type,
            refresh_token=refresh_token,
            scopes=tokens.scopes if tokens.scopes is not None else self.source.scopes,
            expires_at=expires_at,
            refresh_token_expires_at=refresh_ends_at,
        )

    def is_ready(self, held: Held, properties: Mapping[str, Any]) -> bool:
        """Whether an account can be used with these credentials and properties: a required property may still be to come.

        Raises:
            InvalidInput: Requests can't be made with them, whatever comes; the field names what is wrong.
        """
        fields = held.fields if isinstance(held, StaticCredentials) else {}
        return self.can_be_used(fields, properties, renewed=is_renewed(held))

    def can_be_used(self, fields: Mapping[str, Secret], properties: Mapping[str, Any], *, renewed: bool) -> bool:
        """As `is_ready`, of credentials that are stored; their fields count where they are no token of OAuth 2."""
        is_whole = not missing_properties(self.provider, properties)
        try:
            if self.rules is None:
                request_credentials(self.provider, self.source.options, fields, properties=properties)
            elif renewed:
                check_properties(self.rules, properties)
        except InvalidInput as fault:
            if is_whole or not fault.field.startswith("properties."):
                raise
        return is_whole

    async def put(
        self, work: Work, sealer: TokenSealer, account: Account, held: Held, version: CredentialVersion
    ) -> None:
        """Seal credentials under a data key of their own, in the place of any that were there.

        Raises:
            AccountExists: The client has another account with this very refresh token, at whatever source.
            RevocationUnanswered: The provider is told just now to revoke this grant, or another one of its user's.
        """
        credentials = self.sealed(sealer, account.id, held, version)
        await work.accounts.put_credentials(account.id, version, credentials.key, credentials.sealed)
        if credentials.fingerprints:
            await work.revocations.forget(account, credentials.fingerprints)
        if credentials.claim is not None:
            await work.accounts.claim_grant(account, credentials.claim)

    def sealed(
        self, sealer: TokenSealer, account_id: AccountId, held: Held, version: CredentialVersion
    ) -> PreparedCredentials:
        """Credentials sealed under a data key of their own, and what tells that another account came with the same."""
        key = sealer.vault.new_data_key(account_id)
        if isinstance(held, StaticCredentials):
            return PreparedCredentials(version, key, sealer.seal_static(account_id, key, held, version), None)
        sealed = sealer.seal(account_id, key, held, version, kept=None, presented=self._presented)
        # A machine's key may serve many accounts, and is spent by none of them.
        claimed = None if self._presented is Presented.MACHINE_CREDENTIALS else held.refresh_token
        claim = None if claimed is None else self._claim(claimed)
        return PreparedCredentials(version, key, sealed, claim, _fingerprints(held))

    def _claim(self, token: Secret) -> GrantClaim:
        claim = GrantClaim(fingerprint(token), _client_key(self.source))
        hooks = self.provider.hooks
        if hooks is None or hooks.scheme is not HookScheme.SECURITY_EVENT_TOKEN:
            return claim
        whole, beginning = token_marks(token)
        return replace(claim, token_mark=whole.digest, prefix_mark=beginning.digest)


def fingerprint(token: Secret) -> bytes:
    """The SHA-256 of a token: too random to be guessed from it."""
    return sha256(token.reveal().encode(errors="surrogatepass")).digest()


def _client_key(source: Source) -> bytes | None:
    """What is the same for all sources of one client of a provider, in whatever environment, and for no others."""
    if source.client_id is None:
        return None
    return sha256(f"{source.provider}\0{source.client_id}".encode()).digest()[:16]


def _fingerprints(tokens: TokenSet) -> frozenset[bytes]:
    return frozenset(fingerprint(token) for token in (tokens.access_token, tokens.refresh_token) if token is not None)
