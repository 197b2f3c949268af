"""Traces are wanted by OpenTelemetry's own variables, and cost nothing where they are not."""

import subprocess
import sys
from collections.abc import Mapping

import pytest
import structlog

from tokenkeep.adapters.tracing.opening import open_traces
from tokenkeep.domain.errors import SettingsError
from tokenkeep.settings import trace_exporters

HTTP = ("otlp_proto_http",)


@pytest.mark.parametrize(
    ("environment", "exporters"),
    [
        ({}, ()),
        ({"OTEL_SERVICE_NAME": "keeper"}, ()),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}, HTTP),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://collector:4318/v1/traces"}, HTTP),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, HTTP),
        ({"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, ("otlp_proto_grpc",)),
        ({"OTEL_TRACES_EXPORTER": "console, otlp"}, ("console", *HTTP)),
        ({"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}, ()),
        ({"OTEL_SDK_DISABLED": "True", "OTEL_TRACES_EXPORTER": "otlp"}, ()),
    ],
)
def test_whoever_wants_traces_names_an_exporter_or_an_endpoint(
    environment: Mapping[str, str], exporters: tuple[str, ...]
) -> None:
    assert trace_exporters(environment) == exporters


def test_an_exporter_that_is_not_there_ends_the_start_with_a_line() -> None:
    with pytest.raises(SettingsError, match="OTEL_TRACES_EXPORTER: there is no exporter zipkin2 installed"):
        open_traces(["zipkin2"], process="worker")


@pytest.mark.parametrize(
    ("name", "value"), [("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "9999999"), ("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "-4")]
)
def test_a_bound_that_the_library_refuses_ends_the_start_with_a_line(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match="OTEL_BSP_… or OTEL_SPAN_…_LIMIT: "):
        open_traces(["console"], process="worker")


def test_without_the_extra_a_process_says_so_and_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    with structlog.testing.capture_logs() as log:
        assert open_traces(["console"], process="worker") is None
    assert [line["event"] for line in log] == ["tracing_not_installed"]


@pytest.mark.parametrize("name", ["worker", "scheduler", "api"])
def test_a_process_that_does_not_trace_imports_nothing_for_it(name: str) -> None:
    program = (
        f"import sys, tokenkeep_{name}.main\n"
        "from tokenkeep.adapters.tracing.opening import open_traces\n"
        "assert open_traces((), process='x') is None\n"
        # Libraries of others look for its API and its metrics by themselves.
        "wanted = ('opentelemetry.sdk.trace', 'opentelemetry.exporter', 'tokenkeep.adapters.tracing.traces')\n"
        "print([one for one in sys.modules if one.startswith(wanted)])\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
