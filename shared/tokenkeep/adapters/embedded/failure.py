"""What can go wrong with servers and processes of our own."""

from tokenkeep.domain.errors import TokenkeepError


class EmbeddedFailure(TokenkeepError):
    """An embedded server, or a process under `up`, can't be started or kept running. The message is one line."""


class AlreadyRunning(EmbeddedFailure):
    """Another process uses the same data directory."""
