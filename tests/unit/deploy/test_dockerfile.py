"""deploy/Dockerfile, by hadolint; tests/integration/deploy carries it out."""

from pathlib import Path

import pytest

from deployment import ROOT, need_checker, said_by
from dockerfile import DOCKERFILE, allowed, instructions, stages


def test_hadolint_finds_nothing_to_say() -> None:
    assert said_by(need_checker(program="hadolint"), DOCKERFILE) == ""


def test_the_base_image_is_pinned_by_its_digest() -> None:
    (base,) = [it.text for it in instructions() if it.name == "ARG" and it.text.startswith("PYTHON_IMAGE=")]
    assert "@sha256:" in base
    assert {stage[0].words[0] for stage in stages()} == {"${PYTHON_IMAGE}"}


def test_all_that_it_copies_is_let_through_and_nothing_else() -> None:
    copied = {
        word.rstrip("/")
        for it in instructions()
        if it.name == "COPY" and not it.text.startswith("--from=")
        for word in it.words[:-1]
    }
    assert copied == set(allowed())
    assert all((ROOT / path).exists() for path in copied)


@pytest.mark.parametrize("lock", ["server.txt", "build.txt"])
def test_what_it_installs_is_what_the_tests_ran_with(lock: str) -> None:
    def pins(name: str) -> set[str]:
        lines = (ROOT / "requirements" / name).read_text(encoding="utf-8").splitlines()
        return {line.split()[0] for line in lines if "==" in line and line[0].isalnum()}

    assert pins(lock)
    assert pins(lock) <= pins("dev.txt")


def test_what_must_not_get_in_is_not_let_through() -> None:
    ways = [Path(path) for path in allowed()]
    for private in ("secrets", ".tokenkeep", ".git", ".env", "tests", "compose.yaml"):
        assert not [way for way in ways if Path(private) in (way, *way.parents)], private


def test_it_ends_as_a_user_with_a_number_in_one_entrypoint() -> None:
    last = {it.name: it for it in stages()[-1]}
    assert last["USER"].text == "10001:10001"
    assert last["ENTRYPOINT"].words == ["tokenkeep"]
    assert last["STOPSIGNAL"].text == "SIGTERM"
    assert last["VOLUME"].words == ["/var/lib/tokenkeep"]
