"""Every reader keeps the same promises, and a broken one is refused."""

from types import SimpleNamespace

import pandas as pd
import pytest
import torch

from cfexplain_datasets import open_dataset
from cfexplain_datasets.readers import csv, folder
from contracts import check_reader
from toys import draw

REAL = {"ham10000": "ham10000_200x150", "isic2017": "isic2017_256"}


@pytest.mark.parametrize("name", REAL)
def test_contract_on_real_data(name, isic_data):
    check_reader(lambda path: open_dataset(name, path), isic_data / REAL[name])


def test_contract_on_folders_and_tables(tmp_path):
    for name in ("nevus", "melanoma"):
        draw(tmp_path / "data" / name, f"{name}-a", f"{name}-b")
    check_reader(folder.read, tmp_path / "data")
    images = ["data/nevus/nevus-a.jpg", "data/melanoma/melanoma-a.jpg"]
    table = pd.DataFrame({"image": images, "label": ["nevus", "melanoma"]})
    table.to_csv(tmp_path / "table.csv", index=False)
    check_reader(csv.read, tmp_path / "table.csv")


class Samples:
    """Two grey images; a reader of them is broken where a part is replaced."""

    def __init__(self, names=("a", "b"), image=None, ids=("a", "b")):
        self.table = pd.DataFrame({"label": ["nevus"] * len(names)}, index=list(names))
        self.image, self.ids = torch.full((3, 8, 8), 0.5) if image is None else image, ids

    def __len__(self):
        return len(self.ids)

    def __getitem__(self, index):
        return SimpleNamespace(image=self.image, id=self.ids[index], mask=None)


BROKEN = {
    "doubled names": Samples(("a", "a")),
    "bytes": Samples(image=torch.full((3, 8, 8), 128.0)),
    "grey": Samples(image=torch.zeros(1, 8, 8)),
    "other rows": Samples(ids=("b", "a")),
    "more samples than rows": Samples(ids=("a", "b", "c")),
}


def test_samples_that_keep_the_promise_pass():
    check_reader(lambda path: Samples(), None)


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_reader_is_refused(name):
    with pytest.raises(AssertionError):
        check_reader(lambda path: BROKEN[name], None)
