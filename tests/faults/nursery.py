"""The process that services are forked from: it has imported everything, so that a service starts in a moment.

A forked service is a process like any other: it reads its settings from its own environment, runs the same `run` as the
command line does, and can be killed, stopped and continued. The nursery reads one JSON request a line from its standard
input and answers each with one line; when its input ends, it ends its children and itself. How each child ended is written
into the directory that is its only argument: a test that is over takes its own along.
"""

import gc
import importlib
import json
import mmap
import os
import select
import signal
import struct
import sys
import time
from datetime import datetime, tzinfo
from pathlib import Path
from typing import Any

SERVICES = {
    "api": "tokenkeep_api.main",
    "worker": "tokenkeep_worker.main",
    "scheduler": "tokenkeep_scheduler.main",
    "consumer": "consumer",
}
_WARM = (*SERVICES.values(), "tokenkeep_worker.actors", "dramatiq", "asyncpg", "sqlalchemy.dialects.postgresql.asyncpg")
_REAP_S = 0.05


def main() -> None:
    for name in _WARM:
        importlib.import_module(name)
    gc.freeze()
    codes, children = Path(sys.argv[1]), set[int]()
    pending = b""
    print("ready", flush=True)  # noqa: T201 - the other side waits for it
    while True:
        readable, _, _ = select.select([0], [], [], _REAP_S)
        _reap(codes, children)
        if not readable:
            continue
        chunk = os.read(0, 65536)
        if not chunk:
            break
        *lines, pending = (pending + chunk).split(b"\n")
        for line in lines:
            request = json.loads(line)
            child = _fork(request)
            children.add(child)
            (codes / str(child)).unlink(missing_ok=True)  # of another one that had this id before
            print(child, flush=True)  # noqa: T201 - the answer
    for child in children:
        os.kill(child, signal.SIGKILL)


def _reap(codes: Path, children: set[int]) -> None:
    """Write down how each ended: its exit code, negative for a signal, by its process id."""
    while children:
        child, status = os.waitpid(-1, os.WNOHANG)
        if child == 0:
            return
        children.remove(child)
        draft = codes / f"{child}.draft"
        draft.write_text(str(os.waitstatus_to_exitcode(status)))
        draft.rename(codes / str(child))


def _fork(request: dict[str, Any]) -> int:
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        _become(request)
        code = 0
    except BaseException as error:  # noqa: BLE001 - a child must not return into the nursery's loop
        print(f"{type(error).__name__}: {error}", flush=True)  # noqa: T201 - its log
    finally:
        sys.stdout.flush()
        os._exit(code)


def _become(request: dict[str, Any]) -> None:
    """Be this service, until it ends."""
    log = os.open(request["log"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.environ.update(request["environment"])
    _shift_clock(Path(request["clock"]))
    from tokenkeep.settings import load_settings  # noqa: PLC0415 - only now the environment is the service's

    importlib.import_module(SERVICES[request["service"]]).run(load_settings())


def _shift_clock(file: Path) -> None:
    """Let the wall clock be wrong by as many seconds as the file says at any moment.

    Only `time.time` and what APScheduler sees can be shifted from within; the monotonic clocks stay right, as they do when a
    machine's clock is set.
    """
    with file.open("rb") as opened:
        shared = mmap.mmap(opened.fileno(), 8, access=mmap.ACCESS_READ)
    true_time = time.time

    def shifted() -> float:
        offset: float = struct.unpack("d", shared[:8])[0]
        return true_time() + offset

    time.time = shifted

    class _AnyDatetime(type):
        def __instancecheck__(cls, value: object) -> bool:
            return isinstance(value, datetime)

    class _Shifted(datetime, metaclass=_AnyDatetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Any:
            return datetime.fromtimestamp(shifted(), tz)

    for name, module in list(sys.modules.items()):
        if name.startswith("apscheduler.") and getattr(module, "datetime", None) is datetime:
            module.datetime = _Shifted  # type: ignore[attr-defined]


if __name__ == "__main__":
    main()
