"""Every reader, with the official tables and a few random images."""

import pickle
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from cfexplain_datasets import READERS, open_dataset
from cfexplain_datasets.report import DataError
from cfexplain_datasets.splits import with_splits
from cfexplain_datasets.table import LesionTable
from toys import draw


def count(dataset: LesionTable, what: str) -> int:
    """How many images or files have a problem, according to the report."""
    return sum(len(finding.which) for finding in dataset.report.findings if finding.what == what)


@pytest.fixture(scope="session")
def official(data: Path) -> Path:
    return data / "metadata"


def put(folder: Path, source: Path, name: str | None = None) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / (name or source.name)).write_bytes(source.read_bytes())


def ham_variants() -> list[tuple[str, str]]:
    return [
        ("HAM10000_metadata.csv", "HAM10000_metadata"),
        ("HAM10000_metadata_with_dataset_column.csv", "HAM10000_metadata.csv"),
        ("HAM10000_metadata_dirty_10124rows.csv", "HAM10000_metadata.csv"),
        ("HAM10000_lesion_boxes_200x150.csv", "HAM10000_metadata.csv"),
    ]


@pytest.mark.parametrize(("source", "name"), ham_variants())
def test_every_variant_of_the_ham10000_table_gives_the_same_data_set(
    tmp_path: Path, official: Path, source: str, name: str
) -> None:
    put(tmp_path, official / source, name)
    draw(tmp_path / "HAM10000_images_part_1", "ISIC_0027419")
    draw(tmp_path / "HAM10000_images_part_2", "ISIC_0031633")
    dataset = open_dataset("auto", tmp_path)
    assert dataset.name == "ham10000"
    assert dataset.classes == ("akiec", "bcc", "bkl", "df", "mel", "nv", "vasc")
    assert dataset.table["label"].to_dict() == {"ISIC_0027419": "bkl", "ISIC_0031633": "bkl"}
    assert dataset.table.at["ISIC_0027419", "lesion_id"] == "HAM_0000118"
    assert dataset.table.at["ISIC_0027419", "age"] == 80
    assert dataset.table.at["ISIC_0027419", "sex"] == "male"


def test_the_109_foreign_rows_are_reported(tmp_path: Path, official: Path) -> None:
    source = official / "HAM10000_metadata_dirty_10124rows.csv"
    put(tmp_path, source, "HAM10000_metadata.csv")
    for name in pd.read_csv(source)["image_id"]:
        (tmp_path / "images").mkdir(exist_ok=True)
        if name.startswith("ISIC"):
            (tmp_path / "images" / f"{name}.jpg").touch()
    dataset = open_dataset("ham10000", tmp_path)
    assert len(dataset) == 10015
    (finding,) = dataset.report.findings
    assert len(finding.which) == 109
    assert str(finding).startswith("109 rows without an image in the folders: left out (Normal_Img_1, ")
    assert "and 104 more" in str(finding)


def test_isic_2018_validation_one_hot(tmp_path: Path, official: Path) -> None:
    put(tmp_path / "ISIC2018_Task3_Validation_GroundTruth", official / "ISIC2018_Task3_Validation_GroundTruth.csv")
    draw(tmp_path / "ISIC2018_Task3_Validation_Input", "ISIC_0034321", "ISIC_0034323")
    dataset = open_dataset("ham10000", tmp_path)
    assert dataset.table["label"].to_dict() == {"ISIC_0034321": "nv", "ISIC_0034323": "bcc"}
    assert count(dataset, "rows without an image in the folders") == 191


def test_the_metadata_of_the_isic_command_line_tool_are_read(tmp_path: Path) -> None:
    draw(tmp_path, "ISIC_1", "ISIC_2", "ISIC_3", "ISIC_4")
    (tmp_path / "metadata.csv").write_text(
        "isic_id,age_approx,anatom_site_general,diagnosis_1,diagnosis_2,diagnosis_3,lesion_id,sex\n"
        'ISIC_1,45,anterior torso,Malignant,Malignant melanocytic proliferations (Melanoma),"Melanoma, NOS",IL_1,male\n'
        "ISIC_2,50,,Benign,Benign soft tissue proliferations - Vascular,,IL_2,female\n"
        "ISIC_3,50,,Indeterminate,Indeterminate epidermal proliferations,Solar or actinic keratosis,IL_3,female\n"
        "ISIC_4,50,,Benign,Other,Something else,IL_4,female\n"
    )
    dataset = open_dataset("auto", tmp_path)
    assert dataset.table["label"].to_dict() == {"ISIC_1": "mel", "ISIC_2": "vasc", "ISIC_3": "akiec"}
    assert dataset.table["age"].tolist() == [45, 50, 50]
    assert count(dataset, "rows of unknown classes") == 1


