"""Obtain credentials that are fit to be stored: what has to be exchanged exchanged, and what came of it, or was given, verified."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from tokenkeep.application.check_credentials import CheckCredentials, InHand
from tokenkeep.application.create_account import (
    AuthorizationCode,
    CodeExchange,
    FirstToken,
    GivenCredentials,
    VerifiedToken,
    VerifierExchange,
)
from tokenkeep.application.discard_grant import DiscardGrant
from tokenkeep.application.keep_credentials import LiveTokens, Stored
from tokenkeep.application.work import Works
from tokenkeep.domain.credential import StaticCredentials, TokenSet
from tokenkeep.domain.errors import CredentialsRejected, ExternalIdMismatch, NotFound
from tokenkeep.domain.external_id import ExternalId, Likeness, likeness
from tokenkeep.domain.ids import SourceId
from tokenkeep.domain.source import Source
from tokenkeep.domain.verification import UNCHECKED, Checked, Confirmed, Finding, Rejected
from tokenkeep.providers.machine_credentials import MachineCredentials

_MEMBER = "credentials"


@dataclass(frozen=True, slots=True)
class Purpose:
    """What the credentials are for.

    `expected`: a new account is to be this one of the provider's. `owner`: they are for an account that is this one.
    """

    source_id: SourceId
    environment: str
    properties: Mapping[str, Any]
    expected: str | None = None
    verify: bool = True
    owner: ExternalId | None = None

    def refuses(self, told: Sequence[ExternalId]) -> bool:
        """Whether what is told of the credentials is somebody else."""
        known = self.owner or (None if self.expected is None else ExternalId(self.expected))
        return known is not None and likeness(known, told) is Likeness.ANOTHER


@dataclass(frozen=True, slots=True)
class Obtained:
    """Credentials, and what is known of them."""

    tokens: Stored
    checked: Checked


@dataclass(frozen=True, slots=True)
class ObtainCredentials:
    """Asks the provider once or twice, outside of any transaction, before anything is stored."""

    works: Works
    exchange: CodeExchange
    obtain_token: FirstToken
    check: CheckCredentials
    discard: DiscardGrant
    exchange_verifier: VerifierExchange

    async def __call__(
        self, given: GivenCredentials, purpose: Purpose, *, exchanged: Callable[[], None] | None = None
    ) -> Obtained:
        """The credentials. `exchanged` is called once the provider has taken what can be exchanged only once.

        Raises:
            NotFound: There is no such source in this environment.
            InvalidInput: A property that the provider's address needs is missing or wrong.
            CredentialsRejected: The provider refuses the code, the source's client, or the credentials.
            ExternalIdMismatch: They are another account's than the one that is expected.
            ProviderUnavailable: Nothing could be exchanged. To be verified, credentials need no provider.
        """
        # Read first: between an exchange and the storing of what it gave, nothing may fail that can be avoided.
        source, now = await self._found(purpose)
        tokens = await self._exchanged(given, purpose)
        if exchanged is not None:
            exchanged()
        held = in_hand(tokens, source, now=now, fresh=isinstance(given, VerifiedToken))
        finding = None
        if purpose.verify and held is not None:
            owner, insist = purpose.owner, is_owner_untold(purpose.owner, tokens)
            finding = await self.check(source, held, purpose.properties, now=now, known=owner, insist=insist)
        if isinstance(finding, Rejected):
            raise CredentialsRejected(_field(given), f"the provider does not take the credentials: {finding.code}")
        checked = checked_by(finding, tokens)
        if purpose.refuses(checked.told):
            if isinstance(given, AuthorizationCode) and isinstance(tokens, TokenSet):
                # A grant that was made for us is nobody's now. What the caller holds himself is his.
                await self.discard(source, tokens, purpose.properties, external_id=checked.external_id)
            raise ExternalIdMismatch
        return Obtained(tokens, checked)

    async def at_once(self, given: GivenCredentials, purpose: Purpose) -> Obtained | None:
        """The credentials where no provider is asked about them; None where one is.

        Raises:
            NotFound: There is no such source in this environment.
        """
        if isinstance(given, AuthorizationCode | VerifiedToken | MachineCredentials):
            return None
        if purpose.verify and self.check.can_ask((await self._found(purpose))[0]):
            return None
        return Obtained(given, UNCHECKED)

    async def _exchanged(self, given: GivenCredentials, purpose: Purpose) -> Stored:
        match given:
            case AuthorizationCode():
                return await self.exchange(purpose.source_id, purpose.environment, given, purpose.properties)
            case VerifiedToken():
                return await self.exchange_verifier(purpose.source_id, purpose.environment, given, purpose.properties)
            case MachineCredentials():
                return await self.obtain_token(purpose.source_id, purpose.environment, given, purpose.properties)
            case _:
                return given

    async def _found(self, purpose: Purpose) -> tuple[Source, datetime]:
        async with self.works() as work:
            source = await work.sources.get(purpose.source_id, purpose.environment)
            now = await work.accounts.now()
        if source is None:
            raise NotFound("source")
        return source, now


def is_owner_untold(owner: ExternalId | None, tokens: Stored) -> bool:
    """Whether credentials for an account that is somebody's do not say themselves whose they are."""
    return owner is not None and not (isinstance(tokens, TokenSet) and tokens.external_id is not None)


def checked_by(finding: Finding | None, tokens: Stored) -> Checked:
    """What is known: the token endpoint's own word on whose they are comes before the verifying request's."""
    own = (tokens.external_id,) if isinstance(tokens, TokenSet) and tokens.external_id is not None else ()
    asked = finding.told if isinstance(finding, Confirmed) else ()
    return Checked(finding, (*own, *asked))


def in_hand(given: Stored, source: Source, *, now: datetime, fresh: bool = False) -> InHand | None:
    """The credentials as they are checked; None of a machine whose first token is still to come.

    `fresh`: the provider has given them a moment ago, which a token set shows by itself.
    """
    if isinstance(given, StaticCredentials):
        return InHand(given.fields, "Bearer", None, given.expires_at, renewable=False, fresh=fresh)
    if not given.access_token:
        return None
    expires_at = given.expires_at
    if isinstance(given, LiveTokens) and expires_at is None and given.expires_in_s is not None:
        expires_at = now + timedelta(seconds=given.expires_in_s)
    return InHand(
        fields={"access_token": given.access_token},
        token_type=given.token_type,
        scopes=given.scopes if given.scopes is not None else source.scopes,
        expires_at=expires_at,
        renewable=given.refresh_token is not None,
        fresh=isinstance(given, TokenSet),
    )


def _field(given: GivenCredentials) -> str:
    """What of the credentials is named as wrong: the member, where there is one that matters."""
    match given:
        case AuthorizationCode():
            return f"{_MEMBER}.authorization_code"
        case VerifiedToken():
            return f"{_MEMBER}.oauth_verifier"
        case LiveTokens():
            return f"{_MEMBER}.access_token"
        case StaticCredentials(fields=fields) if len(fields) == 1:
            return f"{_MEMBER}.{next(iter(fields))}"
        case _:
            return _MEMBER
