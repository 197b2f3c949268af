"""What an assertion says before it is signed."""

from datetime import UTC, datetime

import pytest

from tokenkeep.domain.errors import InvalidInput
from tokenkeep.providers.client_assertion import SIGNING_ALGORITHMS, unsigned_assertion
from tokenkeep.providers.rules import AssertionRules, ClientAuth, OAuth2Rules

NOW = datetime(2026, 1, 1, tzinfo=UTC)
URL = "https://provider.test/token"


def test_it_names_the_client_twice_and_lives_for_two_minutes() -> None:
    rules = OAuth2Rules(URL, URL, client_auth=ClientAuth.PRIVATE_KEY_JWT, assertion=AssertionRules(key_id="k1"))
    assertion = unsigned_assertion(rules, "client", audience=URL, jti="j1", now=NOW)
    assert assertion.claims == {
        "iss": "client",
        "sub": "client",
        "aud": URL,
        "jti": "j1",
        "iat": 1767225600,
        "exp": 1767225720,
    }
    assert (assertion.algorithm, assertion.key_id) == (None, "k1")


@pytest.mark.parametrize("method", [ClientAuth.SECRET_JWT, ClientAuth.PRIVATE_KEY_JWT])
@pytest.mark.parametrize("algorithm", SIGNING_ALGORITHMS)
def test_secrets_and_keys_have_algorithms_of_their_own(method: ClientAuth, algorithm: str) -> None:
    rules = OAuth2Rules(URL, URL, client_auth=method, assertion=AssertionRules(algorithm=algorithm))
    if algorithm.startswith("HS") is (method is ClientAuth.SECRET_JWT):
        assert unsigned_assertion(rules, "client", audience=URL, jti="j1", now=NOW).algorithm == algorithm
        return
    with pytest.raises(InvalidInput) as refused:
        unsigned_assertion(rules, "client", audience=URL, jti="j1", now=NOW)
    assert refused.value.field == "options.token_endpoint_auth_signing_alg"
