"""The secrets that callouts are signed with."""

import base64

import pytest
from standardwebhooks.webhooks import Webhook

from callout_server import SECRET
from tokenkeep.adapters.refreshers.signatures import sign_callout
from tokenkeep.application.callout_secrets import check_callout
from tokenkeep.bootstrap import wall_clock
from tokenkeep.domain.errors import InvalidInput
from tokenkeep.domain.secret import Secret

CALLOUT = {"refresh_callout_url": "https://hooks.test/refresh"}


def secret_of(count: int) -> Secret:
    return Secret("whsec_" + base64.b64encode(b"k" * count).decode())


@pytest.mark.parametrize(
    "secret",
    [
        Secret("canary"),
        Secret("whsec_"),
        Secret("whsec_canary!"),
        Secret("whsec_čaj"),
        Secret(SECRET.removeprefix("whsec_")),
        secret_of(23),
        secret_of(65),
    ],
)
def test_what_is_no_secret_by_standard_webhooks_is_refused_and_not_quoted(secret: Secret) -> None:
    with pytest.raises(InvalidInput) as caught:
        check_callout(CALLOUT, secret)
    assert caught.value.field == "refresh_callout_secret"
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize("secret", [Secret(SECRET), secret_of(24), secret_of(64)])
def test_a_secret_by_standard_webhooks_is_taken(secret: Secret) -> None:
    check_callout(CALLOUT, secret)
    check_callout({}, secret)  # it may be given before the address is


def test_a_callout_without_a_secret_is_refused_and_one_that_holds_one_is_not() -> None:
    with pytest.raises(InvalidInput, match="refresh_callout_secret: refresh_callout_url needs one"):
        check_callout(CALLOUT, None)
    check_callout(CALLOUT, None, held=True)
    check_callout({}, None)


def test_a_receiver_that_has_the_secret_takes_the_signature_and_no_other() -> None:
    now = wall_clock()
    signature = sign_callout(Secret(SECRET), "att_1", now, '{"a": "ä"}')
    headers = {"webhook-id": "att_1", "webhook-timestamp": str(int(now.timestamp())), "webhook-signature": signature}
    assert Webhook(SECRET).verify('{"a": "ä"}', headers) == {"a": "ä"}


@pytest.mark.parametrize("secret", [Secret("whsec_"), Secret("whsec_canar")])
def test_what_does_not_serve_to_sign_is_said_without_quoting_it(secret: Secret) -> None:
    with pytest.raises(InvalidInput) as caught:
        sign_callout(secret, "att_1", wall_clock(), "{}")
    assert "canary" not in str(caught.value)
    assert caught.value.__cause__ is None
