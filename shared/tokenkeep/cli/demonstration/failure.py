"""What can go wrong with the demo itself."""

from tokenkeep.domain.errors import TokenkeepError


class DemoFailure(TokenkeepError):
    """The demo can't go on. The message is one line."""
