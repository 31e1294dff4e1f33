"""The site: ``sphinx-build docs docs/_build/html`` with skrbm[docs] installed.

It is built without a network.  ``-t online`` adds links into the sites of Python and of
the libraries that skrbm works with.
"""

from importlib import metadata

# For an example: sphinx-gallery looks up what it imports, even where it is not run.
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sphinx_gallery.sorting import ExplicitOrder

# -- project -------------------------------------------------------------------

project = "skrbm"
author = "The skrbm developers"
project_copyright = author
version = release = metadata.version(project)

# Addresses have one place: [project.urls] in pyproject.toml.
urls = dict(
    entry.split(", ", maxsplit=1)
    for entry in metadata.metadata(project).get_all("Project-URL")
)

extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["_build", "examples"]
templates_path = ["_templates"]

# -- text ------------------------------------------------------------------------

smartquotes = False  # "auto" is a value, and v' is a transpose
highlight_language = "none"  # what is indented in a docstring is a formula
highlight_options = {"python": {"stripnl": True}}
myst_enable_extensions = ["colon_fence", "substitution"]
myst_substitutions = {"source": f"[source]({urls['Source']})"}
myst_heading_anchors = 3

# Only code is copied: no prompts, no output.
copybutton_exclude = ".linenos, .gp, .go"

# -- API from docstrings -----------------------------------------------------------

default_role = "autolink"
autodoc_typehints = "none"  # the types in docstrings say more
numpydoc_show_inherited_class_members = False
numpydoc_class_members_toctree = False
toc_object_entries_show_parents = "hide"

# -- links -------------------------------------------------------------------------

if tags.has("online"):  # noqa: F821, Sphinx gives it
    extensions.append("sphinx.ext.intersphinx")
    intersphinx_mapping = {
        "matplotlib": ("https://matplotlib.org/stable/", None),
        "numpy": ("https://numpy.org/doc/stable/", None),
        "pandas": ("https://pandas.pydata.org/docs/", None),
        "python": ("https://docs.python.org/3/", None),
        "scipy": ("https://docs.scipy.org/doc/scipy/", None),
        "sklearn": ("https://scikit-learn.org/stable/", None),
    }
else:
    # What other sites document cannot be linked to without a network.
    nitpick_ignore_regex = [
        (r"py:.*", r"(matplotlib|numpy|pandas|scipy|sklearn)\..*"),
    ]

# -- gallery -------------------------------------------------------------------------

sphinx_gallery_conf = {
    "examples_dirs": "examples",
    "gallery_dirs": "auto_examples",
    "filename_pattern": r"/plot_",
    "within_subsection_order": ExplicitOrder(
        [
            "plot_digits_filters.py",
            "plot_features_or_raw.py",
            "plot_digits_classification.py",
            "plot_search_surface.py",
            "plot_table.py",
            "plot_deep_belief_features.py",
            "plot_sampling.py",
            "plot_two_populations.py",
            "plot_anomalies.py",
            "plot_streaming.py",
            "*",
        ]
    ),
    "abort_on_example_error": True,
    "capture_repr": (),  # what is printed is shown, and not what a line returns
    "min_reported_time": 1,
    "write_computation_times": False,
    "image_srcset": ["2x"],
    "backreferences_dir": "generated/backreferences",
    "doc_module": ("skrbm",),
    "show_signature": False,
}

# -- theme -----------------------------------------------------------------------------

html_theme = "pydata_sphinx_theme"
html_title = project
html_baseurl = urls["Documentation"]
html_favicon = "_static/logo.svg"
html_static_path = ["_static"]
html_css_files = ["custom.css"]
html_copy_source = False
html_show_sourcelink = False
html_sidebars = {
    "**": ["sidebar-nav-bs"],
    # These have no pages beside them to list.
    "index": [],
    "start": [],
    "benchmarks/README": [],
    "benchmarks/details": [],
    "changelog": [],
    "comparison": [],
    "versions": [],
    "design": [],
}
html_theme_options = {
    "logo": {
        "text": project,
        "image_light": "_static/logo.svg",
        "image_dark": "_static/logo.svg",
    },
    "icon_links": [
        {
            "name": "Source",
            "url": urls["Source"],
            "icon": "fa-solid fa-code-branch",
        }
    ],
    "header_links_before_dropdown": 6,
    "show_toc_level": 2,
    "secondary_sidebar_items": {"**": ["page-toc"], "index": []},
    "footer_start": ["copyright"],
    "footer_end": [],
}


def find_in_package(app, env, node, contnode):
    """Let docstrings of every module name what skrbm exports: `BinaryCDRBM.fit`."""
    return env.domains.python_domain.resolve_xref(
        env,
        node["refdoc"],
        app.builder,
        node["reftype"],
        f"{project}.{node['reftarget']}",
        node,
        contnode,
    )


def setup(app):
    app.connect("missing-reference", find_in_package)
