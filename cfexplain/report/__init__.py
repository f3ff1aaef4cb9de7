"""Self-contained HTML pages of an explanation, of an audit, or of several explanations; they work offline."""

from cfexplain.report.lesion import Case, lesion_page
from cfexplain.report.render import load_case, render, render_explanation

__all__ = ["Case", "lesion_page", "load_case", "render", "render_explanation"]
