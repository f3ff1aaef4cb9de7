"""Readers are found by name, by entry point and by module:function."""

from pathlib import Path
from pkgutil import iter_modules

import pytest

from cfexplain_datasets import READERS, DataError, open_dataset, readers
from toys import draw

BUILTIN = [module.name for module in iter_modules(readers.__path__)]


@pytest.fixture
def ph2(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An installed package that registers a reader of folders that are marked by a file."""
    site = tmp_path / "site"
    information = site / "ph2-1.0.dist-info"
    information.mkdir(parents=True)
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: ph2\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text("[cfexplain.readers]\nph2 = ph2_reader:read\n")
    (site / "ph2_reader.py").write_text(
        "from cfexplain_datasets.readers import folder\n"
        "from cfexplain_datasets import DataError\n"
        "def read(path):\n"
        "    if not (path / 'PH2').exists():\n"
        "        raise DataError('this is not PH2')\n"
        "    return folder.read(path / 'PH2')\n"
    )
    monkeypatch.syspath_prepend(site)


@pytest.fixture
def marked(tmp_path: Path) -> Path:
    """A folder that the readers ph2 and folder can read."""
    for kind in ("PH2/nevus", "PH2/melanoma", "other"):
        draw(tmp_path / "data" / kind, "a", "b")
    return tmp_path / "data"


def test_readers_are_tried_by_name_and_the_generic_ones_last() -> None:
    *specific, csv, folder = READERS
    assert (csv, folder) == ("csv", "folder")
    assert specific == sorted(specific)
    assert {"ham10000", "isic2016", "isic2017", "isic2019", "isic2020"} <= set(specific)


@pytest.mark.parametrize("name", BUILTIN)
def test_every_built_in_reader_is_registered(name: str) -> None:
    lines = (Path(__file__).parents[2] / "pyproject.toml").read_text().splitlines()
    assert f'{name} = "cfexplain_datasets.readers.{name}:read"' in lines


def test_a_reader_of_another_package_is_found_by_its_name(ph2: None, marked: Path) -> None:
    assert open_dataset("ph2", marked).classes == ("melanoma", "nevus")


def test_a_reader_of_another_package_is_tried_before_the_generic_ones(ph2: None, marked: Path) -> None:
    (marked / "table.csv").write_text("image,label\nPH2/nevus/a.jpg,x\nPH2/nevus/b.jpg,y\n")
    assert open_dataset("auto", marked).classes == ("melanoma", "nevus")
    (marked / "PH2").rename(marked / "PH3")
    with pytest.raises(DataError, match="ph2: this is not PH2"):
        open_dataset("auto", marked)


def test_an_unknown_reader_is_answered_with_the_known_ones(ph2: None, marked: Path) -> None:
    with pytest.raises(DataError, match=r"no data set reader imagenet: use one of .*isic2020, ph2, csv, folder, auto"):
        open_dataset("imagenet", marked)


def test_the_former_name_of_the_csv_reader_still_works(tmp_path: Path) -> None:
    draw(tmp_path, "a", "b")
    (tmp_path / "table.csv").write_text("image,label\na,x\nb,y\n")
    assert open_dataset("csvfile", tmp_path).classes == ("x", "y")
