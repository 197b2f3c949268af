import secrets

import pytest

from provider_client import BASIC, REDIRECT_URI, Clock, Start, challenge
from tokenkeep.adapters.demo_provider import RevokedBecause
from tokenkeep.domain.secret import Secret

QUERY = {
    "response_type": "code",
    "client_id": "demo-client",
    "redirect_uri": REDIRECT_URI,
    "state": "s-1",
    **challenge("v" * 43),
}


async def test_a_consenting_user_ends_in_a_token_that_opens_the_resource(start: Start) -> None:
    client = await start(served=True, token_lifetime_s=12)
    token = await client.connect("alice", scope="profile email")

    assert (token["token_type"], token["expires_in"], token["scope"]) == ("Bearer", 12, "profile email")
    assert token["refresh_token"]
    assert (await client.me(token["access_token"])).json() == {"sub": "alice", "scope": "profile email"}


async def test_the_page_names_the_client_and_escapes_what_it_was_given(start: Start) -> None:
    client = await start()
    page = await client.http.get("/authorize", params=QUERY | {"user": '"><script>x'})

    assert "demo-client" in page.text
    assert 'value="&quot;&gt;&lt;script&gt;x"' in page.text
    assert "<script>" not in page.text
    assert "frame-ancestors 'none'" in page.headers["content-security-policy"]


async def test_a_user_who_denies_sends_the_client_access_denied_and_its_state(start: Start) -> None:
    client = await start(requires_pkce=False)
    landed = await client.authorize(decision="deny")

    assert (landed["error"], landed["state"]) == ("access_denied", "s-1")
    assert client.provider.grants() == ()


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"code_challenge": "", "code_challenge_method": ""}, "invalid_request"),
        ({"scope": "everything"}, "invalid_scope"),
        ({"response_type": "token"}, "unsupported_response_type"),
    ],
)
async def test_a_wrong_request_is_told_to_the_client_by_redirect(
    start: Start, changes: dict[str, str], error: str
) -> None:
    client = await start()
    given = {name: value for name, value in (QUERY | changes).items() if value}
    answer = await client.http.get("/authorize", params=given)

    assert answer.status_code == 302
    assert answer.headers["location"].startswith(f"{REDIRECT_URI}?error={error}")


@pytest.mark.parametrize(
    "changes",
    [
        {"client_id": "somebody-else"},
        {"redirect_uri": "https://evil.example/callback"},
        {"redirect_uri": "javascript://127.0.0.1/%0aalert(1)"},
    ],
)
async def test_nobody_is_redirected_for_an_unknown_client_or_address(start: Start, changes: dict[str, str]) -> None:
    client = await start()
    answer = await client.http.get("/authorize", params=QUERY | changes)

    assert answer.status_code == 400
    assert "location" not in answer.headers


async def test_a_code_without_its_verifier_or_with_a_wrong_one_is_refused(start: Start) -> None:
    client = await start()
    verifier = secrets.token_urlsafe(48)
    code = (await client.authorize(**challenge(verifier)))["code"]

    assert (await client.redeem(code)).json()["error"] == "invalid_request"
    assert (await client.redeem(code, "w" * 43)).json()["error"] == "invalid_grant"
    assert (await client.redeem(code, verifier)).status_code == 200


async def test_a_code_that_comes_again_ends_the_grant_it_was_redeemed_for(start: Start) -> None:
    client = await start(requires_pkce=False)
    code = (await client.authorize())["code"]
    token = (await client.redeem(code)).json()

    assert (await client.redeem(code)).json()["error"] == "invalid_grant"
    assert (await client.me(token["access_token"])).status_code == 401
    assert client.provider.grants()[0].revoked_because is RevokedBecause.CODE_REUSE


async def test_a_code_that_is_too_old_is_refused(start: Start, clock: Clock) -> None:
    client = await start(requires_pkce=False, code_lifetime_s=60)
    code = (await client.authorize())["code"]
    clock.forward(60)

    assert (await client.redeem(code)).json()["error"] == "invalid_grant"


async def test_a_code_is_bound_to_its_redirect_uri(start: Start) -> None:
    client = await start(requires_pkce=False)
    code = (await client.authorize())["code"]
    form = {"grant_type": "authorization_code", "code": code, "redirect_uri": "http://127.0.0.1:2/callback"}

    assert (await client.http.post("/token", data=form, auth=BASIC)).json()["error"] == "invalid_grant"


async def test_the_client_authenticates_by_header_or_by_form(start: Start) -> None:
    client = await start(requires_pkce=False)
    token = await client.connect()
    form = {"grant_type": "refresh_token", "refresh_token": token["refresh_token"]}
    by_form = await client.http.post("/token", data=form | {"client_id": BASIC[0], "client_secret": BASIC[1]})

    assert by_form.status_code == 200
    wrong = await client.refresh(by_form.json()["refresh_token"], auth=("demo-client", "guess"))
    assert (wrong.status_code, wrong.json()["error"]) == (401, "invalid_client")
    assert wrong.headers["www-authenticate"].startswith("Basic")


async def test_a_rotated_client_secret_replaces_the_old_one_at_once(start: Start) -> None:
    client = await start()
    token = await client.connect()
    client.provider.rotate_client_secret(Secret("second"))

    assert (await client.refresh(token["refresh_token"])).json()["error"] == "invalid_client"
    assert (await client.refresh(token["refresh_token"], auth=("demo-client", "second"))).status_code == 200


async def test_an_unknown_grant_type_is_answered_by_the_book(start: Start) -> None:
    client = await start()
    answer = await client.http.post("/token", data={"grant_type": "password"}, auth=BASIC)

    assert (answer.status_code, answer.json()["error"]) == (400, "unsupported_grant_type")
    assert answer.headers["cache-control"] == "no-store"
