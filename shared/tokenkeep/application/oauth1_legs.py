"""The two requests of OAuth 1.0a that the user takes no part in (RFC 5849, sections 2.1 and 2.3)."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, assert_never

from tokenkeep.application.create_account import TemporaryCredentials, VerifiedToken
from tokenkeep.application.first_answers import RETRY_S, AskOnce
from tokenkeep.application.ports import RequestSigner, SourceConfigs
from tokenkeep.application.refreshing import SourceConfig
from tokenkeep.application.source_clients import SourceClients
from tokenkeep.domain.credential import StaticCredentials
from tokenkeep.domain.errors import CredentialsRejected, InvalidInput, NotFound, ProviderUnavailable
from tokenkeep.domain.ids import SourceId, new_id
from tokenkeep.domain.secret import Secret
from tokenkeep.providers.answer import TokenRequest
from tokenkeep.providers.catalogue import Catalogue
from tokenkeep.providers.oauth1 import SignatureOrder, request_to_sign
from tokenkeep.providers.oauth1_answers import NotHad, Refused, TokenPair, read_token_pair
from tokenkeep.providers.oauth1_rules import OAuth1Rules, filled_address, oauth1_rules

_UNCONFIRMED: Final = (
    "the provider does not confirm the callback: it speaks OAuth 1.0, which lets strangers take tokens"
)


@dataclass(frozen=True, slots=True)
class OAuth1Legs:
    """Each is one request, signed, sent once, within one deadline that includes the connecting. No transaction is open meanwhile.

    `now` is the database's clock, by which tokens end; `wall_clock` is this process's, by which signatures are dated.
    """

    sources: SourceConfigs
    clients: SourceClients
    signer: RequestSigner
    catalogue: Catalogue
    ask: AskOnce
    now: Callable[[], Awaitable[datetime]]
    wall_clock: Callable[[], datetime]

    async def temporary(
        self, source_id: SourceId, environment: str, callback: Secret, properties: Mapping[str, Any]
    ) -> TemporaryCredentials:
        """Temporary credentials, with which a user can be sent to the provider.

        Args:
            source_id: The source whose consumer asks.
            environment: Where it must be.
            callback: Where the provider is to send the user; it holds the state.
            properties: What the provider's addresses need.

        Raises:
            NotFound: There is no such source in this environment.
            InvalidInput: A property that an address needs is missing or wrong, or the source lacks an address; or the provider
                is one of OAuth 1.0, without the `a`.
            CredentialsRejected: The provider refuses the consumer, or the callback; the field is `source_id`.
            ProviderUnavailable: The provider can't be had.
        """
        source, rules = await self._found(source_id, environment)
        further = {"oauth_callback": callback}
        asked = _Asked(
            rules.request_token_url, None, Secret(""), further, "source_id", "the source's consumer or its callback"
        )
        pair = await self._pair(source, rules, asked, properties)
        if not pair.confirms_callback:
            raise InvalidInput("options.request_token_url", _UNCONFIRMED)
        return TemporaryCredentials(pair.token, pair.secret)

    async def __call__(
        self, source_id: SourceId, environment: str, verified: VerifiedToken, properties: Mapping[str, Any]
    ) -> StaticCredentials:
        """The token credentials that the provider gives for temporary ones which a user has authorised.

        Raises:
            NotFound: There is no such source in this environment.
            InvalidInput: A property that an address needs is missing or wrong, or the source lacks an address.
            CredentialsRejected: The provider refuses the verifier, the temporary credentials or the consumer; the field is
                `credentials.oauth_verifier`.
            ProviderUnavailable: The provider can't be had.
        """
        source, rules = await self._found(source_id, environment)
        held, further = verified.temporary, {"oauth_verifier": verified.verifier}
        sent_at = await self.now()
        asked = _Asked(
            rules.access_token_url,
            held.token,
            held.secret,
            further,
            "credentials.oauth_verifier",
            "the verifier or the temporary credentials",
        )
        pair = await self._pair(source, rules, asked, properties)
        life = pair.expires_in_s
        return StaticCredentials(
            {"oauth_token": pair.token, "oauth_token_secret": pair.secret},
            None if life is None else sent_at + timedelta(seconds=life),
        )

    async def _found(self, source_id: SourceId, environment: str) -> tuple[SourceConfig, OAuth1Rules]:
        source = (await self.sources({source_id})).get(source_id)
        if source is None or source.environment != environment:
            raise NotFound("source")
        return source, oauth1_rules(self.catalogue.get(source.provider), source.options)

    async def _pair(
        self, source: SourceConfig, rules: OAuth1Rules, asked: "_Asked", properties: Mapping[str, Any]
    ) -> TokenPair:
        """What comes of one request."""
        consumer_secret = self.clients.secret_of(source) or Secret("")
        url = filled_address(rules, asked.address, source.client_id or "", properties)
        order = SignatureOrder(
            request=request_to_sign("POST", url, None, None),
            signature_method=rules.signature_method,
            consumer_key=source.client_id or "",
            consumer_secret=consumer_secret,
            token=asked.token,
            token_secret=asked.token_secret,
            further=asked.further,
        )
        signed = self.signer.sign(order, nonce=new_id().hex, timestamp=int(self.wall_clock().timestamp()))
        headers = {"accept": "*/*", **{header.lower(): text for header, text in signed.items()}}
        answer = await self.ask(TokenRequest(url, headers, Secret("")))
        token = () if asked.token is None else (asked.token,)
        read = read_token_pair(answer, consumer_secret, *token, asked.token_secret, *asked.further.values())
        match read:
            case TokenPair():
                return read
            case Refused(code=code):
                raise CredentialsRejected(asked.field, f"the provider refuses {asked.name}: {code}")
            case NotHad(reason=reason, maybe_used=maybe_used):
                used = maybe_used and asked.token is not None
                raise ProviderUnavailable(reason, retry_after=RETRY_S, maybe_used=used)
            case _:
                assert_never(read)


@dataclass(frozen=True, slots=True)
class _Asked:
    """What one of the two requests is made of. `field` and `name` are how a refusal is told."""

    address: str
    token: Secret | None
    token_secret: Secret
    further: Mapping[str, Secret]
    field: str
    name: str
