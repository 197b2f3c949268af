"""Each incident is played on a living system that a real Prometheus scrapes: the right alert fires, no other one, and all is well again."""

import asyncio
import json
import re
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from prometheus import FETCHING_S, Prometheus, hastened, need_prometheus, scraping
from rehearsals import RunningRehearsal, at_the_console, rehearsing, runbooks_named
from tokenkeep.cli.demonstration.incidents import SCRIPTS, Incident

pytestmark = pytest.mark.timeout(300 + FETCHING_S)

RULES = sorted((Path(__file__).parents[2] / "deploy" / "prometheus").glob("*.rules.yml"))


@dataclass(frozen=True)
class Pace:
    """`factor`: so many times faster than an installation's are the rules, with all their times: at 20, `for: 5m` takes 15 s.

    `lasts_s`: until the alert has fired, and others would have.
    """

    factor: int
    lasts_s: int


PACES = {
    Incident.OUTAGE: Pace(20, 25),
    # An account that was told that the client is wrong waits for a minute, whatever the pace; that must stay short for the rules.
    Incident.SECRET_ROTATED: Pace(4, 30),
    Incident.MASS_REVOCATION: Pace(4, 30),
    Incident.REDIS_DOWN: Pace(20, 25),
}


@pytest.fixture
def data_dir(short_dir: Path) -> Path:
    """PostgreSQL's own user passes through it."""
    short_dir.chmod(0o711)
    return short_dir / "data"


@asynccontextmanager
async def watched(rehearsal: RunningRehearsal, directory: Path, factor: int) -> AsyncIterator[Prometheus]:
    """A Prometheus that is set up as the rehearsal says, with rules for its pace."""
    targets = json.loads((await rehearsal.until(r"targets: (\[.*\])"))[1])
    rules = hastened(RULES, factor, directory)
    async with scraping(need_prometheus(), directory, targets, rules=rules) as prometheus:
        yield prometheus


async def firing(prometheus: Prometheus, *, at: float, within: str = "") -> set[str]:
    """The names of the alerts that fired at a moment, or within a span before it."""
    series = f'ALERTS{{alertstate="firing"}}{within}'
    series = f"max_over_time({series})" if within else series
    return {labels["alertname"] for labels, _ in await prometheus.query(f"count by (alertname) ({series})", at=at)}


async def console_agrees(rehearsal: RunningRehearsal, alert: str, *, within_s: float) -> None:
    """The console's overview comes to name the runbook of this alert, and of no other."""
    named: set[str] = set()
    async with at_the_console(rehearsal) as http:
        try:
            async with asyncio.timeout(within_s):
                while (named := await runbooks_named(http)) != {alert}:  # noqa: ASYNC110 - it asks other processes
                    await asyncio.sleep(0.5)
        except TimeoutError:
            raise AssertionError(f"the console names {named} and not {alert}") from None


@pytest.mark.parametrize("incident", list(Incident))
async def test_the_right_alert_fires_and_no_other_and_all_is_well_again(
    incident: Incident, data_dir: Path, tmp_path: Path
) -> None:
    need_prometheus()
    pace = PACES[incident]
    async with rehearsing(data_dir, "--incident", incident, "--for", str(pace.lasts_s)) as rehearsal:
        async with watched(rehearsal, tmp_path, pace.factor) as prometheus:
            await rehearsal.until("it happens: ")
            assert await firing(prometheus, at=time.time(), within="[10m]") == set()
            await rehearsal.until("it shows after", within_s=250)
            await console_agrees(rehearsal, SCRIPTS[incident].alert, within_s=pace.lasts_s)
            await rehearsal.until("all is well again$", within_s=200)
            ended = time.time()
            assert await firing(prometheus, at=ended) == set()
            assert await firing(prometheus, at=ended, within="[10m]") == {SCRIPTS[incident].alert}
        assert await rehearsal.end() == 0, rehearsal.said()
    assert re.search(rf"verdict +{incident}: all \d promises kept", rehearsal.said())
    assert "BROKEN" not in rehearsal.said()
    assert "Traceback" not in rehearsal.said()


async def test_ctrl_c_ends_the_incident_and_then_the_wait_and_a_broken_promise_is_told_by_the_exit_code(
    data_dir: Path,
) -> None:
    async with rehearsing(data_dir, "--incident", "outage", "--for", "600") as rehearsal:
        provider = (await rehearsal.until(r"a provider listens on (\S+);"))[1]
        await rehearsal.until("it shows after")
        async with httpx.AsyncClient(base_url=provider, trust_env=False) as http:
            [first, *_] = (await http.get("/_admin/grants")).json()
            await http.post(f"/_admin/grants/{first['id']}/revoke")
        rehearsal.interrupt()
        await rehearsal.until("the provider's token endpoint works again")
        await rehearsal.until(rf"account.disabled {first['user']} ")
        rehearsal.interrupt()
        await rehearsal.until("all is not well, and is judged as it stands")
        status = await rehearsal.end()

    assert status == 1, rehearsal.said()
    assert (
        "BROKEN     nobody is disabled for somebody else's fault: 5 of 6 accounts are active, 1 disabled meanwhile"
        in rehearsal.said()
    )
    assert "promises broken" in rehearsal.said()
    assert "a promise was broken: nobody is disabled for somebody else's fault" in rehearsal.lines[-1]


async def test_a_rehearsal_that_is_stopped_has_no_verdict_and_its_exit_code_says_so(data_dir: Path) -> None:
    async with rehearsing(data_dir, "--incident", "redis-down") as rehearsal:
        await rehearsal.until("it happens: ")
        rehearsal.process.send_signal(signal.SIGTERM)
        status = await rehearsal.end()

    assert status == 1
    assert rehearsal.lines[-2:] == ["stopped", "stopped before there was a verdict"]
