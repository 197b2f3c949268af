"""What lies in deploy/, read as those would that run it, and what each process is given and granted there."""

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast

import pytest
import yaml

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"
CHART = DEPLOY / "helm" / "tokenkeep"
PROCESSES = ("api", "scheduler", "worker")
Manifest = dict[str, Any]

REQUIRED: dict[str, Any] = {
    "settings": {"PUBLIC_URL": "https://tokenkeep.example.com"},
    "secrets": {"existingSecret": "tokenkeep"},
}
"""The least that the chart must be told."""
EVERYTHING: dict[str, Any] = {
    **REQUIRED,
    "image": {"digest": f"sha256:{'0' * 64}"},
    "ingress": {
        "enabled": True,
        "className": "nginx",
        "tls": [{"hosts": ["tokenkeep.example.com"], "secretName": "tls"}],
    },
    "worker": {"keda": {"enabled": True, "selector": 'cell="eu-1"'}, "spool": {"storageClassName": "fast"}},
    "monitoring": {"podMonitor": {"enabled": True}, "rules": {"enabled": True}, "dashboard": {"enabled": True}},
    "networkPolicy": {
        "apiFrom": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "ingress"}}}],
        "databaseTo": [{"ipBlock": {"cidr": "10.1.0.0/24"}}],
        "redisTo": [{"podSelector": {"matchLabels": {"app": "valkey"}}}],
        "extraEgress": [{"ports": [{"protocol": "TCP", "port": 4318}]}],
    },
    "extraEnv": [{"name": "OTEL_EXPORTER_OTLP_ENDPOINT", "value": "http://collector:4318"}],
}
"""All that is off unless somebody asks for it."""


def need_checker(module: str | None = None, program: str | None = None) -> Path:
    """A checker of the group `checkers`. Without it a test is skipped; it fails in CI if the group was installed, for then it should be here."""
    path = Path(sys.prefix, "bin", program or "python")
    if (module is None or find_spec(module) is not None) and path.exists():
        return path
    reason = f"{module or program} is not installed (make .venv/.checkers)"
    is_installed = Path(sys.prefix, ".checkers").exists()
    if is_installed and os.environ.get("CI") == "true" and (sys.platform, platform.machine()) == ("linux", "x86_64"):
        pytest.fail(reason)
    pytest.skip(reason)


def said_by(program: Path | str, *words: str | Path) -> str:
    """What a checker has to say: nothing, if all is well and it is quiet. It must end by itself."""
    done = subprocess.run([program, *words], capture_output=True, text=True, check=False, timeout=60)
    return "" if done.returncode == 0 else f"{done.stdout}{done.stderr}" or f"exit {done.returncode}"


def need_program(name: str) -> str:
    """A program of the operating system's; without it a test is skipped."""
    path = shutil.which(name)
    if path is None:
        pytest.skip(f"there is no {name} here")
    return path


@cache
def compose() -> Manifest:
    return cast("Manifest", yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8")))


def unit(name: str) -> Mapping[str, Sequence[str]]:
    """The settings of a systemd unit, sections put together; each may stand there more than once."""
    found: dict[str, list[str]] = {}
    for line in (DEPLOY / "systemd" / name).read_text(encoding="utf-8").splitlines():
        key, separator, value = line.partition("=")
        if separator and line[0] not in "#[":
            found.setdefault(key, []).append(value)
    return found


def rendered(values: Mapping[str, Any], chart: Path = CHART) -> list[Manifest]:
    """What Helm makes of the chart, by the library that the command is made of."""
    need_checker("helm_python")
    import helm_python  # noqa: PLC0415 - not on every machine

    with helm_python.Chart.load(chart) as loaded:
        loaded.validate_schema(loaded.merge_values(dict(values)))
        texts = loaded.render(dict(values), name="keep", namespace="tokens")
    return [
        manifest
        for name, text in texts.items()
        if name.endswith(".yaml")
        for manifest in yaml.safe_load_all(text)
        if manifest is not None
    ]


def one(manifests: Sequence[Manifest], kind: str, component: str) -> Manifest:
    """The one manifest of a kind for a process."""
    label = "app.kubernetes.io/component"
    (found,) = [it for it in manifests if it["kind"] == kind and it["metadata"]["labels"][label] == component]
    return found


def workload(manifests: Sequence[Manifest], component: str) -> Manifest:
    kind = {"worker": "StatefulSet", "migrate": "Job"}.get(component, "Deployment")
    return one(manifests, kind, component)


def pod(manifests: Sequence[Manifest], component: str) -> Manifest:
    """The pod's specification."""
    return cast("Manifest", workload(manifests, component)["spec"]["template"]["spec"])
