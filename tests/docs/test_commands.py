"""What pages have their reader type exists: commands of ours with their options, settings, and examples that can be read."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import typer

from markdown_pages import ROOT
from tokenkeep.cli.main import app
from tokenkeep.client import Event
from tokenkeep.settings import PREFIX, Settings

DOCS = ROOT / "docs"
# Decisions tell of what was.
PAGES = sorted(
    path
    for path in (*DOCS.rglob("*.md"), ROOT / "README.md", ROOT / "SECURITY.md")
    if path.parent.name != "adr" and "_build" not in path.parts
)
OTHERS = {"TOKENKEEP_SECRET", "TOKENKEEP_URL", "TOKENKEEP_KEY"}
"""Variables of programs that the pages show, and not of ours."""


def commands(page: Path) -> Iterator[str]:
    """Lines of ours in blocks of code."""
    text = page.read_text(encoding="utf-8")
    blocks = re.findall(r"^```(?:sh|console)?\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    indented = re.findall(r"^    (?:\.venv/bin/)?tokenkeep .*$", text, re.MULTILINE)
    for line in [*"\n".join(blocks).splitlines(), *indented]:
        found = re.match(r"\s*(?:[A-Z_]+=\S+ )*(?:\.venv/bin/)?tokenkeep ([a-z].*)$", line)
        if found:
            yield re.split(r"\s+(?:#|\||>|&&|<)", found[1].replace("\\", ""))[0]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_command_on_a_page_exists(page: Path) -> None:
    for line in commands(page):
        words = line.split()
        command: Any = typer.main.get_command(app)
        while words and hasattr(command, "commands"):
            found = command.commands.get(words.pop(0))
            assert found is not None, line
            command = found
        options = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
        given = {word.strip("[]") for word in words if word.strip("[").startswith("--")}
        assert {word.partition("=")[0] for word in given} <= options | {"--help"}, line


def test_commands_are_found_on_the_pages() -> None:
    assert sum(1 for page in PAGES for _ in commands(page)) > 30


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_setting_on_a_page_is_one(page: Path) -> None:
    settings = {PREFIX + name.upper() for name in Settings.model_fields} | OTHERS
    named = set(re.findall(r"\bTOKENKEEP_[A-Z][A-Z_]*[A-Z]\b", page.read_text(encoding="utf-8")))
    assert named <= settings


@pytest.mark.parametrize(
    ("reason", "link", "said"),
    [
        ("revoked", "https://t.example/c", "write to the owner of acc_1: please reconnect, https://t.example/c\n"),
        ("in_doubt", None, "acc_1 is off: in_doubt\n"),
        ("by_operator", None, "acc_1 is off: by_operator\n"),
    ],
)
def test_the_handler_of_disabled_accounts_asks_whom_it_should(
    reason: str, link: str | None, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    page = (DOCS / "how-to" / "handle-disabled-accounts.md").read_text(encoding="utf-8")
    [block] = re.findall(r"^```python\n(# disabled\.py\n.*?)^```$", page, re.DOTALL | re.MULTILINE)
    module: dict[str, Any] = {}
    exec(compile(block, "disabled.py", "exec"), module)  # noqa: S102 - it is ours
    data = {"account_id": "acc_1", "reason": reason} | ({} if link is None else {"connect_url": link})
    module["handle"](Event("evt_1", "tokenkeep.account.disabled", "acc_1", 1, datetime.now(UTC), data, {}))
    assert capsys.readouterr().out == said
