"""What several tests share."""

import os
from pathlib import Path

import pytest

if "PYTEST_XDIST_WORKER" in os.environ:  # the workers share the cores; what they start does too
    os.environ["OMP_NUM_THREADS"] = "1"


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of real data; tests that need it are skipped where it is absent."""
    folder = Path(os.environ.get("CFEXPLAIN_DATA", Path(__file__).parents[2] / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"there is no real data at {folder}: set CFEXPLAIN_DATA to its folder")
    return folder


@pytest.fixture(scope="session")
def isic_data(data: Path) -> Path:
    """The folder with the ISIC data sets."""
    folder = data / "isic"
    if not folder.is_dir():
        pytest.skip(f"there are no ISIC data sets at {folder}: set CFEXPLAIN_DATA to the folder that holds isic/")
    return folder
