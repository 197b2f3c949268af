"""Logs: one JSON object a line on standard output, ours and the libraries' alike.

An event is a constant in snake_case; what differs from case to case is bound to keys. A library's free text goes under
`message`, its event being `library_message`. What is bound by `structlog.contextvars` (`correlation_id`) is on every line.
"""

import logging
import sys
from collections.abc import Sequence
from typing import Final, Literal, TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from tokenkeep.adapters.telemetry.consumer_noise import ConsumerNoise
from tokenkeep.adapters.telemetry.redaction import redact_event
from tokenkeep.domain.errors import SettingsError

LogFormat = Literal["json", "console"]

_LEVELS: Final = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
    "critical": logging.CRITICAL,
}
# They bring handlers of their own, which would write past our formatter.
_LIBRARIES: Final = (
    "uvicorn",
    "uvicorn.error",
    "uvicorn.access",
    "dramatiq",
    "apscheduler",
    "asyncio",
    "sqlalchemy",
    "alembic",
)
# Below a warning they write URLs with their queries, headers, statement parameters, bodies (botocore's hold the keyring's keys, as
# AWS KMS has decrypted them), or a line for every tick.
_NEVER_BELOW_WARNING: Final = (
    "apscheduler",
    "asyncio",
    "boto3",
    "botocore",
    "dramatiq",
    "google",
    "httpcore",
    "httpx",
    "sqlalchemy.engine",
    "sqlalchemy.pool",
    "uvicorn.access",
    "uvicorn.error",
    "urllib3",
)


def configure_logging(
    level: str,
    format: LogFormat,  # noqa: A002 - the setting's name
    process: str,
    *,
    stream: TextIO | None = None,
) -> None:
    """Set up structlog and the standard library's logging for this process; a second call replaces the first.

    Args:
        level: `debug`, `info`, `warning`, `error` or `critical`, in any case.
        format: `json`, or `console` for human eyes.
        process: What this process is (`api`, `worker`, …); on every line.
        stream: Where lines go; standard output if not given.

    Raises:
        SettingsError: There is no such level or format.
    """
    threshold = _LEVELS.get(level.lower())
    if threshold is None:
        msg = f"TOKENKEEP_LOG_LEVEL: must be one of {', '.join(_LEVELS)}"
        raise SettingsError(msg)
    if format not in ("json", "console"):
        msg = "TOKENKEEP_LOG_FORMAT: must be json or console"
        raise SettingsError(msg)
    target = sys.stdout if stream is None else stream
    described: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="ts"),
        _Stamp(process),
    ]
    structlog.configure(
        processors=[*described, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=structlog.stdlib.LoggerFactory(),
        # A logger that was used before this call must follow it, too.
        cache_logger_on_first_use=False,
    )
    handler = _LineHandler(target)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*described, _as_library_message],
            processors=_rendering(format, colors=target.isatty()),
        )
    )
    handler.addFilter(ConsumerNoise())
    _route_to(handler, threshold)


class _Stamp:
    """Puts the process's name on each line."""

    __slots__ = ("_process",)

    def __init__(self, process: str) -> None:
        self._process = process

    def __call__(self, _logger: WrappedLogger, _method: str, event_dict: EventDict) -> EventDict:
        event_dict["process"] = self._process
        return event_dict


class _LineHandler(logging.StreamHandler[TextIO]):
    """A stream handler that does not print a record's arguments when it can't be formatted."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the standard library's name
        kind = sys.exc_info()[0]
        sys.stderr.write(
            f"a log record of {record.name} could not be written: {kind.__name__ if kind else 'unknown'}\n"
        )


def _as_library_message(_logger: WrappedLogger, _method: str, event_dict: EventDict) -> EventDict:
    event_dict["message"] = event_dict["event"]
    event_dict["event"] = "library_message"
    event_dict["logger"] = event_dict["_record"].name
    return event_dict


def _rendering(format: LogFormat, *, colors: bool) -> Sequence[Processor]:  # noqa: A002 - the setting's name
    """From event to line. Tracebacks become text, without local variables, before the redaction looks."""
    renderer: Processor = (
        structlog.processors.JSONRenderer()
        if format == "json"
        else structlog.dev.ConsoleRenderer(
            colors=colors, timestamp_key="ts", exception_formatter=structlog.dev.plain_traceback
        )
    )
    return [
        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,
        redact_event,
        renderer,
    ]


def _route_to(handler: logging.Handler, threshold: int) -> None:
    root = logging.getLogger()
    for previous in root.handlers[:]:
        root.removeHandler(previous)
    root.addHandler(handler)
    root.setLevel(threshold)
    for name in _LIBRARIES:
        library = logging.getLogger(name)
        library.handlers.clear()
        library.propagate = True
    for name in _NEVER_BELOW_WARNING:
        logging.getLogger(name).setLevel(max(threshold, logging.WARNING))
