"""What the console's pages are made of: words, fields, bars, figures."""

import asyncio
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import tokenkeep_api
from tokenkeep.application.environment_figures import ENDPOINT_FAULTS, EndpointTries, EnvironmentFigures, SourceTries
from tokenkeep.application.fleet import Waiting
from tokenkeep.domain.account import AuthType, Custody, DisabledReason, FailureReason
from tokenkeep.domain.attempt import Outcome, Trigger
from tokenkeep.domain.events import EventType
from tokenkeep.domain.outage_breaker import OutageBreaker
from tokenkeep.domain.rotation import Rotation, RotationKind
from tokenkeep.domain.source import BY_OPERATOR, MASS_REVOCATION, ROLLBACK
from tokenkeep.domain.verdict import Unavailable
from tokenkeep.domain.webhook_tries import DeliveryState
from tokenkeep.providers.catalogue import load_catalogue
from tokenkeep.providers.schemas import account_schema, options_schema
from tokenkeep_api.console import words
from tokenkeep_api.console.charts import bars
from tokenkeep_api.console.fields import Field, Kind, filled, of_schema, read
from tokenkeep_api.console.figures import Figures, NotCounted
from tokenkeep_api.console.pages import ago
from tokenkeep_api.console.timeline import Journal, Timeline, merge
from tokenkeep_api.console.timeline import Kind as JournalKind
from tokenkeep_api.console.visits import safe_next

NOW = datetime(2030, 1, 31, 12, tzinfo=UTC)


def test_there_are_words_for_everything_that_can_be_told() -> None:
    assert set(words.DISABLED) == {it.value for it in DisabledReason}
    assert set(words.FAILURES) == {it.value for it in FailureReason}
    assert set(words.CUSTODY) == {it.value for it in Custody}
    assert set(words.AUTH_TYPES) == {it.value for it in AuthType}
    assert set(words.DELIVERIES) == {it.value for it in DeliveryState}
    assert {BY_OPERATOR, MASS_REVOCATION, ROLLBACK} <= set(words.PAUSED)
    for kind in EventType:
        said = words.event({"type": kind.value, "data": {"reason": "revoked"}})
        assert said.endswith("."), kind
        assert kind.value not in said, kind
    for outcome in (*Outcome, None):
        for trigger in Trigger:
            tried = {
                "outcome": outcome,
                "trigger": trigger,
                "reason": "timeout",
                "http_status": 503,
                "error_code": "busy",
                "presentations": 2,
                "resolution": None,
            }
            assert words.attempt(tried)
            assert words.trigger(tried) != trigger.value


def test_pages_name_runbooks_that_there_are() -> None:
    templates = Path(tokenkeep_api.__file__).parent / "templates" / "console"
    named = {name for page in templates.glob("*.html") for name in re.findall(r"\bTokenkeep\w+", page.read_text())}
    assert {"TokenkeepSourcePaused", "TokenkeepEndpointDown", "TokenkeepTokensExpired"} <= named
    assert named <= {page.stem for page in (Path(__file__).parents[3] / "docs" / "runbooks").glob("*.md")}


def test_an_attempt_says_what_the_provider_answered() -> None:
    tried = {"outcome": "refused", "reason": "invalid_grant", "http_status": 400, "error_code": "invalid_grant"}
    said = words.attempt({**tried, "presentations": 1, "resolution": None, "trigger": "schedule"})
    assert said == "Refused: the provider refused the grant (HTTP 400, “invalid_grant”)."


@pytest.mark.parametrize(
    ("distance", "said"),
    [
        (timedelta(seconds=5), "in 5 s"),
        (timedelta(minutes=-59), "59 min ago"),
        (timedelta(hours=2), "in 2 h"),
        (timedelta(hours=26, minutes=5), "in 26 h 5 min"),
        (timedelta(days=-3), "3 days ago"),
    ],
)
def test_times_are_told_by_their_distance(distance: timedelta, said: str) -> None:
    assert ago(NOW + distance, NOW) == said


