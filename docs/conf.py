"""The documentation site: `make docs`."""

from __future__ import annotations

import os
import sys
import tomllib
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

_HERE = Path(__file__).parent
sys.path.insert(0, str(_HERE / "_extensions"))
_PROJECT = tomllib.loads((_HERE.parent / "pyproject.toml").read_text())["project"]

project = "dolambda"
author = _PROJECT["authors"][0]["name"]
copyright = author  # noqa: A001 - Sphinx's name
release = version = _PROJECT["version"]

extensions = [
    "generated_reference",
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.intersphinx",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "sphinx_design",
]
default_role = "py:obj"  # single backticks in docstrings: a link for a public name, else code
smartquotes_action = "D"  # dashes alone: quotes in prose are often those of code, to be copied
exclude_patterns = ["_build", "jupyter_execute", "reference/generated"]
html_theme = "furo"
html_title = f"dolambda {release}"
html_baseurl = _PROJECT["urls"]["Documentation"]  # the address that search engines show
html_favicon = "_static/favicon.svg"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_theme_options = {
    "source_repository": _PROJECT["urls"]["Source"],
    "source_branch": "main",
    "source_directory": "docs/",
}
pygments_style = "tango"
pygments_dark_style = "monokai"

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
myst_html_meta = {
    "description": _PROJECT["description"],
    "property=og:site_name": "dolambda",
    "property=og:description": _PROJECT["description"],
}
myst_links_external_new_tab = False
source_suffix = {".md": "myst-nb", ".rst": "restructuredtext"}

nb_execution_mode = os.environ.get("DOLAMBDA_DOCS_NOTEBOOKS", "cache")
nb_execution_timeout = 180
nb_execution_raise_on_error = True
nb_execution_show_tb = True
nb_merge_streams = True
nb_execution_in_temp = True

autodoc_typehints = "none"
autodoc_member_order = "bysource"
autodoc_class_signature = "mixed"
napoleon_google_docstring = True
napoleon_numpy_docstring = False

# Types of other projects are named in prose; only our own names are links.
nitpicky = False
intersphinx_mapping: dict[str, Any] = {}

linkcheck_timeout = 30
linkcheck_retries = 2
linkcheck_anchors = False
linkcheck_ignore = [
    _PROJECT["urls"]["Source"] + "/security/advisories/new",  # asks for a login
]


def setup(app: Any) -> None:
    """Register what follows."""
    app.connect("html-page-context", _address_from_the_root)


def _address_from_the_root(
    _app: Any, page: str, _template: str, context: dict[str, Any], _tree: Any
) -> None:
    """Let links of 404.html begin at the site's root: it is shown for addresses in any folder."""
    if page == "404":
        root = urlsplit(html_baseurl).path
        context["metatags"] = f'<base href="{root}">\n{context["metatags"]}'
