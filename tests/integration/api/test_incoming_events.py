"""`POST /v1/events`: what services report and ask for, received once and told one by one."""

import asyncio
import json
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from structlog.testing import capture_logs

from api_service import ADMIN_KEY, Service, data, open_service, problem
from incoming import a_report, an_incoming
from token_server import TokenServer, says
from tokenkeep.adapters.postgres.housekeeping import keep_house
from tokenkeep.domain.attempt import Trigger
from tokenkeep.domain.ids import AccountId, IdKind, format_id, parse_id
from tokenkeep_worker.inbox import InboxApplication, wire_inbox

CLOUDEVENT = "application/cloudevents+json"
CLOUDEVENTS = "application/cloudevents-batch+json"


@pytest.fixture
def inbox(service: Service) -> InboxApplication:
    return wire_inbox(service.foundation, service.queue, service.wired.stores, service.sealer)


async def send(client: httpx.AsyncClient, *events: Any) -> list[str]:
    """The statuses of the results."""
    return [result["status"] for result in data(await client.post("/v1/events", json=list(events)), 202)]


async def work_off(inbox: InboxApplication, service: Service) -> None:
    while await inbox.round():
        pass
    await service.queue.drain()


def uuid_of(account_id: str) -> UUID:
    return parse_id(IdKind.ACCOUNT, account_id)


async def told(service: Service, account_id: str) -> list[str]:
    rows = await service.sql("SELECT type FROM events WHERE subject = :id ORDER BY sequence", id=uuid_of(account_id))
    return [row["type"].rpartition(".")[2] for row in rows if not row["type"].endswith(("created", "activated"))]


async def outcomes(service: Service) -> list[str | None]:
    rows = await service.sql(
        "SELECT outcome FROM inbox_events WHERE environment = :e ORDER BY position", e=service.environment
    )
    return [row["outcome"] for row in rows]


async def test_each_event_of_a_batch_has_its_result_and_a_malformed_one_stops_no_other(
    service: Service, admin: httpx.AsyncClient
) -> None:
    account_id = await service.account(await service.source("https://93.184.215.14/token"))
    unknown = format_id(IdKind.ACCOUNT, uuid4())
    good = an_incoming("refresh_requested", account_id, id="one", source="/a")
    batch = [
        good,
        {"specversion": "1.0"},
        "no event",
        an_incoming("unheard_of", account_id, id="canary"),
        an_incoming("disable_requested", unknown),
        good,
        {**good, "source": "/b"},
    ]
    results = data(await admin.post("/v1/events", json=batch, headers={"Content-Type": CLOUDEVENTS}), 202)
    assert [result["status"] for result in results] == [
        *("accepted", "rejected", "rejected", "rejected", "rejected", "duplicate", "accepted")
    ]
    assert results[0] == {"source": "/a", "id": "one", "status": "accepted"}
    assert (results[3]["code"], results[3]["field"], results[3]["id"]) == ("unknown_type", "type", "canary")
    assert (results[4]["code"], results[4]["field"]) == ("not_found", "subject")
    assert results[1]["field"] == "id"
    assert await outcomes(service) == [None, None]


async def test_one_event_alone_has_a_result_too(service: Service, admin: httpx.AsyncClient) -> None:
    account_id = await service.account(await service.source("https://93.184.215.14/token"))
    event = an_incoming("refresh_requested", account_id)
    for media_type, status in ((CLOUDEVENT, "accepted"), ("application/json", "duplicate")):
        [result] = data(await admin.post("/v1/events", json=event, headers={"Content-Type": media_type}), 202)
        assert result["status"] == status


