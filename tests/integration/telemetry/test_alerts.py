"""Each alert fires when it should, and no other one does; promtool plays it minute by minute."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from busy_metrics import busy, described
from prometheus import FETCHING_S, hastened, metric_names, need_prometheus

pytestmark = pytest.mark.timeout(FETCHING_S)

ROOT = Path(__file__).parents[3]
RULES = sorted((ROOT / "deploy" / "prometheus").glob("*.rules.yml"))
RUNBOOKS = ROOT / "docs" / "runbooks"

PARTS = ["Who is affected", "How to look", "How to mend", "When it ends"]

MINUTES = 180
BEGIN = 30
"""When it happens."""

STEADY, NEVER, CLOCK = f"1x{MINUTES}", f"0x{MINUTES}", f"0+60x{MINUTES}"
SOURCE, WEBHOOK = "src_01h", "whk_01h"


def from_then(value: float, before: float = 0) -> str:
    """A gauge that changes when it happens."""
    return f"{before}x{BEGIN - 1} {value}x{MINUTES - BEGIN}"


def begins(value: float) -> str:
    """A series that is new when it happens."""
    return f"_x{BEGIN} {value}x{MINUTES - BEGIN}"


def rising_then(by: float) -> str:
    """A counter that stands still until it happens, and grows by so much a minute from then on."""
    return f"0x{BEGIN - 1} 0+{by}x{MINUTES - BEGIN}"


def gone_then(values: str = "1") -> str:
    """A series that is not there any more when it happens."""
    return f"{values}x{BEGIN - 1} stale"


def info(process: str) -> str:
    return f'tokenkeep_build_info{{process="{process}",instance="{process}"}}'


def fleet(name: str, labels: str = "") -> tuple[str, str]:
    """The series of two schedulers, of which the second one is a little behind."""
    comma = "," if labels else ""
    return f'{name}{{{labels}{comma}instance="scheduler"}}', f'{name}{{{labels}{comma}instance="other"}}'


QUICKBOOKS = 'provider="quickbooks"'
LATENESS = "tokenkeep_refresh_lateness_seconds_bucket"
OF_SOURCE = f'{QUICKBOOKS},source="{SOURCE}"'
EXPIRED = fleet("tokenkeep_source_accounts_expired", OF_SOURCE)[0]
RESTING = f'tokenkeep_source_resting{{{OF_SOURCE},instance="worker"}}'
PAUSED = f'tokenkeep_source_paused{{source="{SOURCE}",reason="%s",instance="other"}}'
LATE_TO_COME = {f'{LATENESS}{{{QUICKBOOKS},le="60"}}': f"0+100x{BEGIN - 1} 3000x{MINUTES - BEGIN}"}


def attempts(outcome: str, reason: str = "", provider: str = "quickbooks") -> str:
    return (
        f'tokenkeep_refresh_attempts_total{{provider="{provider}",outcome="{outcome}",reason="{reason}",'
        'trigger="schedule",instance="worker"}'
    )


DOWN = {RESTING: begins(1)}
"""A worker's breaker is open."""


