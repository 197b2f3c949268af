"""Sign the request by which a provider is asked about credentials of OAuth 1.0a (RFC 5849)."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from tokenkeep.application.ports import RequestSigner, SourceConfigs
from tokenkeep.application.source_clients import SourceClients
from tokenkeep.domain.errors import InvalidInput
from tokenkeep.domain.ids import new_id
from tokenkeep.domain.secret import Secret
from tokenkeep.domain.source import Source
from tokenkeep.providers.answer import TokenRequest
from tokenkeep.providers.catalogue import Catalogue
from tokenkeep.providers.oauth1 import SignatureOrder, request_to_sign, signature_method


@dataclass(frozen=True, slots=True)
class SignCheck:
    """Signs with credentials that may not be stored yet. `now` is this process's clock, as for other signatures."""

    sources: SourceConfigs
    clients: SourceClients
    signer: RequestSigner
    catalogue: Catalogue
    now: Callable[[], datetime]

    async def __call__(self, source: Source, fields: Mapping[str, Secret], request: TokenRequest) -> TokenRequest:
        """The request with its signature.

        Raises:
            InvalidInput: The credentials, the consumer's secret or the address do not serve.
        """
        config = (await self.sources({source.id})).get(source.id)
        if config is None or not {"oauth_token", "oauth_token_secret"} <= fields.keys():
            raise InvalidInput("credentials", "there is nothing to sign with")
        url = request.url if request.query is None else f"{request.url}?{request.query.reveal()}"
        order = SignatureOrder(
            request=request_to_sign(request.method, url, None, None),
            signature_method=signature_method(self.catalogue.get(source.provider), source.options),
            consumer_key=source.client_id or "",
            consumer_secret=self.clients.secret_of(config) or Secret(""),
            token=fields["oauth_token"],
            token_secret=fields["oauth_token_secret"],
        )
        signed = self.signer.sign(order, nonce=new_id().hex, timestamp=int(self.now().timestamp()))
        return replace(request, headers={**request.headers, **{name.lower(): text for name, text in signed.items()}})
