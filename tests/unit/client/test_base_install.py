"""The SDK needs nothing that only servers have."""

import subprocess
import sys
import tomllib
from pathlib import Path

HOUSE = Path(__file__).parents[3]

PROGRAM = """
import sys
refused = set(sys.argv[1].split(","))

class Gate:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in refused:
            raise ModuleNotFoundError(f"{name} is not installed", name=name)

sys.meta_path.insert(0, Gate())
from tokenkeep.client import *
from tokenkeep import client
missing = [name for name in client.__all__ if not hasattr(client, name)]
assert not missing, missing
sdk = Tokenkeep("https://api.test", "tk_key", redis="redis://127.0.0.1:1")
sdk.events.subscribe(group="billing", via="feed", cursors=MemoryCursorStore())
assert sorted(set(sys.modules) & refused) == []
try:
    sdk.events.subscribe(group="billing")
except NotConfigured as error:
    assert "tokenkeep[streams]" in str(error), error
    assert "redis" in refused
else:
    assert "redis" not in refused
print("works")
"""


def packages(*extras: str) -> set[str]:
    """What these extras want, as it is imported."""
    project = tomllib.loads((HOUSE / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = {line for extra in extras for line in project["optional-dependencies"][extra]}
    names = {line.partition(">")[0].partition("[")[0].replace("-", "_") for line in wanted}
    renamed = {"pyyaml": "yaml"}
    own = {line.partition(">")[0].replace("-", "_") for line in project["dependencies"]} | {"h11"}  # httpx wants h11
    return {renamed.get(name, name) for name in names} - own


def works_without(refused: set[str]) -> bool:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, ",".join(sorted(refused))],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout == "works\n"


def test_the_base_install_is_the_sdk() -> None:
    server = packages("server", "embedded", "demo")
    assert {"sqlalchemy", "fastapi", "dramatiq", "cryptography", "pydantic", "redis"} <= server
    assert works_without(server)


def test_the_extra_for_streams_brings_the_rest_of_it() -> None:
    assert works_without(packages("server", "embedded", "demo") - packages("streams"))
