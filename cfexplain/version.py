"""Which versions made a result."""

import platform
from functools import cache
from importlib.metadata import PackageNotFoundError, version

NAMES = ("cfexplain", "torch", "torchvision", "timm", "captum", "numpy", "pandas", "albumentations")


@cache
def versions() -> dict[str, str]:
    """Installed versions of this package and what it builds on; 'absent' where one is missing."""
    found = {"python": platform.python_version()}
    for name in NAMES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "absent"
    return found
