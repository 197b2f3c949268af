"""Which pages are derived, and from what."""

from pathlib import Path

from reference_docs.api_pages import api_pages
from reference_docs.command_page import command_page
from reference_docs.event_page import event_page
from reference_docs.settings_page import settings_page

REFERENCE = Path(__file__).parents[1] / "reference"
_MARK = "<!-- Derived from {source}: change it there, then `make reference`. -->\n\n"


def derived() -> dict[str, str]:
    """The derived pages by their paths in docs/reference."""
    return {
        "settings.md": _marked("shared/tokenkeep/settings.py", settings_page()),
        "command-line.md": _marked("the commands of shared/tokenkeep/cli", command_page()),
        "event-types.md": _marked("deploy/asyncapi.yaml", event_page()),
        **{f"api/{name}": _marked("the API's OpenAPI document", text) for name, text in api_pages().items()},
    }


def is_derived(path: Path) -> bool:
    """Whether a page says of itself that it is derived."""
    return path.read_text(encoding="utf-8").startswith(_MARK.partition("{")[0])


def _marked(source: str, text: str) -> str:
    return _MARK.format(source=source) + text.strip() + "\n"
