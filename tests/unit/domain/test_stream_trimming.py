"""What of the stream is kept for whom."""

from datetime import timedelta

import pytest

from tokenkeep.domain.stream_trimming import EntryId, GroupStanding, Keeping

DAY_MS = 86_400_000
NOW_MS = 100 * DAY_MS
KEEPING = Keeping(age=timedelta(days=7), longest=timedelta(days=30))


def days_ago(days: float) -> EntryId:
    return EntryId(NOW_MS - int(days * DAY_MS), 0)


def group(wants: EntryId | None, *, silent_days: float | None = 0) -> GroupStanding:
    return GroupStanding("billing", wants, None if silent_days is None else timedelta(days=silent_days))


@pytest.mark.parametrize(
    ("groups", "kept"),
    [
        ([], 7),
        ([group(None)], 7),
        ([group(days_ago(1))], 7),
        ([group(days_ago(9))], 9),
        ([group(days_ago(9)), group(days_ago(12)), group(None)], 12),
        ([group(days_ago(40))], 30),
        ([group(days_ago(9), silent_days=8)], 7),
        ([group(days_ago(9), silent_days=6)], 9),
        ([group(days_ago(9), silent_days=None)], 7),
    ],
)
def test_what_a_live_group_has_not_read_is_kept_up_to_a_bound(groups: list[GroupStanding], kept: float) -> None:
    assert KEEPING.first_kept(groups, now_ms=NOW_MS) == days_ago(kept)


def test_entry_ids_are_read_as_redis_writes_them() -> None:
    assert EntryId.parse("1700000000000-12") == EntryId(1_700_000_000_000, 12)
    assert str(EntryId(5, 3)) == "5-3"
    assert EntryId(5, 10) > EntryId(5, 9)
