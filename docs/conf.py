"""How Sphinx builds the pages (`make docs`). Why Sphinx, and why so: docs/adr/0049."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "extensions"))

project = "tokenkeep"
copyright = "the tokenkeep authors"  # noqa: A001 - Sphinx's name for it
language = "en"

extensions = ["myst_parser", "sphinx_copybutton", "navigation", "outside_links"]
exclude_patterns = ["_build", "reference_docs", "extensions"]
root_doc = "index"

# The anchors that forges make of headings; links in our pages name those.
myst_heading_anchors = 4
# `-- "a" ...` in prose stays as it is written; it is often a command.
smartquotes = False
nitpicky = True
suppress_warnings = ["myst.header"]  # a derived page may leave a level of headings out

# What stands behind a prompt is copied without it, and output not at all.
copybutton_prompt_text = r">>> |\$ "
copybutton_prompt_is_regexp = True
copybutton_exclude = ".linenos, .gp, .go"

html_theme = "furo"
html_title = "tokenkeep"
html_static_path = ["static"]
html_css_files = ["tokenkeep.css"]
html_copy_source = False
html_show_sphinx = False
html_theme_options = {
    "light_css_variables": {"color-brand-primary": "#0b6b57", "color-brand-content": "#0b6b57"},
    "dark_css_variables": {"color-brand-primary": "#5fd0b4", "color-brand-content": "#5fd0b4"},
}
