"""`deploy/asyncapi.yaml` and `deploy/schemas/`: sound, in step, and of one mind with the code that reads events."""

import json
import runpy
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator, FormatChecker

from event_schemas import asyncapi, schema_names
from tokenkeep.domain.errors import InvalidInput
from tokenkeep.domain.events import EventType
from tokenkeep.domain.incoming_event import IncomingType, read_incoming

DEPLOY = Path(__file__).parents[2] / "deploy"
ASYNCAPI_SCHEMA = Path(__file__).parents[1] / "asyncapi-3.0.0.schema.json"
"""AsyncAPI's own, as the package @asyncapi/specs 6.11.1 brings it (AsyncAPI Initiative, Apache-2.0)."""

ACCOUNT = f"acc_{'0' * 32}"
FINGERPRINT = "9f86d081884c7d65"


def schema_of(event_type: str) -> Draft7Validator:
    text = (DEPLOY / "schemas" / f"{event_type}.json").read_text(encoding="utf-8")
    return Draft7Validator(json.loads(text), format_checker=FormatChecker())


def report(**changes: Any) -> dict[str, Any]:
    """A report that is taken, changed; None takes a member away."""
    sound = {
        "specversion": "1.0",
        "id": "a7c1",
        "source": "/billing",
        "type": IncomingType.REVOKED.value,
        "subject": ACCOUNT,
        "data": {"reason": "uninstalled"},
    }
    return {name: value for name, value in {**sound, **changes}.items() if value is not None}


def test_the_description_is_asyncapi_3() -> None:
    official = json.loads(ASYNCAPI_SCHEMA.read_text(encoding="utf-8"))
    assert [error.message for error in Draft7Validator(official).iter_errors(asyncapi())] == []


def test_the_files_are_those_that_follow_from_the_description() -> None:
    wanted: dict[str, str] = runpy.run_path(str(DEPLOY / "derive_schemas.py"))["texts"]()
    found = {path.name: path.read_text(encoding="utf-8") for path in (DEPLOY / "schemas").iterdir()}
    assert found == wanted, "make schemas"
    for text in found.values():
        Draft7Validator.check_schema(json.loads(text))


def test_every_type_of_both_directions_has_its_schema() -> None:
    assert set(schema_names()) == {kind.value for kind in EventType}
    assert set(schema_names("inbox")) == {kind.value for kind in IncomingType}
    names = {path.stem for path in (DEPLOY / "schemas").iterdir()}
    assert names == {kind.value for kind in (*EventType, *IncomingType)}


@pytest.mark.parametrize("kind", IncomingType)
def test_each_kind_of_report_is_taken_and_fits(kind: IncomingType) -> None:
    needs = {"token_fingerprint": FINGERPRINT} if kind is IncomingType.UNAUTHORIZED else {}
    for sound in (
        report(type=kind.value, data=needs),
        report(type=kind.value, data={**needs, "account_id": ACCOUNT, "environment": "e"}, subject=None),
        report(type=kind.value, data={**needs, "reason": "r"}, time="2030-01-01T00:00:00Z", traceparent="00"),
    ):
        read_incoming(sound)
        assert [error.message for error in schema_of(kind).iter_errors(sound)] == []


@pytest.mark.parametrize(
    "change",
    [
        {"specversion": "0.3"},
        {"id": ""},
        {"id": "x" * 256},
        {"id": 7},
        {"source": None},
        {"subject": None},
        {"subject": "src_" + "0" * 32},
        {"subject": None, "data": {"account_id": "acc_1"}},
        {"data": {"unheard": "of"}},
        {"data": []},
        {"data": {"reason": "x" * 201}},
        {"data": {"token_fingerprint": "9f86"}},
        {"type": "tokenkeep.account.unauthorized"},
        {"type": "tokenkeep.account.disabled"},
        {"Upper": "x"},
    ],
)
def test_what_is_refused_does_not_fit(change: dict[str, Any]) -> None:
    wrong = report(**change)
    with pytest.raises(InvalidInput):
        read_incoming(wrong)
    kind = IncomingType.UNAUTHORIZED if wrong["type"] == IncomingType.UNAUTHORIZED else IncomingType.REVOKED
    assert not schema_of(kind).is_valid(wrong)
