"""Who follows a runbook finds what it names: commands, settings, log lines, members."""

import re
from pathlib import Path
from typing import Any

import typer

from tokenkeep.cli.main import app
from tokenkeep.settings import PREFIX, Settings

ROOT = Path(__file__).parents[2]
PAGES = sorted((ROOT / "docs" / "runbooks").glob("*.md"))
POSTGRES = {"xact_start", "pg_terminate_backend", "pg_stat_activity", "application_name"}


def code_of(page: Path) -> list[str]:
    """What stands between backticks."""
    return re.findall(r"`([^`]+)`", page.read_text(encoding="utf-8"))


def test_every_word_of_ours_in_a_runbook_is_in_the_code() -> None:
    modules = [path for room in ("shared", "services") for path in (ROOT / room).rglob("*.py")]
    known = {word for path in modules for word in re.findall(r"\w+", path.read_text(encoding="utf-8"))} | POSTGRES
    for page in PAGES:
        words = {word for code in code_of(page) for word in re.findall(r"(?<![\w/-])[a-z]+(?:_[a-z]+)+(?!\w)", code)}
        assert {word for word in words if not word.startswith("tokenkeep_")} <= known, page.name


def test_every_setting_in_a_runbook_is_one() -> None:
    settings = {PREFIX + name.upper() for name in Settings.model_fields}
    named = {word for page in PAGES for word in re.findall(r"TOKENKEEP_[A-Z_]+", page.read_text(encoding="utf-8"))}
    assert named <= settings
    assert len(named) > 8


def test_every_command_in_a_runbook_exists() -> None:
    commands = [code for page in PAGES for code in code_of(page) if code.startswith("tokenkeep ")]
    assert len(commands) > 5
    for line in commands:
        words = line.split()[1:]
        command: Any = typer.main.get_command(app)
        while words and hasattr(command, "commands"):
            command = command.commands.get(words.pop(0))
            assert command is not None, line
        options = {name for parameter in command.params for name in parameter.opts}
        assert {word for word in words if word.startswith("--")} <= options, line
