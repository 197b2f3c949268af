"""What ends one of these commands with a line."""

from tokenkeep.domain.errors import TokenkeepError


class ApiRefused(TokenkeepError):
    """The API did not do what it was asked for. `code` is its problem's, None if it gave no answer that can be read.

    `field` is what it names as wrong, None where it names nothing.
    """

    def __init__(
        self, message: str, *, status: int | None = None, code: str | None = None, field: str | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.field = field


class BrokenOff(TokenkeepError):
    """The connection, or the stream on it, ended too early. The same request may be made again."""
