"""Audits of classifiers: an explanation per image, on one machine or many, resumable, with a summary."""

from cfexplain.audit.engine import local, on_cores, on_ray
from cfexplain.audit.row import columns
from cfexplain.audit.run import Audit, audit
from cfexplain.audit.section import Check, Section, Summary

__all__ = ["Audit", "Check", "Section", "Summary", "audit", "columns", "local", "on_cores", "on_ray"]
