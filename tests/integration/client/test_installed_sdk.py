"""The SDK as `pip install tokenkeep` brings it: a wheel of ours, in an environment with its own dependencies and nothing else."""

import json
import subprocess
import sys
import venv
import zipfile
from importlib.metadata import Distribution, distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from resource_server import resource_server

HOUSE = Path(__file__).parents[3]
PROGRAM = """
import json, sys
import httpx
from tokenkeep.client import *

with Tokenkeep(sys.argv[1], "tk_key", max_retries=0) as client:
    try:
        client.token("acc_" + "0" * 32)
    except NotAuthenticated as error:
        refused = type(error).__name__
    with httpx.Client(auth=TokenkeepAuth(client, "acc_" + "0" * 32)) as api:
        try:
            api.get("https://api.test")
        except NotAuthenticated as error:
            refused += " " + type(error).__name__
print(json.dumps({"refused": refused, "loaded": sorted({name.partition(".")[0] for name in sys.modules}), "path": sys.path}))
"""


def wanted(name: str, found: dict[str, Distribution]) -> dict[str, Distribution]:
    """A distribution and what it needs on this machine, without extras."""
    if name not in found:
        found[name] = distribution(name)
        for line in found[name].requires or ():
            requirement = Requirement(line)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                wanted(requirement.name.lower().replace("_", "-"), found)
    return found


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment that has the wheel and its base dependencies, taken from this one."""
    directory = tmp_path_factory.mktemp("installed")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(directory)]
    subprocess.run(build, cwd=HOUSE, check=True, capture_output=True, timeout=100)
    [wheel] = directory.glob("tokenkeep-*.whl")
    venv.create(directory / "venv", with_pip=False)
    [packages] = (directory / "venv" / "lib").glob("python*/site-packages")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(packages)
        [metadata] = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        lines = archive.read(metadata).decode().splitlines()
    found: dict[str, Distribution] = {}
    for line in lines:
        if line.startswith("Requires-Dist: ") and "extra ==" not in line:
            wanted(Requirement(line.removeprefix("Requires-Dist: ")).name.lower(), found)
    assert {"httpx", "uuid-utils"} <= found.keys()
    for each in found.values():
        for file in each.files or ():
            source, target = Path(str(each.locate_file(file))), packages / file
            if ".." not in file.parts and source.is_file():
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(source.read_bytes())
    return directory / "venv" / "bin" / "python"


def test_the_wheel_with_its_base_dependencies_is_a_whole_sdk(python: Path) -> None:
    with resource_server() as server:
        done = subprocess.run(
            [str(python), "-I", "-c", PROGRAM, server.url], capture_output=True, text=True, check=False, timeout=60
        )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["refused"] == "NotAuthenticated NotAuthenticated"
    assert not {"pydantic", "sqlalchemy", "redis", "fastapi", "cryptography"} & set(said["loaded"])
    assert [path for path in said["path"] if "site-packages" in path] == [
        str(next(python.parents[1].glob("lib/*/site-packages")))
    ]


def test_the_errors_are_loaded_without_an_http_client(python: Path) -> None:
    program = "import sys; from tokenkeep.client import AccountDisabled, AccountState; print('httpx' in sys.modules)"
    done = subprocess.run([str(python), "-I", "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "False\n"