def test_the_layout_with_splits_and_masks(isic_data: Path) -> None:
    sharper = open_dataset("auto", isic_data / "isic2018_224crop_subset")
    assert len(sharper) == 1123
    assert set(sharper.table["split"]) == {"train", "val", "test"}
    assert sharper[0].image.shape == (3, 224, 224)
    lesion = open_dataset("ham10000", isic_data / "ham10000_200x150")[7]
    assert lesion.mask is not None
    assert lesion.mask.shape == (1, 150, 200)


def test_isic_2016(tmp_path: Path, official: Path) -> None:
    put(tmp_path, official / "ISBI2016_ISIC_Part3_Training_GroundTruth.csv")
    (tmp_path / "ISBI2016_ISIC_Part3_Test_GroundTruth.csv").write_text("ISIC_0000003,0.0\nISIC_0000012,1.0\n")
    draw(tmp_path / "ISBI2016_ISIC_Part3_Training_Data", "ISIC_0000000", "ISIC_0000002")
    draw(tmp_path / "ISBI2016_ISIC_Part3_Test_Data", "ISIC_0000003", "ISIC_0000012")
    dataset = open_dataset("auto", tmp_path)
    assert dataset.name == "isic2016"
    labels = dataset.table["label"].to_dict()
    assert labels == {
        "ISIC_0000000": "benign", "ISIC_0000002": "malignant", "ISIC_0000003": "benign", "ISIC_0000012": "malignant",
    }  # fmt: skip
    assert dataset.table.at["ISIC_0000012", "split"] == "test"


def isic2017(folder: Path, official: Path, truth: str, pictures: tuple[str, ...]) -> None:
    put(folder, official / truth, "ISIC-2017_Training_Part3_GroundTruth.csv")
    draw(folder / "ISIC-2017_Training_Data", *pictures)


def test_isic_2017_with_metadata_and_splits(tmp_path: Path, official: Path) -> None:
    isic2017(tmp_path, official, "ISIC-2017_Training_Part3_GroundTruth.csv", ("ISIC_0000000", "ISIC_0000002"))
    put(tmp_path / "ISIC-2017_Training_Data", official / "ISIC-2017_Training_Data_metadata.csv")
    put(tmp_path, official / "ISIC-2017_Validation_Part3_GroundTruth.csv")
    draw(tmp_path / "ISIC-2017_Validation_Data", "ISIC_0001769")
    dataset = open_dataset("auto", tmp_path)
    assert dataset.name == "isic2017"
    assert dataset.classes == ("melanoma", "nevus", "seborrheic_keratosis")
    assert dataset.table["label"].to_dict() == {
        "ISIC_0000000": "nevus", "ISIC_0000002": "melanoma", "ISIC_0001769": "nevus",
    }  # fmt: skip
    assert dataset.table["split"].tolist() == ["train", "train", "val"]
    assert dataset.table.at["ISIC_0000000", "age"] == 55
    assert dataset.table.at["ISIC_0000002", "sex"] == "female"


def test_isic_2017_row_numbers_are_refused_if_images_are_missing(tmp_path: Path, official: Path) -> None:
    truth = "ISIC-2017_Training_Part3_GroundTruth_idsAsRowNumbers_dirty.csv"
    isic2017(tmp_path, official, truth, ("ISIC_0000000", "ISIC_0000001"))
    with pytest.raises(DataError, match=r"row number.* 2 images .* 2000 rows"):
        open_dataset("isic2017", tmp_path)


def test_isic_2017_row_numbers_are_replaced_by_the_sorted_names(tmp_path: Path, official: Path) -> None:
    put(tmp_path, official / "ISIC-2017_Training_Part3_GroundTruth_idsAsRowNumbers_dirty.csv")
    right = pd.read_csv(official / "ISIC-2017_Training_Part3_GroundTruth.csv")
    folder = tmp_path / "ISIC-2017_Training_Data"
    folder.mkdir()
    for name in right["image_id"]:
        (folder / f"{name}.jpg").touch()
    dataset = open_dataset("isic2017", tmp_path)
    melanomas = set(right.loc[right["melanoma"] == 1, "image_id"])
    assert len(dataset) == 2000
    assert set(dataset.table.index[dataset.table["label"] == "melanoma"]) == melanomas
    assert count(dataset, "ids that were row numbers") == 2000


