"""Matching a table with its images, and the layouts of HAM10000."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image as PIL

from cfexplain.images import ImageError
from cfexplain_datasets import open_dataset
from cfexplain_datasets.readers.ham10000 import CLASSES, read
from cfexplain_datasets.report import DataError
from cfexplain_datasets.table import LesionTable, intake
from toys import draw


def count(dataset: LesionTable, what: str) -> int:
    """How many images or files have a problem, according to the report."""
    return sum(len(finding.which) for finding in dataset.report.findings if finding.what == what)


def draw_mask(folder: Path, *names: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        mask = np.zeros((24, 32), np.uint8)
        mask[8:16, 8:24] = 255
        PIL.fromarray(mask).save(folder / f"{name}_segmentation.png")
    return folder


def rows(**columns: list[object]) -> pd.DataFrame:
    return pd.DataFrame(columns)


def take(table: pd.DataFrame, folder: Path) -> LesionTable:
    return intake(table, folder, ("mel", "nv"), name="test", fetch="isic image download X/")


def test_foreign_rows_unknown_classes_and_repeated_ids_are_left_out_and_reported(tmp_path: Path) -> None:
    folder = draw(tmp_path / "images", "a", "b", "c")
    table = rows(id=["a", "a", "b", "c", "gone"], label=["mel", "nv", "nv", "healthy", "mel"])
    dataset = take(table, folder)
    assert list(dataset.table.index) == ["a", "b"]
    assert list(dataset.table["label"]) == ["mel", "nv"]
    assert count(dataset, "rows of unknown classes") == 1
    assert count(dataset, "rows with an id seen before") == 1
    assert count(dataset, "rows without an image in the folders") == 1
    assert "gone" in str(dataset.report)


def test_an_empty_label_is_an_unlabelled_sample(tmp_path: Path) -> None:
    dataset = take(rows(id=["a", "b"], label=["mel", None]), draw(tmp_path, "a", "b"))
    assert dataset.labels == [0, -1]
    assert dataset[0].label == 0
    assert dataset[1].label is None


def test_an_image_without_a_lesion_id_is_its_own_lesion(tmp_path: Path) -> None:
    table = rows(id=["a", "b"], label=["mel", "nv"], lesion_id=["L1", None])
    assert list(take(table, draw(tmp_path, "a", "b")).table["lesion_id"]) == ["L1", "b"]


def test_a_sample_has_its_image_mask_and_metadata(tmp_path: Path) -> None:
    table = rows(id=["a", "b"], label=["mel", "nv"], age=[50, 60])
    draw_mask(tmp_path / "masks", "a")
    draw(tmp_path / "images", "a", "b")
    first, second = take(table, tmp_path)
    assert first.image.shape == (3, 24, 32)
    assert first.mask is not None
    assert first.mask.sum() == 8 * 16
    assert first.metadata["age"] == 50
    assert second.mask is None


def test_images_below_a_linked_folder_are_found(tmp_path: Path) -> None:
    draw(tmp_path / "elsewhere" / "part_1", "a")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "images").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    assert len(take(rows(id=["a"], label=["mel"]), tmp_path / "data")) == 1


def test_damaged_files_are_found_before_training(tmp_path: Path) -> None:
    folder = draw(tmp_path, "a", "b", "c", "d")
    whole = (folder / "b.jpg").read_bytes()
    (folder / "b.jpg").write_bytes(whole[: len(whole) // 2])
    (folder / "c.jpg").write_bytes(b"no image")
    dataset = take(rows(id=["a", "b", "c", "d"], label=["mel"] * 4), folder)
    with pytest.raises(ImageError, match=r"c\.jpg"):
        dataset[2]
    readable = dataset.readable()
    assert list(readable.table.index) == ["a", "d"]
    assert count(readable, "damaged or unreadable images") == 2
    assert count(dataset, "damaged or unreadable images") == 0


def test_the_error_without_images_has_the_command_that_fetches_them(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="isic image download X/"):
        take(rows(id=["a"], label=["mel"]), tmp_path)


def test_subset_and_select_keep_classes_and_order(tmp_path: Path) -> None:
    table = rows(id=["a", "b", "c"], label=["mel", "nv", "mel"], split=["train", "test", "train"])
    dataset = take(table, draw(tmp_path, "a", "b", "c"))
    assert list(dataset.subset("train").table.index) == ["a", "c"]
    assert [lesion.id for lesion in dataset.select(["c", "a"])] == ["c", "a"]
    assert dataset.subset("test").classes == ("mel", "nv")


def test_the_error_for_an_empty_folder_has_the_isic_command(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="isic image download --collections 212"):
        open_dataset("ham10000", tmp_path)


METADATA = (
    "lesion_id,image_id,dx,dx_type,age,sex,localization\nL1,ISIC_1,bkl,histo,80.0,male,scalp\nL1,ISIC_2,bkl,histo,,,\n"
)


@pytest.mark.parametrize("name", ["HAM10000_metadata", "HAM10000_metadata.csv"])
def test_the_archive_with_images_in_two_parts(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text(METADATA)
    draw(tmp_path / "HAM10000_images_part_1", "ISIC_1")
    draw(tmp_path / "HAM10000_images_part_2", "ISIC_2")
    draw_mask(tmp_path / "HAM10000_segmentations_lesion_tschandl", "ISIC_1", "ISIC_2")
    dataset = read(tmp_path)
    assert list(dataset.table["label"]) == ["bkl", "bkl"]
    assert dataset.table["lesion_id"].nunique() == 1
    assert dataset.table["mask_path"].notna().all()
    assert dataset[0].metadata["age"] == 80
    assert np.isnan(dataset[1].metadata["age"])  # type: ignore[call-overload]


def test_the_challenge_with_one_hot_labels(tmp_path: Path) -> None:
    folder = tmp_path / "ISIC2018_Task3_Training_GroundTruth"
    folder.mkdir()
    table = (
        "image,MEL,NV,BCC,AKIEC,BKL,DF,VASC\nISIC_1,0.0,1.0,0.0,0.0,0.0,0.0,0.0\nISIC_2,1.0,0.0,0.0,0.0,0.0,0.0,0.0\n"
    )
    (folder / "ISIC2018_Task3_Training_GroundTruth.csv").write_text(table)
    draw(tmp_path / "ISIC2018_Task3_Training_Input", "ISIC_1", "ISIC_2")
    dataset = read(tmp_path)
    assert dataset.classes == CLASSES
    assert list(dataset.table["label"]) == ["nv", "mel"]


def test_the_table_with_foreign_rows(tmp_path: Path, data: Path) -> None:
    source = data / "metadata" / "HAM10000_metadata_dirty_10124rows.csv"
    shutil.copy(source, tmp_path / "HAM10000_metadata.csv")
    draw(tmp_path / "images", "ISIC_0027419", "ISIC_0025030", "Normal_Img_107")
    dataset = read(tmp_path)
    assert sorted(dataset.table.index) == ["ISIC_0025030", "ISIC_0027419"]
    assert set(dataset.table["label"]) == {"bkl"}
    assert count(dataset, "rows of unknown classes") > 0
    assert count(dataset, "rows without an image in the folders") >= 10013


def test_ham10000_as_published(isic_data: Path) -> None:
    dataset = read(isic_data / "ham10000_200x150")
    assert len(dataset) == 10015
    assert dataset.table["lesion_id"].nunique() == 7470
    assert dataset.table["label"].value_counts().to_dict() == {
        "nv": 6705, "mel": 1113, "bkl": 1099, "bcc": 514, "akiec": 327, "vasc": 142, "df": 115,
    }  # fmt: skip
    assert dataset.table["mask_path"].notna().all()
    assert not dataset.report.findings
