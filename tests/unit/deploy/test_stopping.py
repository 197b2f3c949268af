"""Whoever ends a process waits for longer than the process says it may take."""

import pytest

from deployment import REQUIRED, compose, pod, rendered, unit
from tokenkeep.settings import Settings

DEFAULTS = Settings.model_construct()
"""Whatever the environment of whoever runs the tests says."""

LONGEST_S = {"api": DEFAULTS.api_drain_delay_s + 40, "worker": DEFAULTS.ends_within_s, "scheduler": 20.0}
"""What docs/how-to/upgrade.md states."""
MARGIN_S = 10


@pytest.mark.parametrize("name", LONGEST_S)
def test_compose_waits_long_enough(name: str) -> None:
    grace = compose()["services"][name]["stop_grace_period"]
    assert float(grace.removesuffix("s")) >= LONGEST_S[name] + MARGIN_S


@pytest.mark.parametrize("name", LONGEST_S)
def test_systemd_waits_long_enough(name: str) -> None:
    assert float(unit(f"tokenkeep-{name}.service")["TimeoutStopSec"][0]) >= LONGEST_S[name] + MARGIN_S


@pytest.mark.parametrize("name", LONGEST_S)
def test_kubernetes_waits_long_enough(name: str) -> None:
    it = pod(rendered(REQUIRED), name)
    given = {one["name"]: one.get("value") for one in it["containers"][0]["env"]}
    longer = float(given.get("TOKENKEEP_API_DRAIN_DELAY_S", DEFAULTS.api_drain_delay_s)) - DEFAULTS.api_drain_delay_s
    assert it["terminationGracePeriodSeconds"] >= longer + LONGEST_S[name] + MARGIN_S
