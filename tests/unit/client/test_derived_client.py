"""The twins for programs that block are what comes of those for event loops, and every name is where it is said to be."""

import ast
import inspect
import runpy
from pathlib import Path

from tokenkeep import client
from tokenkeep.client.tokens import Tokens
from tokenkeep.client.tokens_async import AsyncTokens

HOUSE = Path(__file__).parents[3]
DERIVING = runpy.run_path(str(HOUSE / "deploy" / "derive_client.py"))


def test_every_twin_is_what_comes_of_the_other() -> None:
    modules = DERIVING["modules"]()
    assert len(modules) >= 5
    for module in modules:
        twin = DERIVING["twin_of"](module)
        derived = DERIVING["derived"](module.read_text(encoding="utf-8"), module.name)
        assert twin.read_text(encoding="utf-8") == derived, (
            f"run make client: {twin.name} is not what {module.name} says"
        )


def test_a_difference_between_twins_is_seen() -> None:
    text = '"""Doc."""\n\n\nasync def call(ask: AsyncAsker) -> None:\n    """Await."""\n    await ask("await")\n'
    assert DERIVING["derived"](text, "x_async.py") == (
        '"""Doc."""\n# Derived from x_async.py by `make client`: change that one.\n\n\n'
        'def call(ask: Asker) -> None:\n    """Await."""\n    ask("await")\n'
    )


def test_every_name_is_loaded_from_where_type_checkers_are_told_it_is() -> None:
    tree = ast.parse(Path(client.__file__).read_text(encoding="utf-8"))
    [checked] = [node for node in tree.body if isinstance(node, ast.If) and isinstance(node.test, ast.Name)]
    told = {
        alias.name: node.module for node in checked.body if isinstance(node, ast.ImportFrom) for alias in node.names
    }
    assert told == client._HOME_OF
    assert sorted(told) == sorted(client.__all__)
    assert [name for name in client.__all__ if not hasattr(client, name)] == []


def test_both_clients_have_the_same_calls_with_the_same_arguments() -> None:
    pairs = [
        (getattr(client, name.removeprefix("Async")), getattr(client, name))
        for name in ("AsyncTokenkeep", "AsyncEvents", "AsyncDeadLetters")
    ]
    for blocking, on_loop in (*pairs, (Tokens, AsyncTokens)):
        names = {name for name in vars(blocking) if not name.startswith("_")}
        assert names == {name for name in vars(on_loop) if not name.startswith("_")}
        for name in names:
            one, other = getattr(blocking, name), getattr(on_loop, name)
            if inspect.isfunction(one):
                more = {"handler_timeout"}  # only tasks can be cancelled
                parameters = set(inspect.signature(other).parameters) - more
                assert set(inspect.signature(one).parameters) == parameters, name
