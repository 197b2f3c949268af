"""An opaque holder for what must never be shown."""

import hmac
from typing import NoReturn, Self

_MASK = "Secret(***)"


class Secret:
    """A text that shows itself only to `reveal()`.

    Its repr, str and format are a mask; JSON encoders and pickle refuse it; two secrets are compared in
    constant time. Copies are the same object, so `dataclasses.replace` and `copy` keep it closed.
    """

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The text itself. Call it only where the secret leaves for the one place that it is meant for."""
        return self._value

    def __repr__(self) -> str:
        return _MASK

    __str__ = __repr__

    def __format__(self, format_spec: str) -> str:
        return _MASK

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(
            self._value.encode(errors="surrogatepass"), other._value.encode(errors="surrogatepass")
        )

    __hash__ = None  # type: ignore[assignment]  # a secret is no dictionary key: its hash would tell on it

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: dict[int, object]) -> Self:
        return self

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        msg = "a secret is never pickled"
        raise TypeError(msg)
