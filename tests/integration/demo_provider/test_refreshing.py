import asyncio
import logging

import pytest

from provider_client import BASIC, Clock, Start, until
from tokenkeep.adapters.demo_provider import Fault, Moment, Outcome, RevokedBecause, fingerprint


async def test_a_refresh_rotates_the_token_and_the_old_access_token_lives_out_its_time(
    start: Start, clock: Clock
) -> None:
    client = await start(token_lifetime_s=30)
    first = await client.connect()
    clock.forward(20)
    second = (await client.refresh(first["refresh_token"])).json()

    assert second["refresh_token"] != first["refresh_token"]
    assert (await client.me(first["access_token"])).status_code == 200
    clock.forward(10)
    assert (await client.me(first["access_token"])).status_code == 401
    assert (await client.me(second["access_token"])).status_code == 200


async def test_a_used_refresh_token_kills_the_grant_with_all_its_tokens(start: Start) -> None:
    client = await start()
    first = await client.connect()
    second = (await client.refresh(first["refresh_token"])).json()

    again = await client.refresh(first["refresh_token"])

    assert (again.status_code, again.json()["error"]) == (400, "invalid_grant")
    assert (await client.refresh(second["refresh_token"])).json()["error"] == "invalid_grant"
    assert (await client.me(second["access_token"])).status_code == 401
    assert client.provider.grants()[0].revoked_because is RevokedBecause.REUSE
    assert client.provider.counters().reuses == 1


async def test_without_reuse_detection_a_used_refresh_token_is_only_refused(start: Start) -> None:
    client = await start(detects_reuse=False)
    first = await client.connect()
    second = (await client.refresh(first["refresh_token"])).json()

    assert (await client.refresh(first["refresh_token"])).json()["error"] == "invalid_grant"
    assert (await client.refresh(second["refresh_token"])).status_code == 200


async def test_within_its_grace_a_used_refresh_token_works_and_after_it_kills(start: Start, clock: Clock) -> None:
    client = await start(grace_s=60)
    first = await client.connect()
    await client.refresh(first["refresh_token"])
    clock.forward(59)
    again = await client.refresh(first["refresh_token"])
    clock.forward(1)
    late = await client.refresh(first["refresh_token"])

    assert (again.status_code, late.status_code) == (200, 400)
    assert [entry.outcome for entry in client.provider.presentations(first["refresh_token"])] == [
        Outcome.GRANTED,
        Outcome.GRANTED_IN_GRACE,
        Outcome.REUSED,
    ]
    assert (await client.refresh(again.json()["refresh_token"])).json()["error"] == "invalid_grant"


async def test_without_rotation_the_refresh_token_stays(start: Start) -> None:
    client = await start(rotates=False)
    first = await client.connect()

    for _ in range(3):
        assert "refresh_token" not in (await client.refresh(first["refresh_token"])).json()
    assert client.provider.grants()[0].refreshes == 3


async def test_another_scope_than_was_granted_is_refused_and_uses_nothing_up(start: Start) -> None:
    client = await start()
    first = await client.connect(scope="profile")

    refused = await client.refresh(first["refresh_token"], scope="email")

    assert refused.json()["error"] == "invalid_scope"
    assert client.provider.presentations()[0].outcome is Outcome.REQUEST_REFUSED
    assert (await client.refresh(first["refresh_token"])).status_code == 200


async def test_a_revoked_refresh_token_takes_its_grant_along(start: Start) -> None:
    client = await start()
    token = await client.connect()
    answer = await client.http.post("/revoke", data={"token": token["refresh_token"]}, auth=BASIC)

    assert answer.status_code == 200
    assert (await client.me(token["access_token"])).status_code == 401
    assert (await client.refresh(token["refresh_token"])).json()["error"] == "invalid_grant"
    assert client.provider.grants()[0].revoked_because is RevokedBecause.CLIENT


async def test_a_revoked_access_token_goes_alone(start: Start) -> None:
    client = await start()
    token = await client.connect()
    form = {"token": token["access_token"], "token_type_hint": "refresh_token"}
    await client.http.post("/revoke", data=form, auth=BASIC)

    assert (await client.me(token["access_token"])).status_code == 401
    assert (await client.refresh(token["refresh_token"])).status_code == 200


async def test_revoking_an_unknown_token_is_no_error_but_needs_the_client(start: Start) -> None:
    client = await start()

    assert (await client.http.post("/revoke", data={"token": "unknown"}, auth=BASIC)).status_code == 200
    assert (await client.http.post("/revoke", data={"token": "unknown"})).status_code == 401


@pytest.mark.parametrize("header", [None, "Bearer unknown", "Basic unknown", "Bearer"])
async def test_the_resource_lets_nobody_in_without_a_live_token(start: Start, header: str | None) -> None:
    client = await start()
    answer = await client.http.get("/api/me", headers={} if header is None else {"Authorization": header})

    assert answer.status_code == 401
    assert "www-authenticate" in answer.headers
    assert client.provider.counters().resource_refused == 1


async def test_every_presentation_is_on_record_in_order_with_its_outcome(start: Start, clock: Clock) -> None:
    client = await start()
    first = await client.connect("alice")
    await client.refresh("never issued")
    clock.forward(1)
    await client.refresh(first["refresh_token"], auth=("demo-client", "guess"))
    await client.refresh(first["refresh_token"])
    await client.refresh(first["refresh_token"])

    records = client.provider.presentations()

    assert [(entry.order, entry.user, entry.status, entry.outcome) for entry in records] == [
        (1, None, 400, Outcome.REFUSED),
        (2, "alice", 401, Outcome.REQUEST_REFUSED),
        (3, "alice", 200, Outcome.GRANTED),
        (4, "alice", 400, Outcome.REUSED),
    ]
    assert not any(entry.overlapping for entry in records)
    assert (records[1].began_at - records[0].began_at).total_seconds() == 1
    assert {entry.fingerprint for entry in records[1:]} == {fingerprint(first["refresh_token"])}


async def test_presentations_of_one_token_at_the_same_time_are_seen_to_overlap(start: Start) -> None:
    client = await start(grace_s=60)
    alice, bob = await client.connect("alice"), await client.connect("bob")
    client.provider.inject(Fault(moment=Moment.AFTER, delay_ms=2000))

    slow = asyncio.create_task(client.refresh(alice["refresh_token"]))
    await until(lambda: len(client.provider.presentations()) == 1)
    assert client.provider.presentations()[0].ended_at is None
    await client.refresh(bob["refresh_token"])
    await client.refresh(alice["refresh_token"])
    await slow

    assert [(entry.user, entry.overlapping) for entry in client.provider.presentations()] == [
        ("alice", True),
        ("bob", False),
        ("alice", True),
    ]


async def test_no_token_is_in_the_log_of_the_process(start: Start, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    client = await start()
    first = await client.connect()
    second = (await client.refresh(first["refresh_token"])).json()
    await client.refresh(first["refresh_token"])

    for token in (first, second):
        assert token["refresh_token"] not in caplog.text
        assert token["access_token"] not in caplog.text