async def test_bodies_that_are_none_of_the_forms_are_refused_whole(service: Service, admin: httpx.AsyncClient) -> None:
    account_id = await service.account(await service.source("https://93.184.215.14/token"))
    event = an_incoming("refresh_requested", account_id)
    for media_type, body in (
        (CLOUDEVENT, [event]),
        (CLOUDEVENTS, event),
        ("application/json", 7),
        ("application/json", [event] * 1_001),
    ):
        refused = await admin.post("/v1/events", json=body, headers={"Content-Type": media_type})
        problem(refused, 422, "invalid_input", "body")
    problem(await admin.post("/v1/events", content=b"{", headers={"Content-Type": CLOUDEVENT}), 400, "malformed_json")
    wrong = await admin.post("/v1/events", content=b"{}", headers={"Content-Type": "text/plain"})
    problem(wrong, 415, "unsupported_media_type")
    elsewhere = await admin.post("/v1/sources", content=b"{}", headers={"Content-Type": CLOUDEVENT})
    problem(elsewhere, 415, "unsupported_media_type")
    assert data(await admin.post("/v1/events", json=[]), 202) == []
    assert await outcomes(service) == []


async def test_a_key_reaches_no_account_of_another_environment_and_its_ids_are_its_own(
    service: Service, admin: httpx.AsyncClient
) -> None:
    account_id = await service.account(await service.source("https://93.184.215.14/token"))
    event = an_incoming("disable_requested", account_id)
    stranger = await service.key("events:write", environment=f"{service.environment}-other")
    async with service.client(stranger) as client:
        [result] = data(await client.post("/v1/events", json=event), 202)
        assert (result["status"], result["code"]) == ("rejected", "not_found")
    lying = an_incoming("disable_requested", account_id, data={"environment": "elsewhere"})
    [result] = data(await admin.post("/v1/events", json=lying), 202)
    assert (result["status"], result["field"]) == ("rejected", "data.environment")
    assert await send(admin, event) == ["accepted"]


async def test_fifty_services_that_report_the_present_token_at_once_have_it_refreshed_once(
    service: Service, admin: httpx.AsyncClient, inbox: InboxApplication, server: TokenServer
) -> None:
    account_id = await service.account(await service.source(server.url))
    reports = [a_report(account_id, "access-grant.1", source=f"/service/{n}") for n in range(50)]
    answers = await asyncio.gather(*(send(admin, report) for report in reports))
    assert answers == [["accepted"]] * 50
    other = wire_inbox(service.foundation, service.queue, service.wired.stores, service.sealer)
    await asyncio.gather(work_off(inbox, service), work_off(other, service))
    await work_off(inbox, service)
    if not server.presented:
        # Each passed the account by while the other one had it locked: the scheduler's next tick finds it.
        assert service.queue.refreshing is not None
        await service.queue.refreshing.refresh(
            [AccountId(uuid_of(account_id))], trigger=Trigger.REPORT, correlation_id="cor_tick"
        )
    assert server.presented == ["grant.1"]
    assert sorted(await outcomes(service), key=str) == ["applied"] + ["moot"] * 49
    assert await told(service, account_id) == ["token_rejected", "refreshed"]
    token = data(await admin.post(f"/v1/accounts/{account_id}/token"))
    assert token["access_token"] == "access-grant.2"
    [attempt] = data(await admin.get(f"/v1/accounts/{account_id}/attempts"))
    assert (attempt["trigger"], attempt["outcome"]) == ("report", "ok")


async def test_a_token_that_was_reported_is_handed_out_only_if_no_newer_one_can_be_had(
    service: Service, admin: httpx.AsyncClient, inbox: InboxApplication, server: TokenServer
) -> None:
    account_id = await service.account(await service.source(server.url))
    refreshing, service.queue.refreshing = service.queue.refreshing, None  # the report's own hint is lost
    await send(admin, a_report(account_id, "access-grant.1"))
    await work_off(inbox, service)
    service.queue.refreshing = refreshing
    # It is about this account alone, so its source is not held.
    server.script.append(says(423, {"error": "account_locked"}, retry_after="60"))
    given = data(await admin.post(f"/v1/accounts/{account_id}/token"))
    assert (given["access_token"], given["refreshed"]) == ("access-grant.1", False)
    problem(await admin.post(f"/v1/accounts/{account_id}/token", json={"force": True}), 503, "token_unavailable")
    await service.sql("UPDATE leases SET not_before = NULL WHERE account_id = :id", id=uuid_of(account_id))
    given = data(await admin.post(f"/v1/accounts/{account_id}/token"))
    assert (given["access_token"], given["refreshed"]) == ("access-grant.2", True)
    assert server.presented == ["grant.1", "grant.1"]


