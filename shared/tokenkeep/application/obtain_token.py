"""Obtain a machine's first token, while whoever brings its credentials waits: what is refused is not stored."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from tokenkeep.application.first_answers import Asked, AskOnce, granted
from tokenkeep.application.machine_requests import MachineRequests
from tokenkeep.application.ports import SourceConfigs
from tokenkeep.domain.credential import UNKNOWN_LIFETIME, TokenSet
from tokenkeep.domain.errors import NotFound
from tokenkeep.domain.ids import SourceId
from tokenkeep.domain.secret import Secret
from tokenkeep.domain.verdict import concerning_the_account
from tokenkeep.providers.account_properties import missing_properties
from tokenkeep.providers.catalogue import Catalogue
from tokenkeep.providers.classify import classify
from tokenkeep.providers.discretion import without_secrets
from tokenkeep.providers.machine_credentials import MachineCredentials
from tokenkeep.providers.options import effective_rules

_MACHINE = Asked("credentials", "the credentials", once=False)


@dataclass(frozen=True, slots=True)
class ObtainToken:
    """One request, sent once. No transaction is open meanwhile."""

    sources: SourceConfigs
    machines: MachineRequests
    catalogue: Catalogue
    ask: AskOnce
    now: Callable[[], Awaitable[datetime]]

    async def __call__(
        self, source_id: SourceId, environment: str, machine: MachineCredentials, properties: Mapping[str, Any]
    ) -> TokenSet:
        """The first token set, and in the place of its refresh token what renews it.

        While the account lacks a property that its requests need, nothing is asked: the set holds a token that has ended.

        Raises:
            NotFound: There is no such source in this environment.
            InvalidInput: The credentials do not serve, or a property is wrong.
            CredentialsRejected: The provider refuses the credentials, or the source's client.
            ProviderUnavailable: The provider can't be had.
        """
        source = (await self.sources({source_id})).get(source_id)
        if source is None or source.environment != environment:
            raise NotFound("source")
        provider = self.catalogue.get(source.provider)
        rules = effective_rules(provider, source.options)
        sent_at = await self.now()
        if missing_properties(provider, properties):
            self.machines.check(source, rules, machine)
            return TokenSet(Secret(""), refresh_token=machine.document(), scopes=source.scopes, expires_at=sent_at)
        made = self.machines(source, rules, machine, properties)
        answer = await self.ask(made.request)
        verdict = classify(answer, rules, sent_at=sent_at, now=sent_at, fallback_lifetime=UNKNOWN_LIFETIME)
        if made.alone:
            verdict = concerning_the_account(verdict)
        tokens = granted(without_secrets(verdict, *made.hidden), _MACHINE)
        return replace(tokens, refresh_token=machine.document())