def test_isic_2017_as_published(isic_data: Path) -> None:
    dataset = open_dataset("auto", isic_data / "isic2017_256")
    assert dataset.name == "isic2017"
    counts = dataset.table["label"].value_counts().to_dict()
    assert counts == {"nevus": 1843, "melanoma": 521, "seborrheic_keratosis": 386}
    assert dataset.table["split"].value_counts().to_dict() == {"train": 2000, "test": 600, "val": 150}


@pytest.mark.parametrize(
    "facts", ["ISIC_2019_Training_Metadata.csv", "ISIC_2019_Training_Metadata_sexHeaderRestored.csv"]
)
def test_isic_2019_with_either_header(tmp_path: Path, official: Path, facts: str) -> None:
    put(tmp_path, official / "ISIC_2019_Training_GroundTruth.csv")
    put(tmp_path, official / facts, "ISIC_2019_Training_Metadata.csv")
    draw(tmp_path / "ISIC_2019_Training_Input", "ISIC_0000000", "ISIC_0000002")
    dataset = open_dataset("auto", tmp_path)
    assert dataset.name == "isic2019"
    assert dataset.table["label"].to_dict() == {"ISIC_0000000": "NV", "ISIC_0000002": "MEL"}
    assert dataset.table["sex"].tolist() == ["female", "female"]
    assert dataset.table["age"].tolist() == [55, 60]
    assert dataset.table.at["ISIC_0000000", "lesion_id"] == "ISIC_0000000"


def test_isic_2020_leaves_listed_duplicates_out_and_groups_by_patient(tmp_path: Path, official: Path) -> None:
    put(tmp_path, official / "ISIC_2020_Training_GroundTruth_v2.csv")
    put(tmp_path, official / "ISIC_2020_Training_Duplicates.csv")
    draw(tmp_path / "train", "ISIC_0015719", "ISIC_0079038", "ISIC_8521950")
    dataset = open_dataset("auto", tmp_path)
    assert dataset.name == "isic2020"
    assert sorted(dataset.table.index) == ["ISIC_0015719", "ISIC_0079038"]
    assert dataset.table.at["ISIC_0015719", "lesion_id"] == "IP_3075186"
    assert count(dataset, "images that the archive lists as duplicates") == 1


def test_a_tree_with_one_folder_for_each_class(tmp_path: Path) -> None:
    draw(tmp_path / "benign", "a", "b")
    draw(tmp_path / "malignant", "a", suffix=".png")
    (tmp_path / "benign" / "notes.txt").write_text("none")
    dataset = open_dataset("auto", tmp_path)
    assert dataset.name == "folder"
    assert dataset.classes == ("benign", "malignant")
    assert list(dataset.table.index) == ["benign/a", "benign/b", "malignant/a"]
    assert dataset[2].label == 1


def test_a_tree_with_splits(tmp_path: Path) -> None:
    for side in ("train", "val", "test"):
        draw(tmp_path / side / "x", f"{side}1")
        draw(tmp_path / side / "y", f"{side}2")
    dataset = with_splits(open_dataset("folder", tmp_path))
    assert dataset.classes == ("x", "y")
    assert dataset.table["split"].value_counts().to_dict() == {"train": 2, "val": 2, "test": 2}


def test_any_csv_with_images_and_labels(tmp_path: Path) -> None:
    draw(tmp_path / "pictures", "a", "b")
    (tmp_path / "my.csv").write_text("file,diagnosis,age\npictures/a.jpg,nevus,5\npictures/b.jpg,melanoma,6\n")
    for where in (tmp_path, tmp_path / "my.csv"):
        dataset = open_dataset("auto", where)
        assert dataset.classes == ("melanoma", "nevus")
        assert dataset.table["label"].to_dict() == {"a": "nevus", "b": "melanoma"}
        assert dataset[1].metadata["age"] == 6