async def test_reports_about_a_former_token_do_nothing(
    service: Service, admin: httpx.AsyncClient, inbox: InboxApplication, server: TokenServer
) -> None:
    account_id = await service.account(await service.source(server.url))
    await send(admin, a_report(account_id, "access-grant.1"))
    await work_off(inbox, service)
    late = [a_report(account_id, "access-grant.1"), a_report(account_id, "nobody's")]
    assert await send(admin, *late) == ["accepted", "accepted"]
    await work_off(inbox, service)
    assert server.presented == ["grant.1"]
    assert await outcomes(service) == ["applied", "moot", "moot"]
    await send(admin, a_report(account_id, "access-grant.2"))
    await work_off(inbox, service)
    assert server.presented == ["grant.1", "grant.2"]
    assert await told(service, account_id) == ["token_rejected", "refreshed"] * 2


async def test_a_report_during_a_pause_is_heeded_after_it(
    service: Service, admin: httpx.AsyncClient, inbox: InboxApplication, server: TokenServer
) -> None:
    source_id = await service.source(server.url)
    account_id = await service.account(source_id)
    await admin.post(f"/v1/sources/{source_id}/pause")
    await send(admin, a_report(account_id, "access-grant.1"))
    await work_off(inbox, service)
    assert server.presented == []
    await admin.post(f"/v1/sources/{source_id}/resume")
    assert service.queue.refreshing is not None
    hinted = [AccountId(uuid_of(account_id))]
    await service.queue.refreshing.refresh(hinted, trigger=Trigger.SCHEDULE, correlation_id="cor_test")
    assert server.presented == ["grant.1"]


async def test_an_account_that_cannot_be_refreshed_is_told_of_once_and_stays(
    service: Service, admin: httpx.AsyncClient, inbox: InboxApplication
) -> None:
    source_id = await service.source("https://93.184.215.14/token")
    account_id = await service.account(source_id, refresh_token=None, expires_in=None)
    await send(admin, *(a_report(account_id, "access-grant.1") for _ in range(3)))
    await work_off(inbox, service)
    assert await told(service, account_id) == ["token_rejected"]
    assert data(await admin.get(f"/v1/accounts/{account_id}"))["state"] == "active"


async def test_a_grant_that_is_said_to_be_dead_is_asked_about(
    service: Service, admin: httpx.AsyncClient, inbox: InboxApplication, server: TokenServer
) -> None:
    source_id = await service.source(server.url)
    alive, dead = await service.account(source_id, "alive"), await service.account(source_id, "dead")
    await send(admin, an_incoming("revoked", alive))
    await work_off(inbox, service)
    assert await told(service, alive) == ["refreshed"]
    server.script.append(says(400, {"error": "invalid_grant"}))
    await send(admin, an_incoming("revoked", dead))
    await work_off(inbox, service)
    assert server.presented == ["alive.1", "dead.1"]
    shown = data(await admin.get(f"/v1/accounts/{dead}"))
    assert (shown["state"], shown["disabled"]["reason"], shown["disabled"]["by"]) == (
        *("disabled", "revoked", "tokenkeep"),
    )
    assert data(await admin.get(f"/v1/accounts/{alive}"))["state"] == "active"


async def test_a_provider_that_is_away_disables_nobody_on_a_services_word(
    service: Service, admin: httpx.AsyncClient, inbox: InboxApplication, server: TokenServer
) -> None:
    account_id = await service.account(await service.source(server.url))
    server.script.append(says(503, {}, retry_after="60"))
    await send(admin, an_incoming("revoked", account_id))
    await work_off(inbox, service)
    assert data(await admin.get(f"/v1/accounts/{account_id}"))["state"] == "active"


