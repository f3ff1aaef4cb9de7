"""The browser app: explain one lesion at a time, for the person at this computer only."""

from cfexplain.app.server import launch

__all__ = ["launch"]
