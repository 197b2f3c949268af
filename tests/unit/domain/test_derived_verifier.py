"""PKCE's verifier, derived."""

import re
from uuid import UUID

from tokenkeep.domain.derived_verifier import derived_verifier
from tokenkeep.domain.ids import SourceId
from tokenkeep.domain.secret import Secret

KEY = Secret("0f" * 32)
SOURCE = SourceId(UUID(int=1))
CALLBACK = "https://app.example/callback"


def test_it_is_a_verifier_and_the_same_each_time() -> None:
    made = derived_verifier(KEY, SOURCE, CALLBACK)
    assert re.fullmatch(r"[A-Za-z0-9_-]{43}", made.reveal())
    assert derived_verifier(KEY, SOURCE, CALLBACK) == made


def test_whatever_differs_makes_another_one() -> None:
    made = [
        derived_verifier(KEY, SOURCE, CALLBACK),
        derived_verifier(Secret("0e" * 32), SOURCE, CALLBACK),
        derived_verifier(KEY, SourceId(UUID(int=2)), CALLBACK),
        derived_verifier(KEY, SOURCE, f"{CALLBACK}/"),
    ]
    assert len({one.reveal() for one in made}) == 4
