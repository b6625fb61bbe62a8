"""How Sphinx makes the documentation: `python -m sphinx -W docs docs/_build/html`."""

import os

from sphinx_gallery.sorting import ExplicitOrder

import sklearn_patt_lite

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # the gallery's output is its own

project = "sklearn-patt-lite"
author = "The sklearn-patt-lite developers"
copyright = f"2026, {author}"
version = release = sklearn_patt_lite.__version__

extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx_copybutton",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["_build"]
templates_path = ["_templates"]
default_role = "literal"  # as in scikit-learn's docstrings
nitpicky = False  # types in docstrings are scikit-learn's prose: "array-like of shape (n,)"

html_theme = "pydata_sphinx_theme"
html_title = "sklearn-patt-lite"
html_static_path = ["_static"]
html_css_files = ["narrow.css"]
html_theme_options = {
    "navigation_with_keys": False,
    "secondary_sidebar_items": ["page-toc"],
    "show_prev_next": True,
}

myst_heading_anchors = 3  # links to sections, as in README.md
autodoc_typehints = "none"  # docstrings say it better, and signatures stay short
numpydoc_show_class_members = False  # the template of classes shows them
# scikit-learn makes these, with links into its own documentation.
_REQUESTS = ("fit", "partial_fit", "predict", "predict_proba", "score", "split", "transform")
autodoc_default_options = {
    "exclude-members": ", ".join(f"set_{method}_request" for method in _REQUESTS) + ", set_output"
}
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True
copybutton_exclude = ".linenos, .gp, .go"

_GALLERY = "../examples/gallery"
sphinx_gallery_conf = {
    "examples_dirs": _GALLERY,
    "gallery_dirs": "gallery",
    "subsection_order": ExplicitOrder(
        [f"{_GALLERY}/{part}" for part in ("first_steps", "evaluation", "inspection", "shipping")]
    ),
    "within_subsection_order": "FileNameSortKey",
    "backreferences_dir": "gallery/backreferences",
    "doc_module": ("sklearn_patt_lite",),
    "image_srcset": ["2x"],  # sharp on phones
    "remove_config_comments": True,
    "show_signature": False,
}