HEALTHY: Mapping[str, str] = {
    **{info(process): STEADY for process in ("api", "scheduler", "worker")},
    f'tokenkeep_accounts{{source="{SOURCE}",state="active",health="healthy",reason="",instance="scheduler"}}': f"100x{MINUTES}",
    attempts("ok"): f"0+100x{MINUTES}",
    attempts("failed", "timeout"): f"0+3x{MINUTES}",
    attempts("failed", "network_error", "google"): f"0+3x{MINUTES}",
    **dict.fromkeys(fleet("tokenkeep_accounts_overdue_seconds", QUICKBOOKS), NEVER),
    **dict.fromkeys(fleet("tokenkeep_accounts_in_doubt_seconds", QUICKBOOKS), NEVER),
    **dict.fromkeys(fleet("tokenkeep_accounts_sealed", 'key="k1"'), f"100x{MINUTES}"),
    **dict.fromkeys(fleet("tokenkeep_outbox_lag_seconds"), NEVER),
    **dict.fromkeys(fleet("tokenkeep_inbox_lag_seconds"), NEVER),
    **dict.fromkeys(fleet("tokenkeep_inbox_stream_entries"), NEVER),
    **dict.fromkeys(fleet("tokenkeep_webhook_feed_lag_seconds"), NEVER),
    **dict.fromkeys(fleet("tokenkeep_event_stream_unread_seconds", 'group="billing"'), NEVER),
    **dict.fromkeys(fleet("tokenkeep_fleet_counted_timestamp_seconds"), CLOCK),
    **dict.fromkeys(fleet("tokenkeep_job_done_timestamp_seconds", 'task="tick"'), CLOCK),
    **dict.fromkeys(fleet("tokenkeep_job_done_timestamp_seconds", 'task="sweep"'), CLOCK),
    **dict.fromkeys(fleet("tokenkeep_job_runs_total", 'task="tick",result="failed"'), NEVER),
    f'{LATENESS}{{{QUICKBOOKS},le="60"}}': f"0+100x{MINUTES}",
    f'{LATENESS}{{{QUICKBOOKS},le="600"}}': f"0+100x{MINUTES}",
    f'{LATENESS}{{{QUICKBOOKS},le="+Inf"}}': f"0+100x{MINUTES}",
    f'tokenkeep_token_vends_total{{{QUICKBOOKS},result="stored",instance="api"}}': f"0+600x{MINUTES}",
    f'tokenkeep_token_vends_total{{{QUICKBOOKS},result="unavailable",instance="api"}}': f"0+3x{MINUTES}",
    f'tokenkeep_token_vends_total{{{QUICKBOOKS},result="source_paused",instance="api"}}': f"0+297x{MINUTES}",
    'tokenkeep_http_requests_total{method="GET",route="/v1/accounts",code="200",instance="api"}': f"0+600x{MINUTES}",
    'tokenkeep_http_requests_total{method="GET",route="/v1/accounts",code="503",instance="api"}': f"0+3x{MINUTES}",
    'tokenkeep_http_requests_total{method="GET",route="/readyz",code="503",instance="api"}': f"0+60x{MINUTES}",
    'tokenkeep_http_requests_total{method="POST",route="/v1/accounts/{account_id}/token",code="503",instance="api"}': f"0+300x{MINUTES}",
    'tokenkeep_http_requests_total{method="GET",route="/v1/accounts",code="500",instance="api"}': NEVER,
    'tokenkeep_custody_in_doubt_total{resolution="lost",instance="worker"}': NEVER,
    'tokenkeep_custody_in_doubt_total{resolution="recovered",instance="worker"}': f"0+1x{MINUTES}",
    'tokenkeep_spool_answers_total{result="written",instance="worker"}': f"0+1x{MINUTES}",
    'tokenkeep_spool_answers_total{result="failed",instance="worker"}': NEVER,
    'tokenkeep_spool_answers_total{result="unreadable",instance="worker"}': NEVER,
    'tokenkeep_custody_refused_total{instance="worker"}': NEVER,
    'tokenkeep_refresh_faults_total{fault="abandoned",instance="worker"}': NEVER,
    'tokenkeep_refresh_faults_total{fault="settle_delayed",instance="worker"}': f"0+1x{MINUTES}",
    'tokenkeep_keyring_key{key="k1",instance="api"}': STEADY,
    'tokenkeep_keyring_key{key="k1",instance="worker"}': STEADY,
    'tokenkeep_keyring_key{key="k0",instance="api"}': NEVER,
    'tokenkeep_keyring_changed_timestamp_seconds{instance="api"}': NEVER,
    'tokenkeep_buffer_flush_failures_total{instance="api"}': NEVER,
    'tokenkeep_event_stream_losses_total{instance="scheduler"}': NEVER,
}


@dataclass(frozen=True)
class Case:
    """What happens in the 30th minute, which alert fires, and how many minutes later at the latest. None: none does.

    `ends_by`: how many minutes later it fires no more, where what happened is an event and no state.
    """

    says: str
    series: Mapping[str, str]
    alert: str | None = None
    within: int = 10
    not_before: int = 1
    ends_by: int | None = None
    more: frozenset[str] = field(default=frozenset())


