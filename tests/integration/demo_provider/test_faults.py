import asyncio
import signal
import sys
from typing import Any

import httpx
import pytest

from provider_client import REDIRECT_URI, Start, until
from tokenkeep.adapters.demo_provider import Fault, Moment, Outcome, fingerprint


async def test_a_made_up_answer_before_processing_leaves_the_refresh_token_unused(start: Start) -> None:
    client = await start(served=True)
    token = await client.connect()
    client.provider.inject(Fault(status=429, body='{"error": "slow_down"}', headers={"retry-after": "7"}))

    limited = await client.refresh(token["refresh_token"])

    assert (limited.status_code, limited.json(), limited.headers["retry-after"]) == (429, {"error": "slow_down"}, "7")
    assert (await client.refresh(token["refresh_token"])).status_code == 200
    assert [(entry.status, entry.outcome) for entry in client.provider.presentations()] == [
        (429, Outcome.NOT_PROCESSED),
        (200, Outcome.GRANTED),
    ]


async def test_a_made_up_answer_after_processing_hides_a_granted_refresh(start: Start) -> None:
    client = await start()
    token = await client.connect()
    client.provider.inject(Fault(moment=Moment.AFTER, status=502, body="<html>", headers={"content-type": "text/html"}))

    assert (await client.refresh(token["refresh_token"])).status_code == 502
    assert (await client.refresh(token["refresh_token"])).json()["error"] == "invalid_grant"
    assert [entry.outcome for entry in client.provider.presentations()] == [Outcome.GRANTED, Outcome.REUSED]


@pytest.mark.parametrize(
    ("moment", "outcome"), [(Moment.BEFORE, Outcome.NOT_PROCESSED), (Moment.AFTER, Outcome.GRANTED)]
)
async def test_a_dropped_connection_brings_no_answer(
    start: Start, caplog: pytest.LogCaptureFixture, moment: Moment, outcome: Outcome
) -> None:
    client = await start(served=True)
    token = await client.connect()
    client.provider.inject(Fault(moment=moment, drop=True))

    with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
        await client.refresh(token["refresh_token"])

    (entry,) = client.provider.presentations()
    assert (entry.status, entry.outcome) == (None, outcome)
    assert entry.ended_at is not None
    assert (await client.connect("bob"))["access_token"]
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


async def test_a_client_that_gives_up_during_a_delay_is_still_processed(start: Start) -> None:
    client = await start(served=True)
    token = await client.connect()
    client.provider.inject(Fault(delay_ms=2000))

    with pytest.raises(httpx.ReadTimeout):
        await client.http.post(
            "/token",
            data={"grant_type": "refresh_token", "refresh_token": token["refresh_token"]},
            auth=("demo-client", "demo-secret"),
            timeout=httpx.Timeout(30, read=0.3),
        )
    await until(lambda: any(entry.ended_at for entry in client.provider.presentations()))

    assert client.provider.presentations()[0].outcome is Outcome.GRANTED


async def test_faults_strike_in_order_as_often_as_they_say_and_where_they_say(start: Start) -> None:
    client = await start()
    alice, bob = await client.connect("alice"), await client.connect("bob")
    client.provider.inject(Fault(status=500, times=2, user="alice"))
    client.provider.inject(Fault(status=503, times=None, user="alice"))
    client.provider.inject(Fault(path="/api/me", status=500))

    statuses = [(await client.refresh(alice["refresh_token"])).status_code for _ in range(4)]
    assert statuses == [500, 500, 503, 503]
    assert (await client.refresh(bob["refresh_token"])).status_code == 200
    assert (await client.me(bob["access_token"])).status_code == 500
    client.provider.clear_faults()
    assert (await client.refresh(alice["refresh_token"])).status_code == 200


@pytest.mark.parametrize(
    "wrong",
    [{}, {"drop": True, "status": 500}, {"status": 99}, {"delay_ms": -1}, {"drop": True, "times": 0}],
)
def test_a_fault_that_makes_no_sense_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"a fault|status|times"):
        Fault(**wrong)


