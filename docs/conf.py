"""Sphinx configuration."""

from importlib.metadata import version as _version
from typing import Any

from matplotlib.figure import Figure
from sklearn.base import ClassifierMixin

project = "twofold"
author = "The twofold authors"
copyright = "2026, the twofold authors"
release = _version("twofold")
extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "docs_mathml",
    "numpydoc",
    "myst_parser",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["_build", "examples", "static", "gallery/*.ipynb", "gallery/*.py", "gallery/*.md5"]
html_theme = "pydata_sphinx_theme"
html_title = f"twofold {release}"
html_theme_options = {"show_toc_level": 2, "navigation_with_keys": False, "header_links_before_dropdown": 5}
html_math_renderer = "mathml"
html_sidebars: dict[str, list[str]] = {"*": []}  # pages of folders have one
html_static_path = ["static"]
html_css_files = ["twofold.css"]
html_copy_source = False
autosummary_generate = True
autodoc_typehints = "none"
myst_enable_extensions = ["dollarmath"]
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False
# Benchmark tables are files of their own, with their own headings; the figure scraper cannot be pickled.
suppress_warnings = ["myst.header", "config.cache"]
# It refers to a page of scikit-learn's documentation.
ClassifierMixin.score.__doc__ = ClassifierMixin.score.__doc__.replace(":ref:`accuracy <accuracy_score>`", "accuracy")


def _figures(block: tuple[Any, ...], block_vars: dict[str, Any], gallery_conf: dict[str, Any]) -> str:
    """Save the figure that a block of an example has made, though it is not pyplot's."""
    from sphinx_gallery.scrapers import figure_rst

    figure = block_vars["example_globals"].get("figure")
    if not isinstance(figure, Figure) or getattr(figure, "shown", False):
        return ""
    path = next(block_vars["image_path_iterator"])
    figure.savefig(path, dpi=100)
    figure.shown = True
    return str(figure_rst([path], gallery_conf["src_dir"]))


sphinx_gallery_conf = {
    "examples_dirs": "examples",
    "gallery_dirs": "gallery",
    "image_scrapers": (_figures, "matplotlib"),
    "matplotlib_animations": (True, "jshtml"),
    "capture_repr": (),
    "within_subsection_order": "docs_order.ExampleOrder",
    "abort_on_example_error": True,
    "show_signature": False,
    "write_computation_times": False,
    "download_all_examples": False,
}
