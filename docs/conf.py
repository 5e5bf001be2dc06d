"""Configuration of Sphinx: the astropy ecosystem's, and what is gpures' own."""

import importlib.metadata
import shutil
import sys
from pathlib import Path

from sphinx_astropy.conf.v3 import *  # noqa: F403
from sphinx_astropy.conf.v3 import exclude_patterns, extensions, intersphinx_mapping

DOCS = Path(__file__).parent
sys.path.insert(0, str(DOCS))  # for facts.py, and for what the figures share

# Pages of names that there were at the last build would be in nobody's list of contents.
shutil.rmtree(DOCS / "api", ignore_errors=True)

# Notebooks are pages, which are run for their outputs. `-D nb_execution_mode=off` leaves these out.
shutil.copytree(DOCS.parent / "notebooks", DOCS / "notebooks", dirs_exist_ok=True)
nb_execution_mode = "cache"
nb_execution_cache_path = str(DOCS.parent / "build" / "notebooks")
nb_execution_timeout = 600
nb_execution_raise_on_error = True

project = "gpures"
author = "The gpures developers"
copyright = f"2026, {author}"  # noqa: A001  (Sphinx's name)
version = release = importlib.metadata.version("gpures")

extensions += ["counts", "facts", "mathml", "myst_nb"]
html_math_renderer = "mathml"
exclude_patterns += ["figures"]

# `-D disable_intersphinx=1` builds without a network; the links to other packages' pages are missing then.
intersphinx_mapping |= {
    "gwcs": ("https://gwcs.readthedocs.io/en/stable/", None),
    "drizzle": ("https://spacetelescope-drizzle.readthedocs.io/en/stable/", None),
}

# Names within gpures must exist; those of other packages are only known with a network, and the words by which
# docstrings describe a type are not names.
nitpicky = True
OTHERS = (
    "astropy asdf collections cupy drizzle gwcs ipywidgets matplotlib numpy os pathlib roman_datamodels stcal "
    "stdatamodels sys tqdm typing"
)
nitpick_ignore_regex = [
    ("py:.*", rf"({OTHERS.replace(' ', '|')})(\..*)?"),
    ("py:class", r"gpures\.(resample\.\w+|mosaicking\.plan)\.\w+|Plan"),  # of the inside
    ("py:.*", "None|bool|callable|dict|float|int|list|object|str|tuple|[A-Z][A-Za-z]*(Error|Warning)|Path"),
]

numpydoc_xref_param_type = False
autodoc_typehints = "none"  # the descriptions say them, in words
automodapi_inheritance_diagram = False

# ---- figures --------------------------------------------------------------------------------------------------------

plot_formats = [("png", 144)]
plot_html_show_formats = False
plot_html_show_source_link = False
plot_apply_rcparams = True
plot_rcparams = {
    "axes.spines.right": False,
    "axes.spines.top": False,
    "font.size": 9.0,
    "legend.frameon": False,
}

# ---- pages ----------------------------------------------------------------------------------------------------------

html_title = f"gpures {release.partition('+')[0]}"
html_static_path = ["_static"]
html_css_files = ["gpures.css"]
html_logo = "_static/logo.svg"
html_favicon = "_static/logo.svg"
html_copy_source = False

# The theme is astropy's; the site that it leads to, and the count of its visitors, are not gpures'.
html_theme_options = {
    "sst_project_name": "gpures",
    "sst_site_root": "",
    "goatcounter_analytics_url": "",
    "rtd_search": False,  # which asks Read the Docs
    "navbar_links": [],
    "footer_links": [],
}