def test_a_form_is_made_for_every_provider_of_the_catalogue() -> None:
    for provider in load_catalogue().all():
        options = of_schema(options_schema(provider), "options")
        assert len({it.id for it in options}) == len(options), provider.slug
        schema = account_schema(provider, source_has_client=True)["credentials"]
        for shape in schema.get("oneOf") or schema.get("anyOf") or [schema]:
            fields = of_schema(shape, "credentials")
            wanted = {f"credentials.{name}" for name in shape.get("required", ())}
            assert {it.name for it in fields if it.required} == wanted, provider.slug


def test_what_is_filled_in_becomes_the_api_s_json() -> None:
    fields = [
        Field("name", "Name"),
        Field("scopes", "Scopes", Kind.LINES),
        Field("options.access_token_ttl_s", "Lifetime", Kind.NUMBER),
        Field("options.token_params", "Parameters", Kind.PAIRS),
        Field("options.iss", "Issuer", Kind.FLAG),
        Field("options.pkce", "PKCE", Kind.CHOICE),
        Field("credentials.private_key", "Key", Kind.SECRET),
    ]
    form = {
        "name": " Ledger ",
        "scopes": "read\r\n\r\n write ",
        "options.access_token_ttl_s": "3600",
        "options.token_params": "audience=a=b",
        "options.iss": "false",
        "options.pkce": "",
        "credentials.private_key": "-----BEGIN-----\r\nx\r\n",
        "unknown": "passed over",
    }
    assert read(fields, form) == {
        "name": "Ledger",
        "scopes": ["read", "write"],
        "options": {"access_token_ttl_s": 3600, "token_params": {"audience": "a=b"}, "iss": False},
        "credentials": {"private_key": "-----BEGIN-----\nx\n"},
    }


@pytest.mark.parametrize("text", ["²", "--5", "1e3", "9" * 19, "one"])
def test_what_is_no_number_is_left_to_the_api_to_refuse(text: str) -> None:
    assert read([Field("n", "N", Kind.NUMBER)], {"n": text}) == {"n": text}


def _page(kind: JournalKind, times: list[int], given: str, size: int) -> Journal:
    begin = 0 if not given else len(times) if given == "end" else [str(it) for it in times].index(given) + 1
    entries = [{"time": f"{time:03}", "place": str(time)} for time in times[begin : begin + size]]
    return Journal(kind, given, entries, more=begin + size < len(times))


@pytest.mark.parametrize(
    ("attempts", "events"),
    [
        ([], []),
        (list(range(300, 0, -7)), [299, 150, 149, 148, 147, 2]),
        (list(range(300, 200, -1)), list(range(100, 0, -1))),
        (list(range(9, 0, -1)), list(range(300, 0, -11))),
    ],
)
def test_a_timeline_is_in_order_over_all_its_pages_and_has_everything_once(
    attempts: list[int], events: list[int]
) -> None:
    kinds = [
        JournalKind(name, time=lambda it: str(it["time"]), place=lambda it: str(it["place"]))
        for name in ("attempts", "events")
    ]
    told: list[str] = []
    older: Mapping[str, str] | None = {"attempts": "", "events": ""}
    while older is not None:
        pages = [_page(kind, all_, older[kind.name], 5) for kind, all_ in zip(kinds, (attempts, events), strict=True)]
        timeline: Timeline = merge(*pages)
        told += [str(entry["time"]) for it in timeline.entries for entry in it.values()]
        older = timeline.older
    assert told == [f"{time:03}" for time in sorted(attempts + events, reverse=True)]


def test_what_speaks_against_an_endpoint_here_opens_a_worker_s_breaker() -> None:
    for reason in FailureReason:
        breaker = OutageBreaker(Rotation(RotationKind.NONE))
        for second in range(10):
            breaker.record(Unavailable(reason, maybe_spent=False), float(second))
        assert reason not in ENDPOINT_FAULTS or breaker.resting_until is not None, reason


