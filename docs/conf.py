"""Configuration of the documentation: `sphinx-build -W docs docs/_build`."""

from __future__ import annotations

import os
import re
import shutil
from importlib.metadata import metadata
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sphinx.application import Sphinx

HERE = Path(__file__).parent

info = metadata("pellucid")
project = info["Name"]
author = "pellucid developers"
copyright = f"2026, {author}"
release = version = info["Version"]

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.intersphinx",
    "sphinx.ext.mathjax",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "sphinxcontrib.bibtex",
]
templates_path = ["_templates"]
exclude_patterns = ["_build", "**.ipynb_checkpoints"]

# The tutorials live beside the docs, where a reader of the repository looks for them. They are
# shown with the output they were committed with: running them is the work of .ci/run.
shutil.rmtree(HERE / "tutorials", ignore_errors=True)
shutil.copytree(
    HERE.parent / "tutorials", HERE / "tutorials", ignore=shutil.ignore_patterns(".*", "*.h5ad")
)
nb_execution_mode = "off"
nb_merge_streams = True
myst_enable_extensions = ["amsmath", "colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3

autosummary_generate = True
autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
default_role = "literal"
napoleon_google_docstring = False
napoleon_use_rtype = True
napoleon_use_param = True

bibtex_bibfiles = ["references.bib"]
bibtex_reference_style = "author_year"
bibtex_default_style = "alpha"

# References into this package must resolve. Those into others resolve where their inventories can
# be fetched, which a build without network cannot do.
nitpicky = True
nitpick_ignore_regex = [(r"py:.*", r"(?!pellucid).*")]
intersphinx_mapping = {
    "anndata": ("https://anndata.readthedocs.io/en/stable/", None),
    "matplotlib": ("https://matplotlib.org/stable/", None),
    "numpy": ("https://numpy.org/doc/stable/", None),
    "pandas": ("https://pandas.pydata.org/pandas-docs/stable/", None),
    "python": ("https://docs.python.org/3/", None),
    "scanpy": ("https://scanpy.readthedocs.io/en/stable/", None),
    "scipy": ("https://docs.scipy.org/doc/scipy/", None),
    "scvi-tools": ("https://docs.scvi-tools.org/en/stable/", None),
    "torch": ("https://pytorch.org/docs/stable/", None),
}
if not os.environ.get("READTHEDOCS"):
    intersphinx_mapping = {}

html_theme = "sphinx_book_theme"
html_title = project
html_theme_options = {
    "repository_url": "https://github.com/scverse/pellucid",
    "use_repository_button": True,
    "path_to_docs": "docs/",
    "navbar_persistent": [],
    "navigation_with_keys": False,
}


def plain_return_names(app, what, name, obj, options, lines) -> None:
    """Take the backticks off what a function writes: napoleon prints names in bold by itself."""
    lines[:] = [re.sub(r"^`([^`]+)`( : .*)?$", r"\1\2", line) for line in lines]


def setup(app: Sphinx) -> None:
    """Hook into autodoc, ahead of napoleon."""
    app.connect("autodoc-process-docstring", plain_return_names, priority=400)