async def test_the_admin_side_over_http_sees_and_does_what_the_object_does(start: Start) -> None:
    client = await start()
    http, token = client.http, await client.connect("carol")

    (grant,) = (await http.get("/_admin/grants")).json()
    assert (grant["user"], grant["refreshes"], grant["revoked_because"]) == ("carol", 0, None)
    assert (await http.post("/_admin/faults", json={"status": 500, "times": 1})).json()[0]["status"] == 500
    assert (await client.refresh(token["refresh_token"])).status_code == 500
    assert (await http.get("/_admin/faults")).json() == []
    await http.post("/_admin/faults", json={"drop": True})
    assert (await http.delete("/_admin/faults")).json() == []

    revoked = (await http.post(f"/_admin/grants/{grant['id']}/revoke")).json()
    assert revoked["revoked_because"] == "revoked_by_admin"
    assert (await client.refresh(token["refresh_token"])).json()["error"] == "invalid_grant"
    mark = fingerprint(token["refresh_token"])
    entries = (await http.get("/_admin/presentations", params={"fingerprint": mark})).json()
    assert [entry["outcome"] for entry in entries] == ["not_processed", "refused"]
    assert (await http.get("/_admin/presentations", params={"fingerprint": "other"})).json() == []
    counters = (await http.get("/_admin/counters")).json()
    assert (counters["grants_active"], counters["grants_revoked"], counters["presentations"]) == (0, 1, 2)
    everything = [await http.get(f"/_admin/{part}") for part in ("grants", "presentations", "counters", "faults")]
    assert not any(token["refresh_token"] in page.text or token["access_token"] in page.text for page in everything)


@pytest.mark.parametrize(
    ("path", "body", "complaint"),
    [
        ("/_admin/faults", '{"status": 500, "colour": "red"}', "colour"),
        ("/_admin/faults", '{"drop": true, "status": 500}', "a dropped connection has no status"),
        ("/_admin/faults", "nonsense", "Invalid JSON"),
        ("/_admin/client-secret", '{"client_secret": ""}', "client_secret"),
    ],
)
async def test_the_admin_side_names_what_is_wrong_with_a_body(
    start: Start, path: str, body: str, complaint: str
) -> None:
    answer = await (await start()).http.post(path, content=body)

    assert answer.status_code == 400
    assert complaint in answer.json()["error"]


async def test_the_admin_side_rotates_the_client_secret(start: Start) -> None:
    client = await start()
    token = await client.connect()

    answer = await client.http.post("/_admin/client-secret", json={"client_secret": "second"})

    assert answer.status_code == 204
    assert (await client.refresh(token["refresh_token"], auth=("demo-client", "second"))).status_code == 200
    assert (await client.http.post("/_admin/grants/grant-9/revoke")).status_code == 404


async def test_as_a_process_it_prints_its_url_and_ends_on_sigterm() -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tokenkeep.adapters.demo_provider", "--token-lifetime", "5", "--no-pkce"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    url = (await process.stdout.readline()).decode().strip()
    async with httpx.AsyncClient(base_url=url, trust_env=False) as http:
        query = {"response_type": "code", "client_id": "demo-client", "redirect_uri": REDIRECT_URI, "user": "alice"}
        landed = await http.post("/authorize", params=query, data={"user": "alice", "decision": "allow"})
        code = httpx.URL(landed.headers["location"]).params["code"]
        form = {"grant_type": "authorization_code", "code": code, "redirect_uri": REDIRECT_URI}
        token = (await http.post("/token", data=form, auth=("demo-client", "demo-secret"))).json()
    process.send_signal(signal.SIGTERM)
    _, errors = await process.communicate()

    assert token["expires_in"] == 5
    assert (process.returncode, errors) == (0, b"")
