"""`/docs`: the API's description as one plain page. No script, nothing from elsewhere: it works behind any firewall."""

from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

from tokenkeep_api.described_shapes import METHODS, kind_of, resolved, schemas, shapes

_STYLE = """
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
body { max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
code, pre { font-family: ui-monospace, monospace; font-size: .9em; }
h2 { margin-top: 2.5rem; border-bottom: 1px solid #8886; }
section { margin: 1.5rem 0; }
h3 { font-family: ui-monospace, monospace; font-size: 1rem; margin: 0; }
table { border-collapse: collapse; margin: .5rem 0; }
td, th { text-align: left; vertical-align: top; padding: .15rem .8rem .15rem 0; }
nav a { margin-right: 1rem; }
"""
PAGE_POLICY = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"
"""The page's Content-Security-Policy: its own style and nothing else."""


def render_reference(document: Mapping[str, Any]) -> str:
    """The page that shows an OpenAPI document."""
    by_tag: dict[str, list[str]] = {}
    for path, operations in document["paths"].items():
        for method in METHODS:
            if method in operations:
                operation = operations[method]
                section = "".join(_operation(document, path, method, operation))
                by_tag.setdefault(operation.get("tags", ["other"])[0], []).append(section)
    info = document["info"]
    links = "".join(f'<a href="#{_anchor(tag)}">{escape(tag)}</a>' for tag in by_tag)
    body = "".join(f'<h2 id="{_anchor(tag)}">{escape(tag)}</h2>{"".join(sections)}' for tag, sections in by_tag.items())
    title = escape(f"{info['title']} {info['version']}")
    about = "".join(f"<p>{_text(paragraph)}</p>" for paragraph in info["description"].split("\n\n"))
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style></head><body><h1>{title}</h1>'
        f'{about}<p>For machines: <a href="openapi.json">openapi.json</a></p><nav>{links}</nav>{body}</body></html>'
    )


def _operation(document: Mapping[str, Any], path: str, method: str, operation: Mapping[str, Any]) -> Iterator[str]:
    yield f'<section id="{escape(operation["operationId"])}"><h3>{method.upper()} {escape(path)}</h3>'
    yield f"<p>{_text(operation.get('description', ''))}</p>"
    scopes = [scope for scheme in operation.get("security", []) for names in scheme.values() for scope in names]
    yield f"<p>Scope: {', '.join(f'<code>{escape(scope)}</code>' for scope in scopes)}</p>"
    if rows := [_row(one["name"], one["schema"], one.get("required"), one) for one in operation.get("parameters", [])]:
        yield f"<table><tr><th>parameter</th><th></th><th></th></tr>{''.join(rows)}</table>"
    if body := operation.get("requestBody"):
        for title, schema in schemas("body", body["content"]):
            yield "".join(_members(document, title, schema))
    for status, response in operation["responses"].items():
        for title, schema in schemas(f"answer {status}", response.get("content", {})):
            yield "".join(_members(document, title, schema))
    yield "</section>"


def _members(document: Mapping[str, Any], title: str, schema: Mapping[str, Any]) -> Iterator[str]:
    for shape in shapes(document, schema):
        properties = dict(shape.get("properties", {}))
        if "data" in properties:  # the envelope says nothing that its content does not
            yield from _members(document, title, properties["data"])
            continue
        required = shape.get("required", [])
        rows = [_row(name, resolved(document, of), name in required, of) for name, of in properties.items()]
        if rows:
            yield f"<table><tr><th>{escape(title)}</th><th></th><th></th></tr>{''.join(rows)}</table>"


def _row(name: str, schema: Mapping[str, Any], required: object, of: Mapping[str, Any]) -> str:
    kind = kind_of(schema) + (", required" if required else "")
    about = of.get("description", schema.get("description", ""))
    return f"<tr><td><code>{escape(name)}</code></td><td>{escape(kind)}</td><td>{_text(about)}</td></tr>"


def _text(markdown: str) -> str:
    """Text with `code` marked; the only markup that our descriptions use."""
    pieces = escape(markdown).split("`")
    return "".join(f"<code>{piece}</code>" if index % 2 else piece for index, piece in enumerate(pieces))


def _anchor(tag: str) -> str:
    return escape(tag.replace(" ", "-"))
