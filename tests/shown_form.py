"""The form of a page, as a browser holds it until somebody changes it."""

from html.parser import HTMLParser


def shown_form(page: str) -> dict[str, str]:
    """What would be sent by whoever presses the button at once: every field's name with its text."""
    reader = _Reader()
    reader.feed(page)
    reader.close()
    return reader.fields


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.fields: dict[str, str] = {}
        self._open: str | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        said = {name: value or "" for name, value in attrs}
        if tag == "input" and "name" in said:
            self.fields[said["name"]] = said.get("value", "")
        elif tag in {"select", "textarea"}:
            self._open = said["name"]
            self.fields[self._open] = ""
        elif tag == "option" and "selected" in said and self._open is not None:
            self.fields[self._open] = said["value"]

    def handle_data(self, data: str) -> None:
        # Lines are sent with both their ends (HTML, "constructing the entry list").
        if self._open is not None and self.lasttag == "textarea":
            self.fields[self._open] += data.replace("\n", "\r\n")

    def handle_endtag(self, tag: str) -> None:
        if tag in {"select", "textarea"}:
            self._open = None
