"""Pages for people: one self-contained HTML file of a lesion, of an audit, or of several lesions; works offline."""

from cfexplain.report.lesion import Case, lesion_page
from cfexplain.report.render import load_case, render, render_explanation

__all__ = ["Case", "lesion_page", "load_case", "render", "render_explanation"]
