"""Prove that a provider has made a call: by a secret that it shares with us, or by keys that it publishes."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, Final, assert_never

from tokenkeep.application.hook_secrets import hook_secrets_of
from tokenkeep.application.provider_notices import HookedSource, Now, SecurityEventTokens
from tokenkeep.application.security_event_keys import SecurityEventKeys
from tokenkeep.application.source_clients import SourceClients
from tokenkeep.domain.secret import Secret
from tokenkeep.providers.hook_rules import HookScheme, HookSignature, ProviderHooks
from tokenkeep.providers.hook_signatures import HookRequest, signing_secret
from tokenkeep.providers.security_events import is_for

_NOBODYS: Final = HookSignature(header="x-signature")


class Unproven(Enum):
    """Nothing proves who has made the call."""

    UNPROVEN = auto()


@dataclass(frozen=True, slots=True)
class ProveHook:
    """Opens what the source's provider signs with, or has its keys. `now` is this process's clock, to look at timestamps by."""

    clients: SourceClients
    keys: SecurityEventKeys
    tokens: SecurityEventTokens
    now: Now

    async def __call__(
        self, source: HookedSource | None, hooks: ProviderHooks | None, request: HookRequest
    ) -> Secret | Mapping[str, Any] | Unproven:
        """The secret that the call is signed with, or the claims of the token that it is.

        Where there is no such source, or its provider has no hooks, the body is hashed all the same.

        Raises:
            ProviderUnavailable: The provider's keys can't be had now.
            VaultError: A secret does not open.
        """
        if source is None or hooks is None:
            signing_secret(_NOBODYS, request, (), now=self.now())
            return Unproven.UNPROVEN
        match hooks.scheme:
            case HookScheme.HMAC_SHA256:
                return self._by_secret(source, hooks, request)
            case HookScheme.SECURITY_EVENT_TOKEN:
                return await self._by_keys(source, hooks, request)
            case _:
                assert_never(hooks.scheme)

    def _by_secret(self, source: HookedSource, hooks: ProviderHooks, request: HookRequest) -> Secret | Unproven:
        secrets = hook_secrets_of(self.clients, source, hooks)
        found = signing_secret(hooks.signature or _NOBODYS, request, secrets, now=self.now())
        return Unproven.UNPROVEN if found is None else found

    async def _by_keys(
        self, source: HookedSource, hooks: ProviderHooks, request: HookRequest
    ) -> Mapping[str, Any] | Unproven:
        token = request.body.strip()
        key_id = self.tokens.key_id(token)
        client_id = source.config.client_id
        if key_id is None or client_id is None or hooks.configuration_url is None:
            return Unproven.UNPROVEN
        published = await self.keys(hooks.configuration_url, key_id)
        claims = None if published is None else self.tokens.claims(token, published.keys)
        if claims is None or published is None or not is_for(claims, issuer=published.issuer, client_id=client_id):
            return Unproven.UNPROVEN
        return claims
