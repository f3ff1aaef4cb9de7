"""Synthetic lesions as files."""

import pytest

from cfexplain.images import save_png
from cfexplain_datasets.synthetic import SyntheticLesions


@pytest.fixture(scope="session")
def lesions(tmp_path_factory):
    """lesion0.png to lesion3.png, and their masks as mask0.png, ... and as masks/lesion0.png, ..."""
    folder = tmp_path_factory.mktemp("lesions")
    (folder / "masks").mkdir()
    for i, lesion in enumerate(SyntheticLesions(4, 64, split="test")):
        save_png(folder / f"lesion{i}.png", lesion.image)
        for path in (folder / f"mask{i}.png", folder / "masks" / f"lesion{i}.png"):
            save_png(path, lesion.mask.expand(3, -1, -1))
    return folder
