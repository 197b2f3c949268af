"""Services of compose.yaml as containers of the image, one process each, with the secrets and settings that stand there."""

import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from deployment import DEPLOY, compose
from household import a_free_port
from image import Image, Mounts

USER = 10001
STARTING_S = 120.0
PUBLIC_URL = "https://tokenkeep.example.com"


@dataclass
class Container:
    """One that runs. `process` is the program inside: all that led there was replaced by it."""

    image: Image
    name: str
    process: "subprocess.Popen[str]"
    mounts: Mounts
    environment: dict[str, str]
    port: int

    def asks_itself(self, path: str) -> int:
        """The exit code of the image's own health check, in a container of the same network."""
        check = ["python", "/opt/tokenkeep/healthcheck.py", path]
        command = self.image.command(entrypoint=check, mounts=self.mounts)
        return subprocess.run(command, env=self.environment, check=False, timeout=30).returncode

    def said(self) -> dict[str, str]:
        """What the kernel says of the process."""
        lines = Path(f"/proc/{self.process.pid}/status").read_text(encoding="utf-8").splitlines()
        return dict(line.split(":\t", 1) for line in lines if ":\t" in line)

    def environment_block(self) -> bytes:
        """What the kernel shows of its environment."""
        return Path(f"/proc/{self.process.pid}/environ").read_bytes()

    def stop(self, *, within_s: float) -> int:
        """Its exit code, once it was told to end."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(within_s)


@dataclass
class Installation:
    """The services over one database and one Valkey."""

    image: Image
    place: Path
    sockets: Mapping[str, Path]
    database_url: str
    redis_url: str
    running: list[Container] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._make_secrets()
        self.replace_secret("tokenkeep_database_url", self.database_url)
        self.replace_secret("tokenkeep_redis_url", self.redis_url)

    @property
    def secrets(self) -> Path:
        return self.place / "secrets"

    @property
    def admin_key(self) -> str:
        return (self.secrets / "tokenkeep_admin_key").read_text(encoding="utf-8")

    def replace_secret(self, name: str, text: str) -> None:
        """Another content; owner and mode stay as the script made them."""
        path = self.secrets / name
        path.write_text(text, encoding="utf-8")

    def run(self, service: str, *, timeout: float = STARTING_S) -> "subprocess.CompletedProcess[str]":
        """A service that ends by itself, or is refused."""
        command, environment, _, _ = self._prepared(service)
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=timeout)

    def start(self, service: str) -> Container:
        """A service that goes on."""
        command, environment, mounts, port = self._prepared(service)
        with (self.place / f"{service}.log").open("w", encoding="utf-8") as log:
            process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, text=True)
        container = Container(self.image, service, process, mounts, environment, port)
        self.running.append(container)
        return container

    def log_of(self, service: str) -> str:
        return (self.place / f"{service}.log").read_text(encoding="utf-8")

    def api(self, container: Container) -> httpx.Client:
        headers = {"Authorization": f"Bearer {self.admin_key}"}
        return httpx.Client(base_url=f"http://127.0.0.1:{container.port}", headers=headers, timeout=30)

    def end(self) -> None:
        for container in self.running:
            if container.process.poll() is None:
                container.process.kill()
            container.process.wait()

    def _make_secrets(self) -> None:
        tokenkeep = Path(sys.executable).with_name("tokenkeep")
        script = [DEPLOY / "make-secrets.sh", self.secrets]
        subprocess.run(script, env={**os.environ, "TOKENKEEP": str(tokenkeep)}, check=True, capture_output=True)

    def _prepared(self, service: str) -> tuple[list[str], dict[str, str], Mounts, int]:
        it = compose()["services"][service]
        given = self.place / f"{service}.secrets"
        given.mkdir(exist_ok=True)
        given.chmod(0o755)
        for name in it["secrets"]:
            target = given / name
            target.unlink(missing_ok=True)
            shutil.copy2(self.secrets / name, target)
            found = (self.secrets / name).stat()
            os.chown(target, found.st_uid, found.st_gid)
        data = self.place / f"{service}.data"
        if not data.exists():
            # As an engine makes a volume: from the image's own directory, which is its user's.
            data.mkdir(mode=0o700)
            os.chown(data, USER, USER)
        port = a_free_port()
        said = {"TOKENKEEP_PUBLIC_URL": PUBLIC_URL, "TOKENKEEP_ALLOW_PRIVATE_HOSTS": "127.0.0.1/32"}
        variables = {name: said.get(name, "" if "${" in value else value) for name, value in it["environment"].items()}
        # The network is this machine's, where the usual ports may be taken.
        variables |= {"TOKENKEEP_SECRETS_DIR": "/run/secrets/tokenkeep", "TOKENKEEP_LOG_LEVEL": "info"}
        variables |= dict.fromkeys(("TOKENKEEP_API_PORT", "TOKENKEEP_METRICS_PORT"), str(port))
        mounts = Mounts(given, data, self.sockets)
        command = self.image.command(*it["command"], mounts=mounts)
        return command, self.image.environment(**variables), mounts, port


def nobody_listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0