def test_equal_file_names_in_two_folders_of_a_csv_are_two_images(tmp_path: Path) -> None:
    draw(tmp_path / "one", "a")
    draw(tmp_path / "two", "x", "a")
    (tmp_path / "my.csv").write_text("file,label\none/a.jpg,yes\ntwo/a.jpg,no\n")
    dataset = open_dataset("csv", tmp_path / "my.csv")
    assert list(dataset.table.index) == ["one/a", "two/a"]
    assert not dataset[0].image.equal(dataset[1].image)


def test_numbers_are_class_names_too(tmp_path: Path) -> None:
    draw(tmp_path, "a", "b", "c")
    (tmp_path / "my.csv").write_text("image,target\na,0\nb,1\nc,\n")
    dataset = open_dataset("csv", tmp_path)
    assert dataset.classes == ("0", "1")
    assert dataset.labels == [0, 1, -1]


def test_names_of_digits_keep_their_zeros(tmp_path: Path) -> None:
    draw(tmp_path, "007", "010")
    (tmp_path / "my.csv").write_text("image,label\n007,yes\n010,no\n")
    assert list(open_dataset("csv", tmp_path).table.index) == ["007", "010"]


def test_the_reader_may_be_a_function_of_the_user(tmp_path: Path) -> None:
    draw(tmp_path / "x", "a")
    draw(tmp_path / "y", "b")
    assert isinstance(open_dataset("cfexplain_datasets.readers.folder:read", tmp_path), LesionTable)


def test_a_data_set_survives_pickling(tmp_path: Path) -> None:
    draw(tmp_path / "x", "a")
    draw(tmp_path / "y", "b")
    dataset = open_dataset("folder", tmp_path)
    assert pickle.loads(pickle.dumps(dataset))[1].id == "y/b"


@pytest.mark.parametrize("name", [r for r in READERS if r not in ("folder", "csv")])
def test_the_error_for_missing_data_has_the_command_that_fetches_it(tmp_path: Path, name: str) -> None:
    for where in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(DataError, match=r"isic image download --collections [\d,]+ \w+/"):
            open_dataset(name, where)


def test_unknown_data_and_unknown_readers_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no reader recognises"):
        open_dataset("auto", tmp_path)
    with pytest.raises(DataError, match="no folder or table"):
        open_dataset("auto", tmp_path / "nowhere")
    with pytest.raises(DataError, match="no data set reader imagenet"):
        open_dataset("imagenet", tmp_path)
    with pytest.raises(DataError, match="module:function"):
        open_dataset("no_such_module:read", tmp_path)
    with pytest.raises(DataError, match="module:function"):
        open_dataset("cfexplain_datasets.readers.folder:nothing", tmp_path)


def test_a_file_that_is_not_a_table_is_refused(tmp_path: Path) -> None:
    (tmp_path / "HAM10000_metadata.csv").write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(DataError, match="HAM10000_metadata"):
        open_dataset("ham10000", tmp_path)
    (tmp_path / "HAM10000_metadata.csv").write_text("")
    with pytest.raises(DataError, match="HAM10000_metadata"):
        open_dataset("ham10000", tmp_path)
    (tmp_path / "HAM10000_metadata.csv").write_text("name,dx\na,nv\n")
    with pytest.raises(DataError, match="image_id"):
        open_dataset("ham10000", tmp_path)


def test_a_table_beside_folders_of_images_and_masks_is_read_as_a_table(tmp_path):
    draw(tmp_path / "images", "a", "b")
    draw(tmp_path / "masks", "a", "b")
    (tmp_path / "table.csv").write_text("image,label\na,benign\nb,malignant\n")
    found = open_dataset("auto", tmp_path)
    assert list(found.table["label"]) == ["benign", "malignant"]


def test_folders_of_masks_are_not_classes(tmp_path):
    for kind in ("benign", "malignant", "masks"):
        draw(tmp_path / kind, f"{kind}-1")
    assert open_dataset("auto", tmp_path).classes == ("benign", "malignant")


def test_numbers_in_dx_are_a_table_that_is_not_ham10000(tmp_path):
    draw(tmp_path, "a", "b")
    (tmp_path / "labels.csv").write_text("image_id,dx\na,0\nb,1\n")
    with pytest.raises(DataError, match="is not HAM10000"):
        open_dataset("ham10000", tmp_path)


