"""deploy/Dockerfile and .dockerignore, read."""

import json
import shlex
import shutil
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
DOCKERFILE = ROOT / "deploy" / "Dockerfile"


@dataclass(frozen=True)
class Instruction:
    """A line of a Dockerfile, continuations put together."""

    name: str
    text: str

    @property
    def words(self) -> list[str]:
        """Its arguments, written as JSON or not."""
        if self.text.startswith("["):
            words: list[str] = json.loads(self.text)
            return words
        return shlex.split(self.text)


def instructions(path: Path = DOCKERFILE) -> list[Instruction]:
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if not line.lstrip().startswith("#")]
    whole = "\n".join(lines).replace("\\\n", " ")
    return [Instruction(*line.strip().split(maxsplit=1)) for line in whole.splitlines() if line.strip()]


def stages(path: Path = DOCKERFILE) -> list[list[Instruction]]:
    """The instructions of each stage, its FROM first."""
    found: list[list[Instruction]] = []
    for instruction in instructions(path):
        if instruction.name == "FROM":
            found.append([])
        if found:
            found[-1].append(instruction)
    return found


def allowed() -> list[str]:
    """What .dockerignore lets through: it forbids everything and then names paths."""
    first, *others = [
        line for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines() if line and line[0] != "#"
    ]
    assert first == "*"
    return [line[1:] for line in others if line.startswith("!")]


def lay_context(place: Path) -> None:
    """What an engine would be sent."""
    left_out = shutil.ignore_patterns("__pycache__", "*.pyc")
    for name in allowed():
        source, target = ROOT / name, place / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=left_out)
        else:
            shutil.copy2(source, target)
