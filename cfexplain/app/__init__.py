"""A page for one lesion on this computer: drop a picture, watch its counterfactual grow, keep the record."""

from cfexplain.app.page import build
from cfexplain.app.server import launch

__all__ = ["build", "launch"]
