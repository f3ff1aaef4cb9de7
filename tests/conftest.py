"""What several tests share."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

if "PYTEST_XDIST_WORKER" in os.environ:  # the workers share the cores; what they start does too
    os.environ["OMP_NUM_THREADS"] = "1"

CHROMIUM = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip


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


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Debian's Chromium, for each module anew: Playwright's event loop must not outlive the tests that need it."""
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="Playwright is not installed: pip install playwright"
    )
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("there is no chromium: apt-get install chromium")
    with playwright.sync_playwright() as started:
        opened = started.chromium.launch(executable_path=chromium, args=CHROMIUM)
        yield opened
        opened.close()
