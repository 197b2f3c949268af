"""Sign a request of an OAuth 1.0a account for its maker (RFC 5849)."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from tokenkeep.application.ports import RequestSigner, SourceConfigs
from tokenkeep.application.source_clients import SourceClients
from tokenkeep.application.vend_token import VendToken, Wish
from tokenkeep.domain.account import AuthType
from tokenkeep.domain.conflicts import NotSigned
from tokenkeep.domain.errors import NotFound
from tokenkeep.domain.ids import AccountId, new_id
from tokenkeep.domain.secret import Secret
from tokenkeep.providers.catalogue import Catalogue
from tokenkeep.providers.oauth1 import RequestToSign, SignatureOrder, signature_method

_NOW = Wish(min_ttl=timedelta(0))


@dataclass(frozen=True, slots=True)
class SignRequest:
    """Signs with the account's token and its source's consumer, as they are now. Nothing is sent.

    `now` is this process's clock: a signature is read within minutes, by another clock than the database's.
    """

    vend: VendToken
    sources: SourceConfigs
    clients: SourceClients
    signer: RequestSigner
    catalogue: Catalogue
    now: Callable[[], datetime]

    async def __call__(
        self, account_id: AccountId, request: RequestToSign, *, environment: str, correlation_id: str
    ) -> Mapping[str, str]:
        """The header that the request needs. It is good once: its nonce must not come twice.

        Raises:
            NotFound: There is no such account in this environment.
            AccountPending, AccountDisabled, ReauthorizationRequired: The account's state gives no signature.
            NotSigned: The account is none of OAuth 1.0a.
        """
        vended = await self.vend(account_id, _NOW, environment=environment, correlation_id=correlation_id)
        if vended.auth_type is not AuthType.OAUTH1:
            raise NotSigned
        source = (await self.sources({vended.source_id})).get(vended.source_id)
        if source is None:
            raise NotFound("source")
        order = SignatureOrder(
            request=request,
            signature_method=signature_method(self.catalogue.get(source.provider), source.options),
            consumer_key=source.client_id or "",
            consumer_secret=self.clients.secret_of(source) or Secret(""),
            token=vended.fields["oauth_token"],
            token_secret=vended.fields["oauth_token_secret"],
        )
        return self.signer.sign(order, nonce=new_id().hex, timestamp=int(self.now().timestamp()))
