"""Sphinx configuration."""

from importlib.metadata import version as _version

project = "twofold"
author = "The twofold authors"
copyright = "2026, the twofold authors"
release = _version("twofold")
extensions = ["sphinx.ext.autodoc", "sphinx.ext.autosummary", "sphinx.ext.mathjax", "numpydoc", "myst_parser"]
exclude_patterns = ["_build"]
html_theme = "pydata_sphinx_theme"
html_title = f"twofold {release}"
autosummary_generate = True
autodoc_typehints = "none"
myst_enable_extensions = ["dollarmath"]
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False
# The README's links lead to files of the repository, which are not pages of this site.
suppress_warnings = ["myst.xref_missing", "myst.header"]
