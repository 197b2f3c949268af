"""A process with failpoints that can't be understood does not start."""

import os
import subprocess
import sys

import pytest

from tokenkeep.adapters.vault.keyring import Keyring


@pytest.mark.parametrize("service", ["worker", "scheduler"])
def test_a_wrong_failpoint_stops_a_process_at_its_start_with_one_line_that_names_the_variable(service: str) -> None:
    environment = {
        **os.environ,
        "TOKENKEEP_DATABASE_URL": "postgresql://tokenkeep@127.0.0.1:1/tokenkeep",
        "TOKENKEEP_REDIS_URL": "redis://127.0.0.1:1/0",
        "TOKENKEEP_KEYRING": Keyring.generate().to_text().reveal(),
        "TOKENKEEP_FAILPOINTS": "settle.halfway=kill",
    }
    command = [sys.executable, "-m", "tokenkeep", service]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode != 0
    said = (ended.stdout + ended.stderr).strip().splitlines()
    assert len(said) == 1, said
    assert "TOKENKEEP_FAILPOINTS: there is no point settle.halfway" in said[0]
