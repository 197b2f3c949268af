"""Everything that the dashboard asks is asked of a real Prometheus, which scrapes real processes that keep real accounts fresh."""

import asyncio
import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from busy_metrics import busy, described
from connections import Connected, StartProvider
from household import Household, a_free_port, data
from prometheus import FETCHING_S, Prometheus, metric_names, need_prometheus, scraping
from tokenkeep.adapters.demo_provider import Fault, ProviderOptions

pytestmark = pytest.mark.timeout(300 + FETCHING_S)

DEPLOY = Path(__file__).parents[2] / "deploy"
RULES = sorted((DEPLOY / "prometheus").glob("*.rules.yml"))
DASHBOARD: dict[str, Any] = json.loads((DEPLOY / "grafana" / "tokenkeep.json").read_text(encoding="utf-8"))

# What Grafana puts in.
CHOSEN = {"$cell": ".*", "$provider": ".*", "$__rate_interval": "20s"}

WITHOUT_DATA = {"Sources paused A", "Jobs that did not end well A"}
"""What shows nothing while no source pauses itself and no store is away. These must be understood, and that is all."""


def asked() -> Iterator[tuple[str, str]]:
    """Each query, named by its panel's title and its letter."""
    for panel in DASHBOARD["panels"]:
        for target in panel.get("targets", ()):
            expression = target["expr"]
            for name, value in CHOSEN.items():
                expression = expression.replace(name, value)
            yield f"{panel['title']} {target['refId']}", expression


async def busy_life(household: Household, api: httpx.AsyncClient, connected: Connected) -> list[str]:
    """Accounts that are refreshed, one revoked, one put off; a source that is paused; an endpoint that is down; a webhook that fails."""
    source_id = await connected.create_source(
        api, reuse_detection="revokes", revocation_url=f"{connected.server.url}/revoke"
    )
    ids = [await connected.connect(api, source_id, f"user{n}") for n in range(4)]
    gone = await connected.connect(api, source_id, "gone")
    await api.delete(f"/v1/accounts/{gone}")
    paused = await connected.create_source(api)
    await data(await api.post(f"/v1/sources/{paused}/pause"))
    dead = await connected.create_source(api, token_url=f"http://127.0.0.1:{a_free_port()}/token")
    for number in range(12):
        credentials = {"access_token": f"a{number}", "refresh_token": f"r{number}", "expires_in": 2}
        unlucky = await data(await api.post("/v1/accounts", json={"source_id": dead, "credentials": credentials}))
        ids.append(unlucky["id"])
    await data(await api.post("/v1/webhooks", json={"url": f"http://127.0.0.1:{a_free_port()}/hook"}))
    async with household.valkey() as valkey:
        await valkey.xgroup_create("tokenkeep:events", "billing", id="0", mkstream=True)
        await valkey.xgroup_createconsumer("tokenkeep:events", "billing", "me")
    grant = connected.provider.active_grant("user3")
    assert grant is not None
    connected.provider.revoke_grant(grant.id)
    connected.provider.inject(Fault(status=429, body="{}", user="user2"))
    return ids


async def ask_for_tokens(api: httpx.AsyncClient, ids: list[str]) -> None:
    """Callers, and services that report, until cancelled."""
    number = 0
    while True:
        number += 1
        for one in ids:
            await api.post(f"/v1/accounts/{one}/token", json={"min_ttl": 1, "wait": 0})
        event = {
            "specversion": "1.0",
            "id": f"e{number}",
            "source": "tests",
            "type": "tokenkeep.account.refresh_requested",
            "data": {"account_id": ids[0]},
        }
        await api.post("/v1/events", json=event)
        await asyncio.sleep(1)


async def test_every_query_of_the_dashboard_has_an_answer_from_a_live_system(
    household: Household, start_provider: StartProvider, tmp_path: Path
) -> None:
    programs = need_prometheus()
    connected = await start_provider(ProviderOptions(token_lifetime_s=6))
    async with household, household.api() as api:
        ids = await busy_life(household, api, connected)
        asking = asyncio.create_task(ask_for_tokens(api, ids))
        try:
            async with scraping(programs, tmp_path, household.metrics_at(), rules=RULES) as prometheus:
                await all_have_data(household, prometheus)
                assert await the_rules_are_well(household, prometheus)
                found = await prometheus.query("count by (process) (tokenkeep_build_info)")
                assert {labels["process"]: count for labels, count in found} == {"api": 1, "scheduler": 1, "worker": 1}
        finally:
            asking.cancel()


async def all_have_data(household: Household, prometheus: Prometheus) -> None:
    missing = list(asked())

    async def is_there() -> bool:
        nonlocal missing
        missing = [(title, one) for title, one in missing if not await prometheus.query(one)]
        return {title for title, _ in missing} <= WITHOUT_DATA

    try:
        await household.until(is_there, within_s=100)
    except AssertionError:
        raise AssertionError("\n".join(f"{title}: {one}" for title, one in missing)) from None


async def the_rules_are_well(household: Household, prometheus: Prometheus) -> bool:
    """Prometheus evaluates all of them, and none of the alerts that take minutes has any reason to fire."""
    unfounded: set[str] = set()

    async def is_calm() -> bool:
        nonlocal unfounded
        unfounded = {name for name in await prometheus.raised() if name.endswith(("Absent", "FiguresOld"))}
        return not unfounded

    # One scrape that was too slow is enough for an alert to be pending until the next.
    with suppress(AssertionError):
        await household.until(is_calm)
    assert unfounded == set()
    groups = (await prometheus.ask("rules"))["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    assert len(rules) > 40
    assert [rule["lastError"] for rule in rules if rule["health"] == "err"] == []
    return not await prometheus.firing()


def test_the_dashboard_asks_for_nothing_that_does_not_exist_and_explains_each_panel() -> None:
    known = {name + suffix for name in described(busy()) for suffix in ("", "_bucket", "_sum", "_count")}
    used = {name for _, expression in asked() for name in metric_names(expression)}
    assert used <= known
    assert {name.removesuffix("_bucket") for name in used} == set(described(busy())) - {
        "tokenkeep_keyring_changed_timestamp_seconds"
    }
    panels = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
    assert [panel["title"] for panel in panels if len(panel.get("description", "")) < 10] == []
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])


def test_no_panel_lies_over_another_one() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        where = panel["gridPos"]
        cells = {(where["x"] + x, where["y"] + y) for x in range(where["w"]) for y in range(where["h"])}
        assert not taken & cells, panel["title"]
        assert where["x"] + where["w"] <= 24, panel["title"]
        taken |= cells
