"""Pages for people: one self-contained HTML file of a lesion, of an audit, or of several lesions; works offline."""

from cfexplain.report.audit import audit_page
from cfexplain.report.lesion import lesion_page
from cfexplain.report.render import render

__all__ = ["audit_page", "lesion_page", "render"]
