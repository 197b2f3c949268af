"""Derive the SDK's calls for programs that block from those for event loops: `make client`.

What is written by hand are `shared/tokenkeep/client/resources/*_async.py`; beside each lies what comes of it, word for word
but for `async` and `await`. A test compares the two, so nobody keeps twins in step by hand.
"""

import io
import subprocess
import sys
import tokenize
from pathlib import Path

RESOURCES = Path(__file__).parents[1] / "shared" / "tokenkeep" / "client" / "resources"
_SUFFIX = "_async.py"
_DROPPED = frozenset({"async", "await"})


def derived(text: str, name: str) -> str:
    """The module for programs that block, of one for event loops. `name`: its file's, which is told in its first lines."""
    lines = text.splitlines(keepends=True)
    for token in reversed(list(tokenize.generate_tokens(io.StringIO(text).readline))):
        if token.type == tokenize.NAME and (new := _word(token.string)) != token.string:
            (row, begin), (_, end) = token.start, token.end
            line = lines[row - 1]
            lines[row - 1] = line[:begin] + new + (line[end:] if new else line[end:].removeprefix(" "))
    first, rest = "".join(lines).split("\n", 1)
    return _formatted(f"{first}\n# Derived from {name} by `make client`: change that one.\n{rest}")


def modules() -> list[Path]:
    """Those that are written by hand."""
    return sorted(RESOURCES.glob(f"*{_SUFFIX}"))


def twin_of(module: Path) -> Path:
    """Where what comes of it lies."""
    return module.with_name(module.name.removesuffix(_SUFFIX) + ".py")


def main() -> None:
    """Write all of them."""
    for module in modules():
        twin_of(module).write_text(derived(module.read_text(encoding="utf-8"), module.name), encoding="utf-8")


def _formatted(text: str) -> str:
    for command in (["check", "--select", "I", "--fix"], ["format"]):
        name = str(RESOURCES / "derived.py")
        words = [sys.executable, "-m", "ruff", *command, "--quiet", "--stdin-filename", name, "-"]
        text = subprocess.run(words, input=text, capture_output=True, text=True, check=True).stdout  # noqa: S603
    return text


def _word(word: str) -> str:
    if word in _DROPPED:
        return ""
    return word.removeprefix("Async")


if __name__ == "__main__":
    main()
