"""Check: ask a provider whether it takes credentials, and whose they are."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final, Protocol

from tokenkeep.application.clocks import Clocks
from tokenkeep.application.ports import TokenEndpoints
from tokenkeep.domain.errors import ConnectFailed, InvalidInput
from tokenkeep.domain.external_id import ExternalId
from tokenkeep.domain.secret import Secret
from tokenkeep.domain.source import Source
from tokenkeep.domain.verification import Confirmed, Finding, Rejected, Unknown, UnknownReason
from tokenkeep.providers.answer import Answer, NoAnswer, TokenRequest
from tokenkeep.providers.catalogue import Catalogue
from tokenkeep.providers.credential_fields import credential_form
from tokenkeep.providers.discretion import without_secret
from tokenkeep.providers.entry import Provider, Verification
from tokenkeep.providers.options import verification_of
from tokenkeep.providers.request_credentials import request_credentials
from tokenkeep.providers.verification_answer import Question, read_verification, unheard
from tokenkeep.providers.verification_request import names_in, verification_request

LONGEST_CHECK: Final = timedelta(seconds=10)
"""Somebody waits for it, and can do without."""

_PAUSE_S: Final = 1.0
_PASSING: Final = frozenset(
    {
        UnknownReason.NETWORK_ERROR,
        UnknownReason.TIMEOUT,
        UnknownReason.RATE_LIMITED,
        UnknownReason.PROVIDER_5XX,
    }
)
_SUBJECT = "sub"
_LONG = 8
"""Shorter secrets are found in many a text by chance."""
_IDENTITY_SCOPE = re.compile(r"(?:.*[/.:])?(?:openid|profile|email|userinfo\.\w+)")


@dataclass(frozen=True, slots=True)
class InHand:
    """Credentials that are about to be stored, or were read from there.

    `fields` are what they consist of; `scopes` None: nobody said which. `renewable`: a refresh can bring a better access token.
    `fresh`: the provider's token endpoint has given them a moment ago.
    """

    fields: Mapping[str, Secret]
    token_type: str
    scopes: tuple[str, ...] | None
    expires_at: datetime | None
    renewable: bool
    fresh: bool


class RequestSigning(Protocol):
    """Signs a request with credentials that go into none as they are. Raises `InvalidInput` when they do not serve."""

    async def __call__(
        self, source: Source, fields: Mapping[str, Secret], request: TokenRequest, /
    ) -> TokenRequest: ...


@dataclass(frozen=True, slots=True)
class CheckCredentials:
    """One request, within one deadline that includes the connecting, over a fresh connection.

    No transaction is open meanwhile, no redirect is followed, and the body is bounded. Where a word is needed, a failure that
    may pass is given a second try, with a deadline of its own.
    """

    catalogue: Catalogue
    endpoints: TokenEndpoints
    clocks: Clocks
    deadline: timedelta
    sign: RequestSigning

    def can_ask(self, source: Source) -> bool:
        """Whether there is such a request at all."""
        return verification_of(self.catalogue.get(source.provider), source.options) is not None

    async def __call__(
        self,
        source: Source,
        held: InHand,
        properties: Mapping[str, Any],
        *,
        now: datetime,
        known: ExternalId | None = None,
        insist: bool = False,
    ) -> Finding | None:
        """The finding; None when there is nothing to ask. Never raises for what a provider says or does.

        `known` is whose the account is that the credentials are for. `insist`: they are of no use unless it is told whose they are.
        """
        provider = self.catalogue.get(source.provider)
        verification = verification_of(provider, source.options)
        if verification is None:
            return None
        if held.expires_at is not None and held.expires_at <= now:
            return Unknown(UnknownReason.TOKEN_EXPIRED)
        if verification.assumed and _lacks_scope(verification, held.scopes):
            return Unknown(UnknownReason.INSUFFICIENT_SCOPE)
        asking = _Asking(verification, provider, source, held, properties, known)
        finding = await self._finding(asking)
        if insist and isinstance(finding, Unknown) and finding.reason in _PASSING:
            await self.clocks.sleep(_PAUSE_S)
            finding = await self._finding(asking)
        return finding

    async def _finding(self, asking: "_Asking") -> Finding:
        try:
            request = await self._request(asking)
        except InvalidInput:
            return Unknown(UnknownReason.MISSING_PROPERTY)
        try:
            answer = await self._answer(request)
        except ConnectFailed as failure:
            return unheard(failure.reason)
        verification, provider, source, held = asking.verification, asking.provider, asking.source, asking.held
        names = names_in(provider, source.options, asking.properties)
        finding = read_verification(answer, Question(verification, source.auth_type, names, asking.known))
        return _tempered(finding, verification, held, _secrets(provider, held.fields))

    async def _request(self, asking: "_Asking") -> TokenRequest:
        provider, source, held, properties = asking.provider, asking.source, asking.held, asking.properties
        shown = request_credentials(
            provider, source.options, held.fields, token_type=held.token_type, properties=properties
        )
        request = verification_request(
            asking.verification,
            provider,
            source.options,
            client_id=source.client_id or "",
            fields=held.fields,
            shown=shown,
            properties=properties,
        )
        return await self.sign(source, held.fields, request) if shown.is_signed else request

    async def _answer(self, request: TokenRequest) -> Answer | NoAnswer:
        span = self.deadline.total_seconds()
        deadline = self.clocks.loop_time() + span
        async with self.endpoints.lend(request, reuse_window_s=0, deadline=deadline) as connection:
            return await connection.exchange(request, deadline=deadline, send_before=self.clocks.boottime() + span)


@dataclass(frozen=True, slots=True)
class _Asking:
    """What is asked, of whom, about which credentials."""

    verification: Verification
    provider: Provider
    source: Source
    held: InHand
    properties: Mapping[str, Any]
    known: ExternalId | None


def _lacks_scope(verification: Verification, scopes: tuple[str, ...] | None) -> bool:
    """Whether a UserInfo endpoint can't take the grant (OpenID Connect Core 1.0, section 5.3). Some say 401 to that."""
    if verification.external_id != _SUBJECT or not scopes:
        return False
    return not any(_IDENTITY_SCOPE.fullmatch(scope) for scope in scopes)


def _secrets(provider: Provider, fields: Mapping[str, Secret]) -> tuple[Secret, ...]:
    """What of the credentials is shown to nobody. Names of users and accounts are none of it, and may well be external ids."""
    form = credential_form(provider)
    is_secret = {} if form is None else {it.name: it.secret for it in form.fields.values()}
    return tuple(secret for name, secret in fields.items() if is_secret.get(name, name != "username"))


def _tempered(finding: Finding, verification: Verification, held: InHand, secrets: tuple[Secret, ...]) -> Finding:
    """Not every rejection is the credentials' fault, and neither a code nor an id may hold what was sent."""
    match finding:
        case Rejected() if held.fresh and verification.assumed:
            # Who has just given a token and then does not take it was asked the wrong way.
            return Unknown(UnknownReason.REJECTED_UNPROVEN)
        case Rejected(code=code) if held.renewable and held.expires_at is None and "expired" in code:
            return Unknown(UnknownReason.TOKEN_EXPIRED)
        case Rejected(code=code):
            return replace(finding, code=without_secret(code, *secrets))
        case Confirmed(told=told) if any(_tells(one.value, it.reveal()) for one in told for it in secrets):
            # A path that leads to the token itself names nobody.
            return Confirmed()
        case _:
            return finding


def _tells(told: str, secret: str) -> bool:
    return told == secret or (len(secret) >= _LONG and secret in told)