def test_a_secret_is_never_filled_in_again() -> None:
    fields = [Field("name", "Name"), Field("client_secret", "Secret", Kind.SECRET)]
    name, secret = filled(fields, {"name": "n", "client_secret": "s"}, wrong="client_secret", says="No.")
    assert (name.value, name.complaint) == ("n", None)
    assert (secret.value, secret.complaint) == ("", "No.")


def test_a_bar_that_is_not_empty_is_seen() -> None:
    assert [(it.x, it.height) for it in bars([0, 1, 10_000])] == [(0, 0), (20, 1.5), (40, 100)]
    assert [it.height for it in bars([0, 0])] == [0, 0]
    assert bars([]) == []


@pytest.mark.parametrize(
    "text",
    [
        "",
        "/consoles",
        "https://x/console",
        "//x/console",
        "/console/x\\y",
        "console",
        "/console/../connect/x",
        "/console/%2E%2e/v1",
        "/console//evil.example",
        "javascript:/console/",
        "//[",
        "http://[::1",
        "//℀",
    ],
)
def test_no_way_leads_out_of_the_console(text: str) -> None:
    assert safe_next(text) == "/console"


async def test_figures_are_counted_once_for_all_and_not_again_too_soon() -> None:
    now, counts = 0.0, 0

    async def count(_environment: str) -> EnvironmentFigures:
        nonlocal now, counts
        counts += 1
        await asyncio.sleep(0)
        now += 2.0
        return EnvironmentFigures(
            counted_at=NOW,
            accounts={},
            expired=counts,
            neglected=0,
            overdue=0,
            longest_overdue=timedelta(0),
            late=0,
            stopped=frozenset(),
            down=frozenset(),
            untold=Waiting(),
            minutes=[],
            ahead=[],
        )

    figures = Figures(count, lambda: now)
    first, second = await asyncio.gather(figures("one"), figures("one"))
    assert (first.expired, second.expired, counts) == (1, 1, 1)
    now = 39.9
    assert (await figures("one")).expired == 1
    now = 40.1
    assert (await figures("one")).expired == 2
    assert (await figures("two")).expired == 3


async def test_a_count_that_takes_too_long_is_not_tried_again_by_everybody() -> None:
    now, counts = 0.0, 0

    async def count(_key: str) -> int:
        nonlocal now, counts
        counts += 1
        now += 10
        if counts == 1:
            raise TimeoutError
        return counts

    figures = Figures(count, lambda: now)
    for _ in range(3):
        with pytest.raises(NotCounted):
            await figures("one")
    assert counts == 1
    now = 201
    assert await figures("one") == 2


@pytest.mark.parametrize(
    ("tries", "said"),
    [
        (SourceTries(0, {}, 0, EndpointTries()), None),
        (SourceTries(0, {"timeout": 2}, 40, EndpointTries(0, 2, 2)), None),
        (SourceTries(0, {"timeout": 3}, 40, EndpointTries(0, 3, 3)), "The provider's endpoint looks down"),
        (SourceTries(500, {"timeout": 3}, 40, EndpointTries(500, 3, 3)), "The provider's endpoint looks down"),
        (SourceTries(10, {"timeout": 9}, 40, EndpointTries(10, 9, 0)), None),
        (SourceTries(10, {"timeout": 10}, 40, EndpointTries(10, 10, 0)), "The provider's endpoint looks down"),
        (SourceTries(11, {"timeout": 10}, 40, EndpointTries(11, 10, 2)), None),
        (SourceTries(0, {"invalid_grant": 50}, 0, EndpointTries(50)), None),
        (SourceTries(5, {"rate_limited": 1}, 3, EndpointTries(6)), "The provider asks us to slow down"),
    ],
)
def test_an_endpoint_that_is_down_is_told_from_grants_that_are_dead(tries: SourceTries, said: str | None) -> None:
    told = words.endpoint(tries)
    assert (told is None) if said is None else (told is not None and told.startswith(said))
