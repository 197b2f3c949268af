"""What services may send, and what is said of what they may not."""

from typing import Any
from uuid import uuid4

import pytest

from incoming import a_report, an_incoming, fingerprint_of
from tokenkeep.domain.errors import InvalidInput
from tokenkeep.domain.ids import IdKind, format_id
from tokenkeep.domain.incoming_event import IncomingType, fingerprint, read_incoming
from tokenkeep.domain.secret import Secret

ACCOUNT = uuid4()
ACCOUNT_ID = format_id(IdKind.ACCOUNT, ACCOUNT)
OTHER_ID = format_id(IdKind.ACCOUNT, uuid4())


@pytest.mark.parametrize("kind", IncomingType)
def test_every_type_is_read_by_its_name(kind: IncomingType) -> None:
    document = a_report(ACCOUNT_ID, "a token", type=kind.value)
    read = read_incoming(document)
    assert (read.type, read.account_id) == (kind, ACCOUNT)
    assert read.token_fingerprint == fingerprint(Secret("a token")) == fingerprint_of("a token")


def test_the_account_may_be_named_in_the_data_and_attributes_of_others_are_passed_over() -> None:
    document = an_incoming(
        "revoked",
        ACCOUNT_ID,
        subject=None,
        data={"account_id": ACCOUNT_ID, "environment": "staging", "reason": "webhook"},
        time="2026-01-01T00:00:00Z",
        datacontenttype="application/json",
        dataschema="https://example.test/schema",
        traceparent="00-0-0-00",
    )
    read = read_incoming(document)
    assert (read.account_id, read.environment) == (ACCOUNT, "staging")


def test_a_fingerprint_in_capitals_is_the_same_one() -> None:
    document = an_incoming("unauthorized", ACCOUNT_ID, data={"token_fingerprint": "ABCDEF0123456789"})
    assert read_incoming(document).token_fingerprint == "abcdef0123456789"


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"specversion": "0.3"}, "specversion"),
        ({"specversion": None}, "specversion"),
        ({"id": ""}, "id"),
        ({"id": None}, "id"),
        ({"id": 7}, "id"),
        ({"id": "a\0b"}, "id"),
        ({"source": "x" * 256}, "source"),
        ({"type": None}, "type"),
        ({"type": "tokenkeep.account.deleted"}, "type"),
        ({"subject": None}, "subject"),
        ({"subject": "acc_1"}, "subject"),
        ({"subject": 7}, "subject"),
        ({"subject": ACCOUNT_ID.replace("acc_", "src_")}, "subject"),
        ({"data": []}, "data"),
        ({"data": {}}, "data.token_fingerprint"),
        ({"data": None}, "data.token_fingerprint"),
        ({"data": {"token_fingerprint": "abc"}}, "data.token_fingerprint"),
        ({"data": {"token_fingerprint": "g" * 16}}, "data.token_fingerprint"),
        ({"data": {"access_token": "canary"}}, "data.access_token"),
        ({"data": {"canary4711aBcDeF": "x"}}, "data"),
        ({"data": {"environment": "Not One"}}, "data.environment"),
        ({"data": {"reason": "x" * 201}}, "data.reason"),
        ({"data": {"account_id": OTHER_ID, "token_fingerprint": "0" * 16}}, "data.account_id"),
        ({"datacontenttype": "text/xml"}, "datacontenttype"),
        ({"data_base64": "AA=="}, "event"),
        ({"Upper": "x"}, "event"),
    ],
)
def test_what_is_wrong_is_told_by_its_field_and_never_quoted(changes: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        read_incoming(a_report(ACCOUNT_ID, "a token", **changes))
    assert refused.value.field == field
    assert "canary" not in str(refused.value.detail)


@pytest.mark.parametrize("document", [None, 7, "event", [], [a_report(ACCOUNT_ID, "t")], {}])
def test_what_is_no_event_at_all_is_refused(document: object) -> None:
    with pytest.raises(InvalidInput):
        read_incoming(document)
