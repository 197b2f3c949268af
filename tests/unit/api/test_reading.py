"""Bodies, cursors and times as the API reads them."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenkeep.domain.errors import InvalidInput
from tokenkeep_api.fields import moment
from tokenkeep_api.paging import id_after, number_after, split
from tokenkeep_api.problems import Problem, invalid, shown
from tokenkeep_api.request_bodies import parse_json


@given(st.binary(max_size=200) | st.text(max_size=100).map(str.encode))
def test_any_bytes_are_json_or_a_problem(body: bytes) -> None:
    try:
        parse_json(body)
    except Problem as problem:
        assert problem.code == "malformed_json"  # noqa: PT017 - most bytes raise, some don't


@pytest.mark.parametrize("body", [b'{"a": "\\\\u0000"}', b'{"a": ["\\\\u0000", {"b": 1}]}'])
def test_an_escaped_backslash_is_no_nul(body: bytes) -> None:
    assert parse_json(body)


@pytest.mark.parametrize("body", [b'{"a": {"\\u0000": 1}}', b'["x", ["\\u0000"]]', b'"\\u0000"'])
def test_a_nul_is_found_wherever_it_stands(body: bytes) -> None:
    with pytest.raises(Problem):
        parse_json(body)


@given(st.lists(st.uuids() | st.integers(0, 2**63 - 1), min_size=1), st.integers(1, 5))
def test_a_cursor_leads_to_where_its_page_ended(items: list[UUID | int], limit: int) -> None:
    page, cursor = split(items, limit, lambda item: item)
    assert page == items[:limit]
    assert (cursor is None) == (len(items) <= limit)
    if cursor is not None:
        assert (id_after(cursor) if isinstance(page[-1], UUID) else number_after(cursor)) == page[-1]


@given(st.text(max_size=60))
def test_no_text_is_a_cursor_that_raises_anything_else(text: str) -> None:
    for read in (id_after, number_after):
        try:
            read(text)
        except InvalidInput as error:
            assert error.field == "cursor"  # noqa: PT017 - most texts raise, some don't


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("2030-01-31T12:00:00Z", datetime(2030, 1, 31, 12, tzinfo=UTC)),
        ("2030-01-31t12:00:00.123456789z", datetime(2030, 1, 31, 12, 0, 0, 123456, tzinfo=UTC)),
        ("2030-01-31T12:00:00.5+01:30", datetime(2030, 1, 31, 10, 30, 0, 500000, tzinfo=UTC)),
    ],
)
def test_times_are_rfc_3339_in_any_zone(text: str, read: datetime) -> None:
    assert moment(text) == read


@pytest.mark.parametrize(
    "value",
    [0, 1.5, None, "", "2030-01-31", "2030-01-31T12:00:00", "2030-02-30T00:00:00Z", "9999-12-31T23:59:59-10:00"],
)
def test_other_times_are_refused(value: Any) -> None:
    with pytest.raises(ValueError, match="should be a time"):
        moment(value)


@pytest.mark.parametrize(
    ("steps", "name"),
    [
        (["options", "token_url"], "options.token_url"),
        (["X-Tokenkeep-Environment"], "X-Tokenkeep-Environment"),
        (["scopes", "0"], "scopes.0"),
        (["credentials", "eyJhbGciOiJIUzI1NiJ9abc"], "credentials"),
        (["credentials", "0f3a9bd1c2"], "credentials"),
        (["a b"], "body"),
        (["x" * 25], "body"),
        ([], "body"),
    ],
)
def test_only_what_looks_like_a_name_is_shown(steps: list[str], name: str) -> None:
    assert shown(steps) == name


def test_the_branches_of_a_union_are_not_named() -> None:
    error = {"type": "missing", "loc": ("body", "credentials", "<code>", "redirect_uri"), "msg": "canary"}
    assert invalid([error]).field == "credentials.redirect_uri"