async def test_where_nobody_can_be_asked_the_service_is_believed_and_named(
    service: Service, admin: httpx.AsyncClient, inbox: InboxApplication
) -> None:
    source_id = await service.source("https://93.184.215.14/token", authorization_url="https://93.184.215.14/authorize")
    account_id = await service.account(source_id, refresh_token=None, expires_in=None)
    key = data(
        await admin.post(
            "/v1/api-keys", json={"name": "k", "environment": service.environment, "scopes": ["events:write"]}
        ),
        201,
    )
    async with service.client(key["key"]) as client:
        await send(client, an_incoming("revoked", account_id), an_incoming("revoked", account_id))
    await work_off(inbox, service)
    disabled = data(await admin.get(f"/v1/accounts/{account_id}"))["disabled"]
    assert (disabled["reason"], disabled["by"]) == ("uninstalled", key["id"])
    assert await told(service, account_id) == ["disabled"]
    [event] = [one for one in data(await admin.get(f"/v1/accounts/{account_id}/events")) if "reason" in one["data"]]
    assert event["data"]["reason"] == "uninstalled"
    assert "/connect/" in event["data"]["connect_url"]


async def test_asking_events_do_what_the_calls_do_in_their_order_and_are_audited_under_their_sender(
    service: Service, admin: httpx.AsyncClient, inbox: InboxApplication, server: TokenServer
) -> None:
    account_id = await service.account(await service.source(server.url))
    kinds = ["disable_requested", "refresh_requested", "enable_requested", "disable_requested", "enable_requested"]
    await send(admin, *(an_incoming(kind, account_id) for kind in kinds))
    await work_off(inbox, service)
    assert (await told(service, account_id))[:4] == ["disabled", "enabled", "disabled", "enabled"]
    assert await outcomes(service) == ["applied", "refused", "applied", "applied", "applied"]
    audited = data(await admin.get("/v1/audit", params={"target": account_id, "limit": "50"}))
    trail = [(one["action"], one["result"], one["actor"], one["address"]) for one in reversed(audited)]
    assert trail[-5:] == [
        ("account.disable", "ok", "admin-key", "192.0.2.7"),
        ("account.refresh", "account_disabled", "admin-key", "192.0.2.7"),
        ("account.enable", "ok", "admin-key", "192.0.2.7"),
        ("account.disable", "ok", "admin-key", "192.0.2.7"),
        ("account.enable", "ok", "admin-key", "192.0.2.7"),
    ]


async def test_a_refresh_that_is_asked_for_many_times_in_one_breath_is_made_once(
    service: Service, admin: httpx.AsyncClient, inbox: InboxApplication, server: TokenServer
) -> None:
    account_id = await service.account(await service.source(server.url))
    await send(admin, *(an_incoming("refresh_requested", account_id) for _ in range(20)))
    await work_off(inbox, service)
    assert server.presented == ["grant.1"]
    await send(admin, an_incoming("refresh_requested", account_id))
    await work_off(inbox, service)
    assert server.presented == ["grant.1", "grant.2"]


async def test_an_account_that_is_gone_when_its_turn_comes_is_nobodys_trouble(
    service: Service, admin: httpx.AsyncClient, inbox: InboxApplication
) -> None:
    account_id = await service.account(await service.source("https://93.184.215.14/token"))
    await send(admin, a_report(account_id, "access-grant.1"), an_incoming("enable_requested", account_id))
    await admin.delete(f"/v1/accounts/{account_id}")
    await work_off(inbox, service)
    assert await outcomes(service) == ["refused", "refused"]


