"""The address and the headers of a request that bears credentials: what sends it reads them, what quotes or copies it doesn't."""

from collections.abc import ItemsView, Iterable, KeysView, ValuesView

import httpx

from tokenkeep.client.errors import NotConfigured

Header = tuple[bytes, bytes]


class BearingUrl(httpx.URL):
    """An address that holds a credential. httpx logs each request's at INFO, and errors quote it: they get it without.

    `was_read`: whether anybody has asked for what holds the credential.
    """

    def __init__(self, url: httpx.URL, bare: httpx.URL) -> None:
        super().__init__(url)
        self.bare = bare
        self.was_read = False

    @property
    def path(self) -> str:
        """As of any address."""
        self.was_read = True
        return super().path

    @property
    def query(self) -> bytes:
        """As of any address."""
        self.was_read = True
        return super().query

    @property
    def params(self) -> httpx.QueryParams:
        """As of any address."""
        self.was_read = True
        return super().params

    @property
    def raw_path(self) -> bytes:
        """As of any address."""
        self.was_read = True
        return super().raw_path

    def __str__(self) -> str:
        return str(self.bare)

    def __repr__(self) -> str:
        return repr(self.bare)

    def join(self, url: httpx.URL | str) -> httpx.URL:
        """Where a redirect leads."""
        return httpx.URL(self).join(url)


class BearingHeaders(httpx.Headers):
    """Headers with credentials that are there to be read, but are in no copy: httpx gives a redirect's request a copy.

    Raises:
        NotConfigured: This httpx copies in a way that takes them along.
    """

    def __init__(self, bare: httpx.Headers, borne: Iterable[Header]) -> None:
        super().__init__(bare)
        self._borne: list[Header] = []
        borne = list(borne)
        names = [name.decode() for name, _ in borne]
        for name in names:
            self.pop(name, None)
        self._borne = borne
        if any(name in httpx.Headers(self) for name in names):
            raise NotConfigured("this version of httpx would take a key in a header of its own along to other origins")

    @property
    def raw(self) -> list[Header]:
        """As of any headers."""
        return [*super().raw, *self._borne]

    def keys(self) -> KeysView[str]:
        """As of any headers."""
        return self._whole().keys()

    def values(self) -> ValuesView[str]:
        """As of any headers."""
        return self._whole().values()

    def items(self) -> ItemsView[str, str]:
        """As of any headers."""
        return self._whole().items()

    def multi_items(self) -> list[tuple[str, str]]:
        """As of any headers."""
        return self._whole().multi_items()

    def get_list(self, key: str, split_commas: bool = False) -> list[str]:  # noqa: FBT001, FBT002 - httpx's form
        """As of any headers."""
        return self._whole().get_list(key, split_commas)

    def __getitem__(self, key: str) -> str:
        return self._whole()[key]

    def __setitem__(self, key: str, value: str) -> None:
        self._let_go(key)
        super().__setitem__(key, value)

    def __delitem__(self, key: str) -> None:
        if not self._let_go(key):
            super().__delitem__(key)

    def __contains__(self, key: object) -> bool:
        return key in self._whole()

    def __len__(self) -> int:
        return len(self._whole())

    def __repr__(self) -> str:
        return repr(httpx.Headers(self))

    def _whole(self) -> httpx.Headers:
        return httpx.Headers(self.raw)

    def _let_go(self, key: str) -> bool:
        """Whether one of that name was borne."""
        kept = [(name, value) for name, value in self._borne if name.lower() != key.lower().encode()]
        gone = len(kept) < len(self._borne)
        self._borne = kept
        return gone
