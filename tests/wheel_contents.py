"""Refuse a wheel that would install anything but the three packages, or weights beyond their budget."""

import sys
import zipfile
from pathlib import Path

PACKAGES = {"cfexplain", "cfexplain_classifiers", "cfexplain_datasets"}
MOST_MEGABYTES = 24
NEEDED = "cfexplain/generators/weights/isic2017.safetensors"
"""Without it the default method does not start."""


def main(folder: str) -> None:
    wheel = max(Path(folder).glob("*.whl"), key=lambda p: p.stat().st_mtime)
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        weights = sum(i.file_size for i in archive.infolist() if i.filename.endswith(".safetensors")) / 1e6
    tops = {n.split("/")[0] for n in names if ".dist-info" not in n.split("/")[0]}
    if tops != PACKAGES:
        sys.exit(f"the wheel's top-level names are {sorted(tops)}, expected {sorted(PACKAGES)}")
    if NEEDED not in names:
        sys.exit(f"{NEEDED} is missing")
    untyped = [p for p in PACKAGES if f"{p}/py.typed" not in names]
    if untyped:
        sys.exit(f"py.typed is missing in {untyped}")
    if weights > MOST_MEGABYTES:
        sys.exit(f"the wheel holds {weights:.1f} MB of weights, more than {MOST_MEGABYTES}")
    print(
        f"{wheel.name}: {', '.join(sorted(tops))}; "
        f"{weights:.1f} MB of weights, {wheel.stat().st_size / 1e6:.1f} MB in all"
    )


if __name__ == "__main__":
    main(sys.argv[1])
