"""What a rehearsal says is what the rules, the runbooks and the metrics say."""

import io
import re
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from rich.console import Console
from typer.testing import CliRunner

from busy_metrics import busy, described
from tokenkeep.cli.demonstration.failure import DemoFailure
from tokenkeep.cli.demonstration.figures import Figures
from tokenkeep.cli.demonstration.incidents import SCRIPTS, Incident, Script, Sign
from tokenkeep.cli.demonstration.programme import PlainTeller, ScreenTeller, before, verdict_on
from tokenkeep.cli.demonstration.promises import Promise
from tokenkeep.cli.main import app

ROOT = Path(__file__).parents[3]
SIGN = Sign("worker", "tokenkeep_source_resting")
SHOWN = """
# TYPE tokenkeep_source_resting gauge
tokenkeep_source_resting{provider="google",source="src_2"} 1
tokenkeep_source_resting{provider="google",source="src_1"} %s
# TYPE tokenkeep_outbox_lag_seconds gauge
tokenkeep_outbox_lag_seconds 7
"""
PROMISES = (Promise("a is so", kept=True, figures="1 of 1"), Promise("b is so", kept=False, figures="0 of 1"))


def alerts() -> dict[str, dict[str, Any]]:
    groups = yaml.safe_load((ROOT / "deploy/prometheus/alert.rules.yml").read_text(encoding="utf-8"))["groups"]
    return {rule["alert"]: rule for group in groups for rule in group["rules"]}


def shown_by(text: str) -> Figures:
    def answer(request: httpx.Request) -> httpx.Response:
        assert str(request.url) == "http://worker/metrics"
        return httpx.Response(200, text=text)

    http = httpx.AsyncClient(transport=httpx.MockTransport(answer))
    return Figures(http, {"worker": "http://worker"}, source_id="src_1")


@pytest.mark.parametrize("script", SCRIPTS.values(), ids=list(SCRIPTS))
def test_each_incident_names_an_alert_a_page_and_a_metric_that_exist(script: Script) -> None:
    rule = alerts()[script.alert]
    assert (ROOT / script.runbook).is_file()
    assert rule["annotations"]["runbook_url"] == script.runbook
    kind, labels = described(busy())[script.sign.metric]
    assert kind == "gauge"
    assert set(script.sign.labels) | ({"source"} if script.sign.of_source else set()) <= labels


@pytest.mark.parametrize("script", SCRIPTS.values(), ids=list(SCRIPTS))
def test_each_incident_lasts_until_its_alert_has_fired(script: Script) -> None:
    minutes = int(re.fullmatch(r"(\d+) minutes?", script.alert_after)[1])  # type: ignore[index]  # it matches, or it fails
    held = int(re.fullmatch(r"(\d+)m", alerts()[script.alert]["for"])[1])  # type: ignore[index]
    assert held <= minutes < script.lasts_s / 60


@pytest.mark.parametrize("incident", list(Incident))
def test_each_incident_can_be_looked_up_in_the_how_to_and_in_its_runbook(incident: Incident) -> None:
    page = (ROOT / "docs/how-to/rehearse-an-incident.md").read_text(encoding="utf-8")
    assert f"`{incident}`" in page
    assert SCRIPTS[incident].alert in page
    runbook = (ROOT / SCRIPTS[incident].runbook).read_text(encoding="utf-8")
    assert f"`tokenkeep demo --incident {incident}`" in runbook


async def test_a_sign_is_what_the_source_shows_above_its_bound() -> None:
    assert await shown_by(SHOWN % 1).shown(SIGN) == 1
    assert await shown_by(SHOWN % 0).shown(SIGN) is None
    lag = Sign("worker", "tokenkeep_outbox_lag_seconds", of_source=False, above=5)
    assert await shown_by(SHOWN % 0).shown(lag) == 7
    assert await shown_by("").shown(lag) is None


async def test_a_process_whose_metrics_can_not_be_had_is_named() -> None:
    async with httpx.AsyncClient(transport=httpx.MockTransport(lambda _: httpx.Response(503))) as http:
        with pytest.raises(DemoFailure, match=r"^the worker's metrics can't be had: HTTPStatusError$"):
            await Figures(http, {"worker": "http://worker"}, source_id="src_1").shown(SIGN)


def test_beforehand_it_is_said_where_to_look() -> None:
    out = io.StringIO()
    script = SCRIPTS[Incident.SECRET_ROTATED]
    rows = before(
        Incident.SECRET_ROTATED,
        script,
        url="http://api:1",
        source_id="src_1",
        sign="the sign",
        places=("http://api:1", "http://worker:2"),
        lasts_s=120,
    )
    PlainTeller(out).before(rows)
    said = out.getvalue()
    for line in (
        "  console    http://api:1/console  http://api:1/console/sources/src_1\n",
        "  metric     the sign\n",
        "  alert      TokenkeepSourcePaused, 1 minute after the metric, and no other\n",
        "  runbook    docs/runbooks/TokenkeepSourcePaused.md\n",
        '  mended by  PATCH /v1/sources/src_1 {"client_secret": "..."}: one account proves it, the others follow\n',
        '  scrape     targets: ["api:1", "worker:2"]\n',
    ):
        assert line in said


def test_the_verdict_counts_what_was_broken_on_the_screen_and_in_lines() -> None:
    out = io.StringIO()
    PlainTeller(out).verdict(Incident.OUTAGE, PROMISES)
    assert out.getvalue() == (
        "  kept       a is so: 1 of 1\n  BROKEN     b is so: 0 of 1\n  verdict    outage: 1 of 2 promises broken\n"
    )
    console = Console(width=80, file=io.StringIO())
    with console.capture() as capture:
        ScreenTeller(console).verdict(Incident.OUTAGE, PROMISES)
    assert "outage: 1 of 2 promises broken" in capture.get()
    assert re.search(r"BROKEN +b is so +0 of 1", capture.get())
    assert verdict_on(Incident.OUTAGE, PROMISES[:1]) == "outage: all 1 promises kept"


def test_too_few_accounts_for_an_incident_are_refused_before_anything_starts() -> None:
    result = CliRunner().invoke(app, ["demo", "--incident", "mass-revocation", "--accounts", "4"])
    assert result.exit_code == 1
    assert "--accounts: mass-revocation does not show with fewer than 5" in result.output
