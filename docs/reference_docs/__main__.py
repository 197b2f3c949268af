"""`python -m reference_docs`: write the derived pages anew, and remove those that are derived no more."""

from reference_docs.pages import REFERENCE, derived, is_derived


def main() -> None:
    """Write them."""
    pages = derived()
    for path in REFERENCE.rglob("*.md"):
        if is_derived(path) and path.relative_to(REFERENCE).as_posix() not in pages:
            path.unlink()
    for name, text in pages.items():
        path = REFERENCE / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
