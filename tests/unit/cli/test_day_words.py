"""An account's day, told to whoever was woken up by it."""

from datetime import UTC, datetime, timedelta
from typing import Any

from tokenkeep.cli.accounts.day import Day
from tokenkeep.cli.accounts.day_words import printed, sentences
from tokenkeep.domain.plain_words import standing

NOON = datetime(2030, 1, 31, 12, tzinfo=UTC)


def moment(minutes: float) -> str:
    return (NOON + timedelta(minutes=minutes)).isoformat().replace("+00:00", "Z")


def an_attempt(cause: str, at: float, **changes: Any) -> dict[str, Any]:
    return {
        "trigger": "schedule",
        "outcome": "ok",
        "reason": None,
        "http_status": 200,
        "error_code": None,
        "presentations": 1,
        "resolution": None,
        "correlation_id": cause,
        "due_at": moment(at - 1),
        "sent_at": moment(at),
        "settled_at": moment(at),
        **changes,
    }


def an_event(cause: str, at: float, name: str, **data: Any) -> dict[str, Any]:
    told = {"id": f"evt_{cause}_{name}", "type": f"tokenkeep.account.{name}", "time": moment(at), "data": data}
    return {**told, "correlationid": cause}


def a_day(
    attempts: list[dict[str, Any]], events: list[dict[str, Any]], deliveries: dict[str, Any] | None = None
) -> Day:
    return Day(NOON - timedelta(hours=12), attempts, events, deliveries or {}, whole=True)


def told(day: Day) -> list[str]:
    return list(printed(sentences(day, "quickbooks")))


def test_a_refusal_is_told_from_due_to_told_in_that_order() -> None:
    refused = an_attempt(
        "cor_1", 2, outcome="refused", reason="invalid_grant", http_status=400, error_code="invalid_grant"
    )
    disabled = an_event("cor_1", 2, "disabled", reason="revoked")
    has_it = {disabled["id"]: [{"webhook_id": "whk_1", "state": "delivered", "tries": 1}]}
    *before, decided = told(a_day([refused], [disabled], has_it))
    assert before == [
        "2030-01-31",
        "  12:01:00  The refresh was due.",
        "  12:02:00  quickbooks was asked for new tokens.",
        "  12:02:00  quickbooks answered (HTTP 400, “invalid_grant”). Refused: the provider refused the grant.",
    ]
    assert decided.startswith("  12:02:00  Disabled: the provider says that the grant is dead: ")
    assert decided.endswith("by connecting again. Told as account.disabled; webhook whk_1 has it.")


def test_refreshes_that_went_as_planned_share_a_line_and_what_stands_out_is_told_between_them() -> None:
    attempts = [an_attempt(f"cor_{n}", n) for n in range(10)]
    attempts[6] |= {"outcome": "failed", "reason": "timeout", "http_status": None}
    events = [an_event(f"cor_{n}", n, "failing" if n == 6 else "refreshed") for n in range(10)]
    events[6]["data"] = {"reason": "timeout"}
    lines = told(a_day(attempts, events))
    assert lines[1] == "  12:00:00  Refreshed 6 times, as planned; the last time at 12:05:00."
    assert lines[4] == "  12:06:00  Did not work: the provider did not answer in time."
    assert lines[5].endswith(
        "Refreshing does not succeed: the provider did not answer in time. Told as account.failing."
    )
    assert len(lines) == 6 + 3 * 4


def test_a_lost_answer_and_what_is_under_way_are_told_as_such() -> None:
    lost = an_attempt("cor_1", 1, outcome="in_doubt", reason="timeout", http_status=None)
    waiting = an_attempt("cor_2", 5, outcome=None, settled_at=None, trigger="demand", http_status=None)
    lines = told(a_day([lost, waiting], [an_event("cor_1", 1, "in_doubt", reason="timeout")]))
    assert "Sent, and the answer was lost: nobody knows whether it counted." in lines[3]
    assert lines[4].endswith("being settled. Told as account.in_doubt.")
    assert [line.partition("  ")[2][10:] for line in lines[5:]] == [
        "Somebody asked for a refresh.",
        "quickbooks was asked for new tokens.",
    ]


def test_what_happened_without_a_refresh_is_told_too_and_days_are_told_apart() -> None:
    before = an_event("cor_0", -18 * 60, "enabled")
    after = an_event("cor_9", 1, "disabled", reason="by_operator")
    waits = {after["id"]: [{"webhook_id": "whk_1", "state": "pending", "tries": 3}]}
    assert told(a_day([], [before, after], waits)) == [
        "2030-01-30",
        "  18:00:00  Enabled again. Told as account.enabled.",
        "2030-01-31",
        "  12:01:00  Disabled: somebody switched it off. It can be enabled again. Told as account.disabled; webhook whk_1 waits for it after 3 tries.",
    ]


def test_what_a_provider_chose_to_say_gives_a_terminal_no_orders() -> None:
    nasty = an_attempt("cor_1", 1, outcome="failed", reason="provider_4xx", http_status=400, error_code="a\x1b[2Jb\nc")
    assert all(line.isprintable() for line in told(a_day([nasty], [])))


def test_attempts_of_an_api_that_does_not_say_since_when_they_were_due_are_told_without_it() -> None:
    attempt = an_attempt("cor_1", 2, outcome="failed", reason="timeout", http_status=None)
    del attempt["due_at"]
    assert told(a_day([attempt], []))[1] == "  12:02:00  quickbooks was asked for new tokens."


def an_account(**changes: Any) -> dict[str, Any]:
    return {
        "state": "active",
        "health": "healthy",
        "disabled": None,
        "last_error": None,
        "in_doubt": None,
        "consecutive_failures": 0,
        "next_refresh_at": moment(-30),
        "expires_at": moment(-10),
        **changes,
    }


def test_nothing_is_well_with_an_account_that_nobody_refreshed_in_time() -> None:
    overdue, ran_out = standing(an_account(), now=NOON)
    assert overdue.startswith("A refresh has been due since 2030-01-31 11:30:00 UTC, and was not made.")
    assert ran_out == "Its access token ran out at 2030-01-31 11:50:00 UTC."


def test_what_is_due_right_now_is_well() -> None:
    assert standing(an_account(next_refresh_at=moment(-0.5), expires_at=moment(5)), now=NOON) == ["All is well."]
    assert standing(an_account(next_refresh_at=None, expires_at=None), now=NOON) == ["All is well."]
