"""The reference names everything that there is."""

import ast
import inspect
import re
from enum import StrEnum
from functools import cached_property
from pathlib import Path

from busy_metrics import busy, described
from log_events import told
from tokenkeep import client as sdk
from tokenkeep.application.accept_events import ReceptionStatus
from tokenkeep.application.inbox import Outcome
from tokenkeep.client import AsyncEvents, AsyncTokenkeep, Tokenkeep, TokenkeepAuth, errors
from tokenkeep.client.errors import ClientError
from tokenkeep.client.tokens import Tokens
from tokenkeep.domain.account import AuthType
from tokenkeep.domain.events import EventType
from tokenkeep.domain.incoming_event import IncomingType
from tokenkeep.domain.webhook import WebhookDisabledReason
from tokenkeep.domain.webhook_tries import DeliveryState
from tokenkeep.providers.entry_file import file_fields, setting_fields

DOCS = Path(__file__).parents[2] / "docs"


def test_every_field_of_provider_files_is_on_its_page() -> None:
    page = (DOCS / "reference" / "provider-files.md").read_text(encoding="utf-8")
    for auth_type in AuthType:
        names = {
            *file_fields(auth_type),
            *setting_fields(auth_type),
            "placeholders",
            "answers",
            "verify",
            "credentials",
        }
        assert {name for name in names if f"`{name}`" not in page} == set(), auth_type


def test_every_event_that_services_may_send_is_on_its_page() -> None:
    page = (DOCS / "reference" / "incoming-events.md").read_text(encoding="utf-8")
    results = {*ReceptionStatus, *Outcome}
    assert {name for name in (*IncomingType, *results) if f"`{name}`" not in page} == set()


def test_every_state_of_a_delivery_and_every_reason_is_on_its_page() -> None:
    page = (DOCS / "reference" / "webhooks.md").read_text(encoding="utf-8")
    assert {name for name in (*DeliveryState, *WebhookDisabledReason) if f"`{name}`" not in page} == set()


def test_every_type_of_event_is_on_its_page() -> None:
    page = (DOCS / "reference" / "events.md").read_text(encoding="utf-8")
    assert {kind for kind in EventType if kind.rpartition(".")[2] not in page} == set()


def test_the_page_of_metrics_has_each_with_its_type_and_its_labels_and_no_others() -> None:
    page = (DOCS / "reference" / "metrics.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(tokenkeep_\w+)` \| (\w+) \|([^|]*)\|(.*)$", page, re.MULTILINE)
    told = {name: (kind, set(re.findall(r"`(\w+)`", labels))) for name, kind, labels, _ in rows}
    assert len(told) == len(rows)
    assert told == described(busy())
    assert [name for name, _, _, rest in rows if len(rest) < 30] == []


def test_the_page_of_logs_has_each_event_with_its_levels_and_its_keys_and_no_others() -> None:
    page = (DOCS / "reference" / "logs.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (`[a-z`, _]+`) \| ([a-z, ]+) \|([^|]*)\|(.*)$", page, re.MULTILINE)
    logged = told()
    seen: set[str] = set()
    for names, levels, keys, meaning in rows:
        events = set(re.findall(r"`(\w+)`", names))
        assert events <= logged.keys(), events
        assert not events & seen, events
        assert meaning.strip(), events
        seen |= events
        assert set(levels.split(", ")) == {level for one in events for level in logged[one][0]}, events
        written = {key for one in events for key in logged[one][1]}
        on_page = set(re.findall(r"`(\w+)`", keys))
        assert (written - {"**"} <= on_page) if "**" in written else (written == on_page), events
    assert seen == logged.keys()


def test_every_auth_type_has_its_page() -> None:
    pages = {page.stem for page in (DOCS / "reference" / "auth-types").glob("*.md")} - {"index"}
    assert pages == {auth_type.value.replace("_", "-") for auth_type in AuthType}


def test_every_argument_error_and_log_line_of_the_sdk_is_on_its_pages() -> None:
    page = "".join((DOCS / "reference" / f"{name}.md").read_text(encoding="utf-8") for name in ("sdk", "sdk-events"))
    calls = (AsyncEvents.subscribe, Tokenkeep, AsyncTokenkeep, Tokenkeep.token, Tokenkeep.with_options, TokenkeepAuth)
    arguments = {name for call in calls for name in parameters(call)}
    raised = {name for name, what in vars(errors).items() if inspect.isclass(what) and issubclass(what, ClientError)}
    code = [path.read_text(encoding="utf-8") for path in Path(errors.__file__).parent.rglob("*.py")]
    logged = {name for text in code for name in re.findall(r'_log\.\w+\(\s*"(\w+)', text)}
    assert {"handler_failed", "dead_letter", "token_events_ended"} <= logged
    assert {name for name in arguments | raised | logged if name not in page} == set()


def test_every_call_and_every_enumeration_of_the_sdk_is_on_its_page() -> None:
    page = (DOCS / "reference" / "sdk.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `client\.(\w+)` \| (.*) \|$", page, re.MULTILINE))
    client = Tokenkeep()
    spaces = {name for name, what in vars(Tokenkeep).items() if isinstance(what, cached_property)}
    assert rows.keys() == spaces
    for name in spaces:
        written = set(re.findall(r"`(\w+)`|(?<=`)(\w+)(?=` `)", rows[name]))
        calls = {call for call in vars(type(getattr(client, name))) if not call.startswith("_")}
        assert calls == {word for found in written for word in found if word}, name
    named = {name for name in sdk.__all__ if inspect.isclass(one := getattr(sdk, name)) and issubclass(one, StrEnum)}
    assert {name for name in named if f"`{name}`" not in page} == set()
    assert {name for name in vars(Tokens) if not name.startswith("_") and f"{name}(" not in page} == set()


def parameters(call: object) -> set[str]:
    assert callable(call)
    return set(inspect.signature(call).parameters) - {"self"}


def test_what_the_pages_of_the_sdk_show_can_be_read() -> None:
    for page in ("how-to/subscribe-to-events.md", "how-to/call-an-api-with-fresh-tokens.md", "../README.md"):
        blocks = re.findall(r"```python\n(.*?)```", (DOCS / page).read_text(encoding="utf-8"), re.DOTALL)
        assert blocks
        for block in blocks:
            compile(block, page, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
            exec("\n".join(re.findall(r"^from tokenkeep.*", block, re.MULTILINE)), {})  # noqa: S102 - imports of ours
