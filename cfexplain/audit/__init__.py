"""Auditing classifiers in batch: rows that survive a kill, one machine or many, and what they say."""

from cfexplain.audit.engine import local as local
from cfexplain.audit.engine import on_cores as on_cores
from cfexplain.audit.engine import on_ray as on_ray
from cfexplain.audit.run import Audit as Audit
from cfexplain.audit.run import audit as audit
from cfexplain.audit.section import Check as Check
from cfexplain.audit.section import Section as Section
from cfexplain.audit.section import Summary as Summary

__all__ = ["Audit", "Check", "Section", "Summary", "audit", "local", "on_cores", "on_ray"]
