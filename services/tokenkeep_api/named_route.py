"""A plain route that can be found in the scope, as FastAPI's are: the log names it."""

from starlette.routing import Match, Route
from starlette.types import Scope


class NamedRoute(Route):
    """Starlette's route; it leaves itself in the scope."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Whether it serves the request, with itself among what is put into the scope."""
        match, found = super().matches(scope)
        return match, {**found, "route": self}
