"""The page on which a user says who they are and whether the client may act for them."""

from html import escape
from string import Template

from starlette.responses import HTMLResponse

_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
_PAGE = Template("""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Demo provider: allow access?</title>
<style>body { font: 1rem/1.5 system-ui, sans-serif; max-width: 26rem; margin: 4rem auto; padding: 0 1rem }</style>
<main>
<h1>Allow access?</h1>
<p><strong>$client</strong> asks to act for you: <strong>$scope</strong>.</p>
<form method="post">
<p><label>Your name <input name="user" value="$user" required maxlength="100" autocomplete="username"></label></p>
<p><button name="decision" value="allow">Allow</button> <button name="decision" value="deny">Deny</button></p>
</form>
</main>
</html>
""")


def consent_page(*, client: str, scope: str, user: str) -> HTMLResponse:
    """The page. Its form comes back to the address it was asked at, with `user` and `decision` (`allow` or `deny`)."""
    fields = {"client": client, "scope": scope or "nothing in particular", "user": user}
    return HTMLResponse(_PAGE.substitute({name: escape(text) for name, text in fields.items()}), headers=_HEADERS)
