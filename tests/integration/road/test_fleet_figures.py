"""What the scheduler counts for the metrics, over a real database and a real Valkey."""

from datetime import timedelta
from uuid import uuid4

from road import CALLER, Road
from token_server import TokenServer
from tokenkeep.adapters.postgres.environment_figures import count_environment
from tokenkeep.adapters.postgres.fleet import count_fleet
from tokenkeep.application.fleet import FleetFigures, RunningSource, Waiting, WebhookCondition
from tokenkeep.application.manage_sources import PauseSource
from tokenkeep.domain.ids import SourceId, WebhookId

PROVIDER = "generic-oauth2"


async def counted(road: Road) -> FleetFigures:
    """The fleet's figures. Those of its one environment, which the console shows, say the same."""
    figures = await count_fleet(road.foundation.database)
    shown = await count_environment(road.foundation.database, CALLER.environment)
    assert shown.accounts == figures.accounts
    assert shown.expired == sum(figures.expired.values())
    assert shown.overdue == sum(it.count for it in figures.overdue.values())
    return figures


async def pause(road: Road, source_id: SourceId) -> None:
    async with road.works() as work:
        await PauseSource()(work, CALLER, source_id, correlation_id="cor_test")


async def test_an_empty_installation_has_figures_without_anything_in_them(road: Road) -> None:
    figures = await counted(road)
    assert (figures.accounts, figures.expired, figures.overdue, figures.sealed, figures.failing) == ({}, {}, {}, {}, {})
    assert (figures.due, figures.outbox, figures.inbox, figures.revocations) == (0, Waiting(), Waiting(), Waiting())
    assert figures.webhooks == dict.fromkeys(WebhookCondition, 0)
    assert (figures.deliveries, figures.feed_lag) == (0, timedelta(0))


async def test_a_refresh_that_is_overdue_is_counted_whoever_holds_it_and_not_while_its_source_is_paused(
    road: Road, server: TokenServer
) -> None:
    source_id = await road.source(server.url)
    late = await road.account(source_id, "late", expires_in_s=3600)
    await road.account(source_id, "in-time", expires_in_s=3600)
    assert (await counted(road)).overdue == {PROVIDER: Waiting()}
    await road.sql(
        "UPDATE leases SET next_refresh_at = now() - interval '5 minutes', due_at = now() WHERE account_id = :id",
        id=late,
    )
    figures = await counted(road)
    assert (figures.due, figures.overdue[PROVIDER].count) == (1, 1)
    assert timedelta(minutes=5) <= figures.overdue[PROVIDER].oldest < timedelta(minutes=6)
    assert await road.tick() == 1
    figures = await counted(road)
    assert (figures.due, figures.overdue[PROVIDER].count) == (0, 1)  # nobody has done anything about it yet
    await pause(road, source_id)
    assert (await counted(road)).overdue == {PROVIDER: Waiting()}


async def test_a_doubt_is_counted_until_it_is_resolved(road: Road, server: TokenServer) -> None:
    source_id = await road.source(server.url)
    account_id = await road.account(source_id, expires_in_s=3600)
    assert (await counted(road)).in_doubt == {PROVIDER: Waiting()}
    await road.sql(
        "UPDATE leases SET doubts = 1, doubt_since = now() - interval '10 minutes' WHERE account_id = :id",
        id=account_id,
    )
    doubt = (await counted(road)).in_doubt[PROVIDER]
    assert doubt.count == 1
    assert timedelta(minutes=10) <= doubt.oldest < timedelta(minutes=11)
    await pause(road, source_id)
    assert (await counted(road)).in_doubt == {PROVIDER: Waiting(1)}
    await road.toggle(account_id, on=False)
    assert (await counted(road)).in_doubt == {PROVIDER: Waiting()}


