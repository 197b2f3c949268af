"""Refreshes by clients that sign: what is signed is signed before anything is written, and for one presentation only."""

from dataclasses import dataclass, replace

from cryptography.hazmat.primitives.asymmetric import ec
from joserfc.jwk import ECKey

from assertion_check import AssertionCheck
from road import Road
from source_clients import pem
from token_server import Said, TokenServer
from tokenkeep.application.ports import ClientAssertions
from tokenkeep.domain.errors import InvalidInput
from tokenkeep.domain.ids import AccountId
from tokenkeep.domain.secret import Secret
from tokenkeep.providers.client_assertion import UnsignedAssertion
from tokenkeep.providers.client_authentication import ClientKey

P256 = ec.generate_private_key(ec.SECP256R1())
ASKING_AGAIN = {"old_refresh_grace_s": 3600, "old_refresh_grace_answer": "same"}


@dataclass
class SigningOnce:
    """Signs once; whatever kept the key is gone then."""

    real: ClientAssertions
    signed: int = 0

    def sign_with_secret(self, assertion: UnsignedAssertion, secret: Secret) -> Secret:
        return self.real.sign_with_secret(assertion, secret)

    def sign_with_key(self, assertion: UnsignedAssertion, key: ClientKey) -> Secret:
        self.signed += 1
        if self.signed > 1:
            raise InvalidInput("client_secret", "gone")
        return self.real.sign_with_key(assertion, key)


async def account_of_a_signing_client(road: Road, server: TokenServer, **options: object) -> AccountId:
    source_id = await road.source_of_client(
        pem(P256), token_url=server.url, token_endpoint_auth_method="private_key_jwt", **options
    )
    return await road.account(source_id)


async def test_a_token_that_is_presented_again_comes_with_an_assertion_of_its_own(
    road: Road, server: TokenServer
) -> None:
    account_id = await account_of_a_signing_client(road, server, **ASKING_AGAIN)
    server.script.append(Said(drop=True))
    await road.refresh(account_id)
    assert server.presented == ["grant.1", "grant.1"]
    check = AssertionCheck(ECKey.import_key(P256.public_key()), audience=server.url)
    for post in server.posts:
        assert check.accept(Secret(post.form["client_assertion"]))["iss"] == "client"
    assert (await road.view(account_id)).generation == 2


async def test_when_the_second_assertion_fails_the_first_presentation_is_settled(
    road: Road, server: TokenServer
) -> None:
    present = road.refreshing.refresh._present
    present._clients = replace(present._clients, assertions=SigningOnce(present._clients.assertions))
    account_id = await account_of_a_signing_client(road, server, **ASKING_AGAIN)
    server.script.append(Said(drop=True))
    await road.refresh(account_id)
    assert server.presented == ["grant.1"]
    view = await road.view(account_id)
    assert view.in_doubt is not None
    assert view.in_doubt.presentations == 1


async def test_a_client_that_cannot_sign_sends_nothing_and_leaves_no_doubt(road: Road, server: TokenServer) -> None:
    account_id = await account_of_a_signing_client(road, server)
    await road.sql("""UPDATE sources SET options = options || '{"token_endpoint_auth_signing_alg": "RS256"}'::jsonb""")
    await road.refresh(account_id)
    assert server.posts == []
    [attempt] = await road.sql(
        "SELECT outcome, reason, sent_at FROM refresh_attempts WHERE account_id = :id", id=account_id
    )
    assert (attempt["outcome"], attempt["reason"], attempt["sent_at"]) == ("not_sent", "internal_error", None)
    assert (await road.view(account_id)).in_doubt is None
    [line] = [line for line in road.log if line["event"] == "refresh_not_prepared"]
    assert line["error"] == "InvalidInput"