CASES = (
    Case("all is well", {}),
    Case("expired", {EXPIRED: begins(3)}, "TokenkeepTokensExpired", 7, 4),
    Case("expired, and refreshed soon after", {EXPIRED: "_x30 3x3 stale"}),
    Case("expired because the endpoint is down", {**DOWN, EXPIRED: begins(3)}, "TokenkeepEndpointDown", 140, 4),
    Case(
        "expired still when the endpoint has been back for long",
        {RESTING: f"_x{BEGIN} 1x30 stale", EXPIRED: begins(3)},
        "TokenkeepTokensExpired",
        50,
        4,
    ),
    Case(
        "expired at another source than the one whose endpoint is down",
        {**DOWN, EXPIRED.replace(SOURCE, "src_02h"): begins(3)},
        "TokenkeepTokensExpired",
        8,
        4,
        more=frozenset({"TokenkeepEndpointDown"}),
    ),
    Case(
        "late",
        LATE_TO_COME,
        "TokenkeepRefreshesLate",
        30,
        9,
    ),
    Case(
        "backlog",
        {fleet("tokenkeep_accounts_overdue_seconds", QUICKBOOKS)[1]: from_then(400)},
        "TokenkeepBacklog",
        7,
        4,
    ),
    Case("a small backlog", {fleet("tokenkeep_accounts_overdue_seconds", QUICKBOOKS)[0]: from_then(200)}),
    Case(
        "callers are sent away",
        {f'tokenkeep_token_vends_total{{{QUICKBOOKS},result="unavailable",instance="api"}}': rising_then(60)},
        "TokenkeepVendsUnavailable",
        15,
        9,
    ),
    Case(
        "callers are sent away because the endpoint is down",
        {**DOWN, f'tokenkeep_token_vends_total{{{QUICKBOOKS},result="unavailable",instance="api"}}': rising_then(60)},
        "TokenkeepEndpointDown",
        60,
        4,
    ),
    Case(
        "callers are sent away because an operator has paused the source",
        {f'tokenkeep_token_vends_total{{{QUICKBOOKS},result="source_paused",instance="api"}}': f"0+600x{MINUTES}"},
    ),
    Case(
        "the API can't even look for tokens",
        {
            'tokenkeep_http_requests_total{method="POST",route="/v1/accounts/{account_id}/token",code="503",instance="api"}': f"0+300x{BEGIN - 1} {300 * BEGIN}+600x{MINUTES - BEGIN}"
        },
        "TokenkeepApiUnavailable",
        11,
        4,
    ),
    Case(
        "the API is unavailable",
        {
            'tokenkeep_http_requests_total{method="GET",route="/v1/accounts",code="503",instance="api"}': rising_then(
                300
            )
        },
        "TokenkeepApiUnavailable",
        11,
        4,
    ),
    Case(
        "the API has a fault",
        {'tokenkeep_http_requests_total{method="GET",route="/v1/accounts",code="500",instance="api"}': from_then(1)},
        "TokenkeepApiFaults",
        2,
        -1,
        ends_by=65,
    ),
    Case(
        "a source has paused itself",
        {PAUSED % "invalid_client": begins(1)},
        "TokenkeepSourcePaused",
        3,
        0,
    ),
    Case("an operator has paused a source", {PAUSED % "by_operator": begins(1)}),
    Case(
        "what was late for a pause is not late",
        {
            PAUSED % "by_operator": f"1x{BEGIN} stale",
            f'{LATENESS}{{{QUICKBOOKS},le="60"}}': "0+100x29 2900x8 2900+100x130",
        },
    ),
    Case("the endpoint is down", DOWN, "TokenkeepEndpointDown", 7, 4),
    Case(
        "the endpoint of a deleted source was down",
        {'tokenkeep_source_resting{provider="google",source="src_gone",instance="worker"}': STEADY},
    ),
    Case(
        "what waits for an endpoint that is down is no backlog, what was late for it is not late, and nobody can be asked about doubts",
        {
            **DOWN,
            **LATE_TO_COME,
            fleet("tokenkeep_accounts_overdue_seconds", QUICKBOOKS)[1]: from_then(400),
            fleet("tokenkeep_accounts_in_doubt_seconds", QUICKBOOKS)[0]: from_then(4000),
        },
        "TokenkeepEndpointDown",
        60,
        4,
    ),
    Case(
        "nothing that is sent arrives anywhere",
        {attempts("ok"): f"0+100x{BEGIN - 1} {100 * BEGIN}x{MINUTES - BEGIN}"},
        "TokenkeepNoProviderAnswers",
        20,
        14,
    ),
    Case(
        "the only provider does not answer",
        {
            attempts("ok"): f"0+100x{BEGIN - 1} {100 * BEGIN}x{MINUTES - BEGIN}",
            attempts("failed", "network_error", "google"): NEVER,
        },
    ),
    Case(
        "the sweeps of all schedulers fail",
        dict.fromkeys(
            fleet("tokenkeep_job_done_timestamp_seconds", 'task="sweep"'),
            f"0+60x{BEGIN - 1} {BEGIN * 60}x{MINUTES - BEGIN}",
        ),
        "TokenkeepSchedulerAbsent",
        6,
        2,
    ),
    Case(
        "in doubt",
        {fleet("tokenkeep_accounts_in_doubt_seconds", QUICKBOOKS)[0]: from_then(4000)},
        "TokenkeepInDoubt",
        7,
        4,
    ),
    Case("a young doubt", {fleet("tokenkeep_accounts_in_doubt_seconds", QUICKBOOKS)[0]: from_then(600)}),
    Case(
        "a route has its first fault",
        {'tokenkeep_http_requests_total{method="POST",route="/v1/sources",code="500",instance="api"}': begins(1)},
        "TokenkeepApiFaults",
        2,
        -1,
        ends_by=65,
    ),
    Case(
        "a worker begins with answers that it can't open",
        {'tokenkeep_spool_answers_total{result="unreadable",instance="new"}': begins(2)},
        "TokenkeepAnswerAtRisk",
        2,
        -1,
        ends_by=65,
    ),
    Case(
        "a job fails the first time that it runs",
        {'tokenkeep_job_runs_total{task="housekeeping",result="failed",instance="scheduler"}': begins(1)},
        "TokenkeepJobFailing",
        2,
        -1,
        ends_by=65,
    ),
    Case(
        "a grant is lost",
        {'tokenkeep_custody_in_doubt_total{resolution="lost",instance="worker"}': from_then(1)},
        "TokenkeepGrantsLost",
        2,
        -1,
        ends_by=65,
    ),
    Case(
        "the spool fails",
        {'tokenkeep_spool_answers_total{result="failed",instance="worker"}': from_then(1)},
        "TokenkeepAnswerAtRisk",
        2,
        -1,
        ends_by=65,
    ),
    Case(
        "the spool can't be read",
        {'tokenkeep_spool_answers_total{result="unreadable",instance="worker"}': from_then(1)},
        "TokenkeepAnswerAtRisk",
        2,
        -1,
        ends_by=65,
    ),
    Case(
        "custody is held",
        {'tokenkeep_custody_refused_total{instance="worker"}': rising_then(10)},
        "TokenkeepCustodyRefused",
        8,
        4,
    ),
    Case(
        "a fault of ours",
        {'tokenkeep_refresh_faults_total{fault="abandoned",instance="worker"}': from_then(1)},
        "TokenkeepRefreshFaults",
        2,
        -1,
        ends_by=65,
    ),
    Case(
        "a worker has another keyring",
        {
            'tokenkeep_keyring_key{key="k1",instance="worker"}': gone_then(),
            'tokenkeep_keyring_key{key="k2",instance="worker"}': f"_x{BEGIN} {STEADY}",
        },
        "TokenkeepKeyMissing",
        7,
        4,
    ),
    Case(
        "nobody has the key",
        {fleet("tokenkeep_accounts_sealed", 'key="lost"')[0]: f"_x{BEGIN} {STEADY}"},
        "TokenkeepKeyMissing",
        7,
        4,
    ),
    Case(
        "the keyring is old",
        {'tokenkeep_keyring_changed_timestamp_seconds{instance="api"}': f"-{365 * 86400 - 1800}x{MINUTES}"},
        "TokenkeepKeyringOld",
        65,
        58,
    ),
    Case("the outbox lags", {fleet("tokenkeep_outbox_lag_seconds")[0]: from_then(90)}, "TokenkeepOutboxLag", 4, 1),
    Case(
        "a group is behind",
        {fleet("tokenkeep_event_stream_unread_seconds", 'group="billing"')[0]: from_then(7200)},
        "TokenkeepStreamBehind",
        12,
        9,
    ),
    Case(
        "a group has lost events",
        {'tokenkeep_event_stream_losses_total{instance="scheduler"}': from_then(1)},
        "TokenkeepEventsMissed",
        2,
        -1,
        ends_by=65,
    ),
    Case(
        "a webhook fails",
        {
            f'tokenkeep_webhook_failing_seconds{{webhook="{WEBHOOK}",instance="scheduler"}}': f"_x{BEGIN} 4000+60x{MINUTES - BEGIN}"
        },
        "TokenkeepWebhookFailing",
        7,
        4,
    ),
    Case(
        "a webhook fails for a moment",
        {f'tokenkeep_webhook_failing_seconds{{webhook="{WEBHOOK}",instance="scheduler"}}': "_x30 0+60x20 stale"},
    ),
    Case(
        "webhooks are behind",
        {fleet("tokenkeep_webhook_feed_lag_seconds")[0]: from_then(90)},
        "TokenkeepWebhooksBehind",
        7,
        4,
    ),
    Case(
        "the inbox is behind", {fleet("tokenkeep_inbox_lag_seconds")[0]: from_then(700)}, "TokenkeepInboxBehind", 7, 4
    ),
    Case(
        "nobody takes from the inbox stream",
        {fleet("tokenkeep_inbox_stream_entries")[0]: from_then(2000)},
        "TokenkeepInboxBehind",
        12,
        8,
    ),
    Case(
        "the audit trail is behind",
        {'tokenkeep_buffer_flush_failures_total{instance="api"}': rising_then(60)},
        "TokenkeepAuditTrailBehind",
        6,
        1,
    ),
    Case(
        "no scheduler",
        {
            info("scheduler"): gone_then(),
            **dict.fromkeys(fleet("tokenkeep_job_done_timestamp_seconds", 'task="tick"'), gone_then("0+60")),
            **dict.fromkeys(fleet("tokenkeep_job_done_timestamp_seconds", 'task="sweep"'), gone_then("0+60")),
        },
        "TokenkeepSchedulerAbsent",
        5,
        1,
    ),
    Case(
        "schedulers stand still",
        dict.fromkeys(
            fleet("tokenkeep_job_done_timestamp_seconds", 'task="tick"'),
            f"0+60x{BEGIN - 1} {BEGIN * 60}x{MINUTES - BEGIN}",
        ),
        "TokenkeepSchedulerAbsent",
        6,
        2,
    ),
    Case(
        "a scheduler has never done its work",
        {
            **dict.fromkeys(fleet("tokenkeep_job_done_timestamp_seconds", 'task="tick"'), gone_then("0+60")),
            **dict.fromkeys(fleet("tokenkeep_job_done_timestamp_seconds", 'task="sweep"'), gone_then("0+60")),
        },
        "TokenkeepSchedulerAbsent",
        4,
        1,
    ),
    Case(
        "what schedulers say is as old as the longest scrape interval and a slow round make it",
        dict.fromkeys(fleet("tokenkeep_job_done_timestamp_seconds", 'task="sweep"'), f"_ _ 0+60x{MINUTES}"),
    ),
    Case(
        "one of two schedulers stands still",
        {
            fleet("tokenkeep_job_done_timestamp_seconds", 'task="tick"')[
                1
            ]: f"0+60x{BEGIN - 1} {BEGIN * 60}x{MINUTES - BEGIN}"
        },
    ),
    Case("no worker", {info("worker"): gone_then()}, "TokenkeepWorkerAbsent", 4, 1),
    Case("no API", {info("api"): gone_then()}, "TokenkeepApiAbsent", 4, 1),
    Case(
        "nothing is there",
        {info(process): gone_then() for process in ("api", "scheduler", "worker")},
        "TokenkeepSchedulerAbsent",
        4,
        1,
        more=frozenset({"TokenkeepWorkerAbsent", "TokenkeepApiAbsent"}),
    ),
    Case(
        "the figures are old",
        dict.fromkeys(
            fleet("tokenkeep_fleet_counted_timestamp_seconds"), f"0+60x{BEGIN - 1} {BEGIN * 60}x{MINUTES - BEGIN}"
        ),
        "TokenkeepFiguresOld",
        22,
        18,
    ),
    Case(
        "there are no figures",
        dict.fromkeys(fleet("tokenkeep_fleet_counted_timestamp_seconds"), gone_then("0+60")),
        "TokenkeepFiguresOld",
        7,
        4,
    ),
    Case(
        "a job fails",
        {fleet("tokenkeep_job_runs_total", 'task="tick",result="failed"')[0]: from_then(1)},
        "TokenkeepJobFailing",
        2,
        -1,
        ends_by=65,
    ),
)


