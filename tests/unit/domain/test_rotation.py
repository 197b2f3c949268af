"""Kinds of providers, and when a doubtful token is presented again."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain_examples import NOW, QUARANTINE
from tokenkeep.domain.rotation import Rotation, RotationKind, probe_at, rotation_of


@pytest.mark.parametrize(
    ("rotates", "grace_s", "reuse", "kind"),
    [
        ("no", 0, "unknown", RotationKind.NONE),
        ("no", 60, "revokes", RotationKind.NONE),
        ("yes", 60, "unknown", RotationKind.GRACE),
        ("yes", 0, "unknown", RotationKind.STRICT_REVOKE),
        ("yes", 0, "revokes", RotationKind.STRICT_REVOKE),
        ("yes", 0, "refuses", RotationKind.STRICT),
        ("yes", 0, "none", RotationKind.UNTIL_USED),
        ("sometimes", 0, "unknown", RotationKind.STRICT_REVOKE),
    ],
)
def test_options_choose_the_kind_and_the_unknown_is_taken_for_the_worst(
    rotates: str, grace_s: int, reuse: str, kind: RotationKind
) -> None:
    assert rotation_of(rotates=rotates, grace=timedelta(seconds=grace_s), reuse=reuse).kind is kind


@given(
    kind=st.sampled_from(RotationKind),
    presentations=st.integers(0, 1_000),
    left_s=st.one_of(st.none(), st.integers(-86_400, 86_400)),
)
def test_a_probe_never_comes_within_the_quarantine_nor_later_than_its_longest_delay(
    kind: RotationKind, presentations: int, left_s: int | None
) -> None:
    rotation = Rotation(kind, timedelta(minutes=10))
    expires_at = None if left_s is None else NOW + timedelta(seconds=left_s)
    at = probe_at(rotation, QUARANTINE, presentations=presentations, sent_at=NOW, expires_at=expires_at)
    assert NOW + QUARANTINE.span(rotation) <= at <= NOW + QUARANTINE.longest_probe_delay


def test_the_waits_between_unanswered_probes_grow() -> None:
    rotation = Rotation(RotationKind.STRICT)
    waits = [probe_at(rotation, QUARANTINE, presentations=n, sent_at=NOW, expires_at=NOW) - NOW for n in range(1, 6)]
    assert waits == sorted(waits)
    assert waits[0] < waits[-1]
