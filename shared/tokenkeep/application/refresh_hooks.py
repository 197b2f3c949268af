"""Refreshes that somebody else makes for us: a refresher in this process, or an address of the developer's own.

A hook stands where the exchange with the token endpoint stands, and nowhere else: after the lease and the intent (S4), once,
under the same deadline; what it says is settled by the same road.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from tokenkeep.application.callout_secrets import callout_secret_of
from tokenkeep.application.ports import CalloutSignatures, Refreshers
from tokenkeep.application.refreshing import RefreshTask
from tokenkeep.application.source_clients import SourceClients
from tokenkeep.domain.errors import UnknownRefresher
from tokenkeep.domain.ids import IdKind, format_id
from tokenkeep.domain.refresher import RefreshCall
from tokenkeep.domain.secret import Secret
from tokenkeep.providers.answer import TokenRequest


@dataclass(frozen=True, slots=True)
class Hooked:
    """What is to be sent, or called. `proof` goes along besides the refresh token, and must not come back in a code."""

    request: TokenRequest | RefreshCall
    proof: Secret | None


@dataclass(frozen=True, slots=True)
class RefreshHooks:
    """Prepares the calls of refreshers and the callouts.

    `now` is this process's clock: whoever is called reads the time by a clock of his own. `deadline` is how long he may take.
    """

    clients: SourceClients
    refreshers: Refreshers
    sign: CalloutSignatures
    now: Callable[[], datetime]
    deadline: timedelta

    def __call__(self, task: RefreshTask, refresh_token: Secret) -> Hooked:
        """What one presentation by the source's hook takes.

        Raises:
            VaultError: A secret does not open.
            InvalidInput: The refresher is not installed, or the callout has no secret.
        """
        url = task.rules.refresh_callout_url
        if url is None:
            call = self._call(task, task.rules.refresher or "", refresh_token)
            return Hooked(call, call.client_secret)
        secret = callout_secret_of(self.clients.vault, task.source)
        return Hooked(self._callout(task, url, secret, refresh_token), secret)

    def _call(self, task: RefreshTask, name: str, refresh_token: Secret) -> RefreshCall:
        if name not in self.refreshers:
            raise UnknownRefresher
        leased, source = task.leased, task.source
        return RefreshCall(
            refresher=name,
            attempt_id=format_id(IdKind.ATTEMPT, leased.attempt_id),
            account_id=format_id(IdKind.ACCOUNT, leased.account_id),
            source_id=format_id(IdKind.SOURCE, source.id),
            provider=source.provider,
            external_id=leased.external_id,
            options=source.options,
            properties=leased.properties,
            client_id=source.client_id,
            client_secret=self.clients.secret_of(source),
            refresh_token=refresh_token,
            scopes=leased.scopes,
        )

    def _callout(self, task: RefreshTask, url: str, secret: Secret, refresh_token: Secret) -> TokenRequest:
        """The message, by Standard Webhooks. Its id is the attempt's, so that who gets it twice can tell.

        Its deadline lies a little before ours, which counts from when the message leaves.
        """
        leased, now = task.leased, self.now()
        attempt_id = format_id(IdKind.ATTEMPT, leased.attempt_id)
        body = json.dumps(
            {
                "attempt_id": attempt_id,
                "account_id": format_id(IdKind.ACCOUNT, leased.account_id),
                "source_id": format_id(IdKind.SOURCE, task.source.id),
                "provider": task.source.provider,
                "external_id": leased.external_id,
                "properties": dict(leased.properties),
                "refresh_token": refresh_token.reveal(),
                "scopes": leased.scopes,
                "deadline": (now + self.deadline).isoformat().replace("+00:00", "Z"),
            }
        )
        headers = {
            "accept": "application/json",
            "content-type": "application/json",
            "webhook-id": attempt_id,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": self.sign(secret, attempt_id, now, body),
        }
        return TokenRequest(url, headers, Secret(body))