def test_a_missing_image_is_not_replaced_by_its_namesake_in_another_folder(tmp_path):
    draw(tmp_path / "a", "x")
    (tmp_path / "table.csv").write_text("image,label\na/x.jpg,benign\nb/x.jpg,malignant\n")
    found = open_dataset("csv", tmp_path / "table.csv")
    assert list(found.table["label"]) == ["benign"]


def test_splits_may_have_their_longer_names(tmp_path):
    names = [f"{k:02d}" for k in range(6)]
    draw(tmp_path, *names)
    splits = ["Train", "Train", "Train", "Validation", "Testing", "odd"]
    rows = [f"{name},{k % 2},{split}" for k, (name, split) in enumerate(zip(names, splits, strict=True))]
    (tmp_path / "table.csv").write_text("image,label,split\n" + "\n".join(rows) + "\n")
    found = open_dataset("csv", tmp_path / "table.csv")
    assert list(found.table["split"]) == ["train"] * 3 + ["val", "test", "odd"]
    assert any("split" in finding for finding in map(str, found.report.findings))


def test_an_empty_mask_counts_as_none(tmp_path):
    draw(tmp_path / "images", "a", "b")
    (tmp_path / "masks").mkdir()
    Image.new("L", (32, 24)).save(tmp_path / "masks" / "a.png")
    (tmp_path / "table.csv").write_text("image,label\na,benign\nb,malignant\n")
    assert open_dataset("csv", tmp_path)[0].mask is None


def test_the_masks_of_a_csv_are_those_that_it_names(tmp_path):
    draw(tmp_path / "images", "a", "b", "c")
    draw(tmp_path / "outlines", "of_a")
    draw(tmp_path / "masks", "a", "b", "c")
    rows = "image,label,mask\na,benign,outlines/of_a.jpg\nb,malignant,nowhere.png\nc,malignant,\n"
    (tmp_path / "table.csv").write_text(rows)
    found = open_dataset("csv", tmp_path)
    names = [None if p is None else str(Path(p).relative_to(tmp_path)) for p in found.table["mask_path"]]
    assert names == ["outlines/of_a.jpg", None, "masks/c.jpg"]
    assert count(found, "masks that the table names and that are not there") == 1
    assert count(found, "images that the table does not name") == 0
    assert "mask" not in found[0].metadata


def test_the_tables_of_all_splits_of_a_challenge_are_read(tmp_path: Path, official: Path) -> None:
    put(tmp_path, official / "ISIC2018_Task3_Validation_GroundTruth.csv")
    header = "image,MEL,NV,BCC,AKIEC,BKL,DF,VASC\n"
    training = header + "ISIC_0024306,0,1,0,0,0,0,0\nISIC_0024307,1,0,0,0,0,0,0\n"
    (tmp_path / "ISIC2018_Task3_Training_GroundTruth.csv").write_text(training)
    groups = "image,lesion_id,diagnosis_confirm_type\nISIC_0024306,HAM_1,follow_up\nISIC_0024307,HAM_1,histo\n"
    (tmp_path / "ISIC2018_Task3_Training_LesionGroupings.csv").write_text(groups)
    draw(tmp_path / "ISIC2018_Task3_Training_Input", "ISIC_0024306", "ISIC_0024307")
    draw(tmp_path / "ISIC2018_Task3_Validation_Input", "ISIC_0034321")
    dataset = open_dataset("auto", tmp_path)
    assert dataset.name == "ham10000"
    assert dataset.table["label"].tolist() == ["nv", "mel", "nv"]
    assert dataset.table["split"].tolist() == ["train", "train", "val"]
    assert dataset.table["lesion_id"].tolist() == ["HAM_1", "HAM_1", "ISIC_0034321"]


def test_isic_2019_with_its_test_split(tmp_path: Path, official: Path) -> None:
    put(tmp_path, official / "ISIC_2019_Training_GroundTruth.csv")
    header = "image,MEL,NV,BCC,AK,BKL,DF,VASC,SCC,UNK\n"
    rows = "ISIC_9,0,0,1,0,0,0,0,0,0\nISIC_8,0,0,0,0,0,0,0,0,1\n"
    (tmp_path / "ISIC_2019_Test_GroundTruth.csv").write_text(header + rows)
    draw(tmp_path / "input", "ISIC_0000000", "ISIC_9", "ISIC_8")
    dataset = open_dataset("auto", tmp_path)
    assert dataset.name == "isic2019"
    assert dataset.table["split"].to_dict() == {"ISIC_0000000": "train", "ISIC_9": "test", "ISIC_8": "test"}
    assert dataset.table["label"].to_dict() == {"ISIC_0000000": "NV", "ISIC_9": "BCC", "ISIC_8": None}