async def test_credentials_are_counted_by_the_key_that_they_are_sealed_under_and_expired_tokens_by_provider(
    road: Road, server: TokenServer
) -> None:
    source_id = await road.source(server.url)
    expired = await road.account(source_id, "expired")
    await road.account(source_id, "fresh", expires_in_s=3600)
    key_id = road.keyring.reveal().partition(":")[0]
    figures = await counted(road)
    assert (figures.sealed, figures.expired) == ({key_id: 2}, {PROVIDER: 1})
    assert figures.neglected == {RunningSource(source_id, PROVIDER): 1}
    await road.sql("UPDATE credentials SET key_id = 'old' WHERE account_id = :id", id=expired)
    assert (await counted(road)).sealed == {key_id: 1, "old": 1}
    await pause(road, source_id)
    figures = await counted(road)
    assert (figures.expired, figures.neglected) == ({PROVIDER: 1}, {})


async def test_a_source_that_proves_a_changed_client_is_not_overlooked(road: Road, server: TokenServer) -> None:
    """Its one try may wait for long, and nothing else tells of it."""
    source_id = await road.source(server.url)
    account_id = await road.account(source_id)
    await road.sql("UPDATE sources SET proving = true WHERE id = :id", id=source_id)
    await road.sql(
        "UPDATE leases SET next_refresh_at = now() - interval '5 minutes' WHERE account_id = :id", id=account_id
    )
    figures = await counted(road)
    assert figures.neglected == {RunningSource(source_id, PROVIDER): 1}
    assert figures.overdue[PROVIDER].count == 1


async def test_webhooks_are_counted_by_how_they_are_and_told_for_how_long_they_fail(road: Road) -> None:
    ids = [WebhookId(uuid4()) for _ in range(3)]
    for webhook_id in ids:
        await road.sql(
            """INSERT INTO webhooks (id, environment, url, ordered, heard_from, key_id, wrapped_key)
               VALUES (:id, 'default', 'https://app.example.com', false, 0, 'k', '\\x00')""",
            id=webhook_id,
        )
        await road.sql("INSERT INTO webhook_lanes (webhook_id) VALUES (:id)", id=webhook_id)
    await road.sql(
        "UPDATE webhook_lanes SET failing_since = now() - interval '2 hours' WHERE webhook_id <> :id", id=ids[0]
    )
    await road.sql("UPDATE webhooks SET disabled_reason = 'failing', disabled_at = now() WHERE id = :id", id=ids[2])
    figures = await counted(road)
    assert figures.webhooks == dict.fromkeys(WebhookCondition, 1)
    assert list(figures.failing) == [ids[1]]
    assert figures.failing[ids[1]] >= timedelta(hours=2)


async def test_events_that_are_not_given_out_count_only_while_a_webhook_listens(
    road: Road, server: TokenServer
) -> None:
    await road.account(await road.source(server.url), expires_in_s=3600)
    figures = await counted(road)
    assert figures.outbox.count == 2
    assert figures.feed_lag == timedelta(0)
    webhook_id = uuid4()
    await road.sql(
        """INSERT INTO webhooks (id, environment, url, ordered, heard_from, key_id, wrapped_key)
           VALUES (:id, 'default', 'https://app.example.com', false, 0, 'k', '\\x00')""",
        id=webhook_id,
    )
    await road.sql("INSERT INTO webhook_lanes (webhook_id) VALUES (:id)", id=webhook_id)
    assert (await counted(road)).feed_lag > timedelta(0)
    await road.sql("UPDATE webhook_cursor SET position = (SELECT max(position) FROM events)")
    assert (await counted(road)).feed_lag == timedelta(0)


async def test_what_lies_in_the_redis_streams_is_counted(road: Road) -> None:
    redis = road.foundation.redis
    await redis.xadd("tokenkeep:inbox", {"event": "{}"})
    await redis.xadd("tokenkeep:events", {"event": "{}"}, id="1000-0")
    await redis.xgroup_create("tokenkeep:events", "billing", id="0")
    await redis.xgroup_create("tokenkeep:events", "done", id="$")
    await redis.xgroup_create("tokenkeep:events", "nobody", id="0")
    for group in ("billing", "done"):
        await redis.xgroup_createconsumer("tokenkeep:events", group, "me")
    assert await road.jobs.inbox.lengths() == (1, 0)
    unread = await road.jobs.trim.unread()
    assert set(unread) == {"billing", "done"}
    assert unread["done"] == timedelta(0)
    assert unread["billing"] > timedelta(days=365)