def played(case: Case) -> dict[str, Any]:
    """The case as promtool reads it: who fires just before it may, and when it must."""
    series = {**HEALTHY, **case.series}
    firing = set() if case.alert is None else {case.alert, *case.more}
    moments = [(BEGIN + case.not_before, set[str]()), (BEGIN + case.within, firing)]
    if case.ends_by is not None:
        moments.append((BEGIN + case.ends_by, set()))
    if case.alert is None:
        moments = [(minute, set()) for minute in range(5, MINUTES, 5)]
    return {
        "name": case.says,
        "interval": "1m",
        "input_series": [{"series": one, "values": values} for one, values in series.items()],
        "promql_expr_test": [
            {
                "expr": 'count by (alertname) (count by (alertname) (ALERTS{alertstate="firing"}))',
                "eval_time": f"{minute}m",
                "exp_samples": [{"labels": f'{{alertname="{name}"}}', "value": 1} for name in sorted(names)],
            }
            for minute, names in moments
        ],
    }


def alerts() -> list[dict[str, Any]]:
    groups = yaml.safe_load((ROOT / "deploy" / "prometheus" / "alert.rules.yml").read_text(encoding="utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


@pytest.mark.parametrize("case", CASES, ids=[case.says.replace(" ", "-") for case in CASES])
def test_the_right_alert_fires_in_time_and_no_other(case: Case, tmp_path: Path) -> None:
    test = tmp_path / "case.yml"
    rules = {"rule_files": [str(path) for path in RULES], "evaluation_interval": "1m", "tests": [played(case)]}
    test.write_text(yaml.safe_dump(rules, width=1000))
    said = need_prometheus().check("test", "rules", test)
    assert said.returncode == 0, said.stdout + said.stderr


def test_two_installations_that_one_prometheus_watches_are_told_apart(tmp_path: Path) -> None:
    """The second cell has no worker, and its accounts have expired."""
    healthy = {re.sub(r"\{", '{cell="a",', one, count=1): values for one, values in HEALTHY.items()}
    second = {
        re.sub(r"\{", '{cell="b",', one, count=1): values for one, values in HEALTHY.items() if one != info("worker")
    }
    second[re.sub(r"\{", '{cell="b",', EXPIRED, count=1)] = f"5x{MINUTES}"
    case = played(Case("two cells", {}))
    case["input_series"] = [{"series": one, "values": values} for one, values in {**healthy, **second}.items()]
    case["promql_expr_test"] = [
        {
            "expr": 'count by (cell, alertname) (ALERTS{alertstate="firing"})',
            "eval_time": "40m",
            "exp_samples": [
                {"labels": '{cell="b", alertname="TokenkeepTokensExpired"}', "value": 1},
                {"labels": '{cell="b", alertname="TokenkeepWorkerAbsent"}', "value": 1},
            ],
        }
    ]
    test = tmp_path / "cells.yml"
    test.write_text(
        yaml.safe_dump(
            {"rule_files": [str(path) for path in RULES], "evaluation_interval": "1m", "tests": [case]}, width=1000
        )
    )
    said = need_prometheus().check("test", "rules", test)
    assert said.returncode == 0, said.stdout + said.stderr


def test_an_installation_that_is_gone_altogether_is_missed_though_another_one_is_there(tmp_path: Path) -> None:
    series = {re.sub(r"\{", '{cell="a",', one, count=1): values for one, values in HEALTHY.items()}
    for process in ("api", "scheduler", "worker"):
        series[re.sub(r"\{", '{cell="b",', info(process), count=1)] = gone_then()
    case = played(Case("a cell is gone", {}))
    case["input_series"] = [{"series": one, "values": values} for one, values in series.items()]
    gone = ("Api", "Scheduler", "Worker")
    case["promql_expr_test"] = [
        {
            "expr": 'count by (cell, alertname) (ALERTS{alertstate="firing"})',
            "eval_time": f"{minute}m",
            "exp_samples": [{"labels": f'{{cell="b", alertname="Tokenkeep{one}Absent"}}', "value": 1} for one in gone],
        }
        for minute in (BEGIN + 5, MINUTES - 1)
    ]
    test = tmp_path / "gone.yml"
    test.write_text(
        yaml.safe_dump(
            {"rule_files": [str(path) for path in RULES], "evaluation_interval": "1m", "tests": [case]}, width=1000
        )
    )
    said = need_prometheus().check("test", "rules", test)
    assert said.returncode == 0, said.stdout + said.stderr


def test_promtool_finds_the_rules_sound() -> None:
    said = need_prometheus().check("check", "rules", "--lint=all", "--lint-fatal", *RULES)
    assert said.returncode == 0, said.stdout + said.stderr


def test_hastened_rules_are_the_same_rules_with_every_time_divided(tmp_path: Path) -> None:
    """Rehearsals are watched by them: what is left at its own pace would prove nothing there."""
    copies = hastened(RULES, 20, tmp_path)
    text = "\n".join(path.read_text(encoding="utf-8") for path in copies)
    assert re.findall(r"(?:\[|offset |for: )\d+[smhd]\b", text) == []
    assert "for: 15000ms" in text
    assert "fleet:tokenkeep_outbox_lag_seconds:max > 3\n" in text
    assert '{task="tick"}) > time() - 9\n' in text
    said = need_prometheus().check("check", "rules", *copies)
    assert said.returncode == 0, said.stdout + said.stderr
    assert {rule["alert"] for rule in alerts()} == set(re.findall(r"- alert: (\w+)", text))


def test_every_alert_is_played() -> None:
    played_alerts = {case.alert for case in CASES if case.alert is not None}
    assert {rule["alert"] for rule in alerts()} == played_alerts


def test_every_alert_says_what_is_wrong_and_leads_to_its_page() -> None:
    for rule in alerts():
        name, notes = rule["alert"], rule["annotations"]
        assert rule["labels"]["severity"] in {"critical", "warning", "info"}, name
        assert len(notes["summary"]) > 15, name
        assert notes["description"].endswith("."), name
        assert notes["runbook_url"] == f"docs/runbooks/{name}.md"
        assert (RUNBOOKS / f"{name}.md").is_file(), name


def test_every_page_says_who_is_affected_how_to_look_how_to_mend_and_when_it_ends() -> None:
    names = {rule["alert"]: rule["labels"]["severity"] for rule in alerts()}
    index = (RUNBOOKS / "README.md").read_text(encoding="utf-8")
    assert {path.stem for path in RUNBOOKS.glob("*.md")} == {"README", *names}
    for name, severity in names.items():
        page = (RUNBOOKS / f"{name}.md").read_text(encoding="utf-8")
        assert re.findall(r"^## (.*)$", page, re.MULTILINE) == PARTS, name
        assert f"*{severity}* · " in page, name
        assert f"[{name}]({name}.md) | {severity} |" in index
        for link in re.findall(r"\]\(([^)#]+)", page):
            assert (RUNBOOKS / link).exists(), f"{name}: {link}"


def test_the_rules_ask_for_nothing_that_does_not_exist() -> None:
    text = "\n".join(path.read_text(encoding="utf-8") for path in RULES)
    expressions = re.findall(r"expr: (?:\|\n((?: {10,}.*\n)+)|(.*))", text)
    used = {name for pair in expressions for one in pair for name in metric_names(one)}
    known = {name + suffix for name in described(busy()) for suffix in ("", "_bucket", "_sum", "_count")}
    recorded = set(re.findall(r"record: (\S+)", text))
    assert len(used) > 30
    assert {name for name in used if ":" not in name} <= known
    assert {name for name in used if ":" in name} <= recorded
