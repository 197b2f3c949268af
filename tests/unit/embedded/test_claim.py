import os
from pathlib import Path

import pytest

from tokenkeep.adapters.embedded.claim import claimed
from tokenkeep.adapters.embedded.failure import AlreadyRunning


def test_a_second_claim_is_refused_in_a_line_that_names_the_holder(tmp_path: Path) -> None:
    with (
        claimed(tmp_path / "lock", on="the data"),
        pytest.raises(AlreadyRunning, match=f"^the data is in use by another tokenkeep \\(process {os.getpid()}\\)$"),
        claimed(tmp_path / "lock", on="the data"),
    ):
        pytest.fail("it was granted")


def test_a_claim_that_was_let_go_can_be_taken_again(tmp_path: Path) -> None:
    for _ in range(2):
        with claimed(tmp_path / "lock", on="the data"):
            pass
