"""Whoever ends a process waits for longer than the process says it may take."""

import pytest

from deployment import REQUIRED, compose, pod, rendered, unit
from tokenkeep.settings import Settings
from tokenkeep_api.listening import _DRAIN_S
from tokenkeep_worker.main import _SPOOL_GRACE


def default_s(name: str) -> float:
    """Of a setting, whatever the environment of whoever runs the tests says."""
    seconds: float = Settings.model_fields[name].default
    return seconds


LONGEST_S = {
    "api": _DRAIN_S,
    # What was sent is answered, then stored or spooled; deliveries to webhooks end beside it.
    "worker": max(
        default_s("write_ahead_s") + default_s("provider_deadline_s") + _SPOOL_GRACE.total_seconds() + 20,
        default_s("webhook_deadline_s"),
    ),
    "scheduler": 5.0,
}
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
    hook = it["containers"][0].get("lifecycle", {}).get("preStop")
    before = 0.0 if hook is None else float(hook["exec"]["command"][1])
    assert it["terminationGracePeriodSeconds"] >= before + LONGEST_S[name] + MARGIN_S