async def test_an_event_that_cannot_be_worked_off_holds_up_its_own_account_alone_and_is_given_up_at_last(
    service: Service, admin: httpx.AsyncClient, inbox: InboxApplication, server: TokenServer
) -> None:
    source_id = await service.source(server.url)
    broken, sound = await service.account(source_id, "broken"), await service.account(source_id, "sound")
    await service.sql("UPDATE credentials SET wrapped_key = 'lost' WHERE account_id = :id", id=uuid_of(broken))
    await send(admin, a_report(broken, "access-broken.1"), an_incoming("disable_requested", broken))
    await send(admin, a_report(sound, "access-sound.1"))
    with capture_logs() as told:
        await work_off(inbox, service)
    assert await outcomes(service) == [None, None, "applied"]
    await service.sql(
        "UPDATE inbox_events SET tries = 19, next_try_at = now() WHERE account_id = :id AND outcome IS NULL",
        id=uuid_of(broken),
    )
    with capture_logs() as told_at_last:
        await work_off(inbox, service)
    assert await outcomes(service) == ["failed", "applied", "applied"]
    (failed,) = await service.sql(
        "SELECT correlation_id FROM inbox_events WHERE outcome = 'failed' AND account_id = :id", id=uuid_of(broken)
    )
    about = {
        "account_id": broken,
        "type": "tokenkeep.account.unauthorized",
        "error": "VaultError",
        "correlation_id": failed["correlation_id"],
    }
    assert {"event": "inbox_event_postponed", "log_level": "warning", **about} in told
    assert {"event": "inbox_event_failed", "log_level": "error", **about} in told_at_last
    async with service.client(None) as nobody:
        metrics = (await nobody.get("/metrics")).text
    kind = "tokenkeep.account.unauthorized"
    assert f'tokenkeep_inbox_events_total{{result="failed",type="{kind}"}} 1.0' in metrics


async def test_events_are_counted_by_type_and_result_without_series_for_what_is_not_known(
    service: Service, admin: httpx.AsyncClient
) -> None:
    account_id = await service.account(await service.source("https://93.184.215.14/token"))
    event = an_incoming("refresh_requested", account_id)
    await send(admin, event, event, an_incoming("canary", account_id), 7)
    async with service.client(None) as nobody:
        metrics = (await nobody.get("/metrics")).text
    name, kind = "tokenkeep_inbox_events_total", "tokenkeep.account.refresh_requested"
    assert f'{name}{{result="accepted",type="{kind}"}} 1.0' in metrics
    assert f'{name}{{result="duplicate",type="{kind}"}} 1.0' in metrics
    assert f'{name}{{result="rejected",type="other"}} 2.0' in metrics
    assert "canary" not in metrics


async def test_an_event_is_known_again_for_seven_days_and_waits_for_its_effect_for_ever(
    service: Service, admin: httpx.AsyncClient, inbox: InboxApplication
) -> None:
    account_id = await service.account(await service.source("https://93.184.215.14/token"))
    events = [an_incoming(kind, account_id) for kind in ("disable_requested", "disable_requested")]
    await send(admin, *events)
    await work_off(inbox, service)
    waiting = an_incoming("enable_requested", account_id)
    await send(admin, waiting)
    for event, age in ((events[0], 8), (events[1], 6), (waiting, 100)):
        await service.sql(
            "UPDATE inbox_events SET received_at = now() - make_interval(days => :age) WHERE id = :id",
            age=age,
            id=event["id"],
        )
    await keep_house(service.foundation.database, audit_days=0)
    assert await send(admin, *events, waiting) == ["accepted", "duplicate", "duplicate"]


async def test_what_two_processes_are_sent_at_once_is_kept_once(
    service: Service, admin: httpx.AsyncClient, api_database_url: str, redis_url: str
) -> None:
    account_id = await service.account(await service.source("https://93.184.215.14/token"))
    event = an_incoming("refresh_requested", account_id)
    async with open_service(api_database_url, redis_url) as second:
        headers = {"X-Tokenkeep-Environment": service.environment}
        async with second.client(ADMIN_KEY, **headers) as other:
            answers = await asyncio.gather(*(send(client, event) for client in (admin, other) * 10))
    assert sorted(json.dumps(answer) for answer in answers) == ['["accepted"]'] + ['["duplicate"]'] * 19