def test_images_whose_names_are_not_utf8_are_left_out_and_reported(tmp_path):
    draw(tmp_path / "x", "a", "caf\udce9")
    draw(tmp_path / "y", "b")
    found = open_dataset("folder", tmp_path)
    assert list(found.table.index) == ["x/a", "y/b"]
    assert "caf\\xe9" in str(found.report)
    draw(tmp_path / "z\udce9", "b")
    with pytest.raises(DataError, match="is UTF-8"):
        open_dataset("folder", tmp_path / "z\udce9")


def test_the_data_set_may_be_in_a_folder_called_mask(tmp_path):
    draw(tmp_path / "lesion-segmentation", "a", "b")
    (tmp_path / "lesion-segmentation" / "table.csv").write_text("image,label\na,benign\nb.jpg,malignant\n")
    found = open_dataset("auto", tmp_path / "lesion-segmentation")
    assert found.labels == [0, 1]
    assert found.table["mask_path"].isna().all()
    draw(tmp_path / "ham_masks", "ISIC_1")
    (tmp_path / "ham_masks" / "HAM10000_metadata.csv").write_text("image_id,dx\nISIC_1,nv\n")
    assert len(open_dataset("ham10000", tmp_path / "ham_masks")) == 1


@pytest.mark.parametrize("between", [",", ";", "\t"])
@pytest.mark.parametrize("capitals", [str, str.upper, str.title])
def test_a_table_as_a_spreadsheet_writes_it(tmp_path, between, capitals):
    draw(tmp_path, "007", "010")
    rows = [["image", "label", "lesion_id"], ["007", "benign", "1"], ["010", "malignant", "1"]]
    rows[0] = [capitals(name) for name in rows[0]]
    text = "\r\n".join(between.join(row) for row in rows)
    (tmp_path / "table.csv").write_text(text, encoding="utf-8-sig")
    found = open_dataset("auto", tmp_path)
    assert found.table["label"].to_dict() == {"007": "benign", "010": "malignant"}
    assert found.table["lesion_id"].nunique() == 1


def test_a_table_without_known_columns_is_not_silently_ignored(tmp_path):
    draw(tmp_path, "a", "b")
    (tmp_path / "table.csv").write_text("where,what\na,benign\nb,malignant\n")
    with pytest.raises(DataError, match=r"it has where, what(.|\n)*name the reader `folder`"):
        open_dataset("auto", tmp_path)
    assert len(open_dataset("folder", tmp_path)) == 2


def test_blank_labels_and_hidden_folders_are_not_classes(tmp_path):
    draw(tmp_path / "csv", "a", "b", "c")
    (tmp_path / "csv" / "table.csv").write_text("image,label\na,benign\nb,malignant\nc,  \n")
    found = open_dataset("auto", tmp_path / "csv")
    assert found.classes == ("benign", "malignant")
    assert found.labels == [0, 1, -1]
    for kind in ("benign", "malignant", ".ipynb_checkpoints"):
        draw(tmp_path / "tree" / kind, kind.strip("."), f".{kind}")
    found = open_dataset("folder", tmp_path / "tree")
    assert found.classes == ("benign", "malignant")
    assert list(found.table.index) == ["benign/benign", "malignant/malignant"]


def test_one_hot_columns_must_be_0_and_1(tmp_path):
    draw(tmp_path, "a")
    (tmp_path / "labels.csv").write_text("image_id,mel,nv\na,no,yes\n")
    with pytest.raises(DataError, match="not 0 and 1"):
        open_dataset("ham10000", tmp_path)
    (tmp_path / "labels.csv").write_text("file,melanoma,seborrheic_keratosis\na,0,1\n")
    with pytest.raises(DataError, match="image_id"):
        open_dataset("isic2017", tmp_path)


def test_a_table_of_another_subject_is_refused(tmp_path):
    draw(tmp_path, "a")
    (tmp_path / "train.csv").write_text("passenger,survived\n1,0\n")
    with pytest.raises(DataError, match="is not ISIC2020: it needs columns of image names"):
        open_dataset("isic2020", tmp_path)
