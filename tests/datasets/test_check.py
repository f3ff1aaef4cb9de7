"""The check of a data set reports what it contains."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image as PIL

from cfexplain_datasets import open_dataset
from cfexplain_datasets.check import DataReport, check, shortcuts
from cfexplain_datasets.table import LesionTable


@pytest.fixture(scope="module")
def ham10000(isic_data: Path) -> DataReport:
    return check(open_dataset("auto", isic_data / "ham10000_200x150"))


def found(report: DataReport) -> dict[str, int]:
    return {finding.what: len(finding.which) for finding in report.oddities.findings}


def test_the_counts_of_ham10000(ham10000: DataReport) -> None:
    assert (ham10000.images, ham10000.lesions, ham10000.masks) == (10015, 7470, 10015)
    assert ham10000.classes["nv"] == 6705
    assert ham10000.splits["train"]["mel"] == 801
    assert sum(ham10000.splits["test"].values()) == 1519


def test_the_oddities_of_ham10000(ham10000: DataReport) -> None:
    odd = found(ham10000)
    assert odd["masks that cover over 95% of the image"] == 19
    assert odd["byte-identical pairs"] == 2
    assert odd["ages missing"] == 57
    assert odd["ages of 0"] == 39
    assert odd["images of unknown sex"] == 57
    assert odd["near-duplicate pairs within one lesion"] >= 66
    assert odd["near-duplicate pairs of different lesion ids"] == 6
    assert not any("malignant" in what or "differ in label" in what or "cannot be read" in what for what in odd)


def test_the_leaks_of_ham10000(ham10000: DataReport) -> None:
    assert {frozenset((k.first, k.second)) for k in ham10000.leaks} == {
        frozenset(("ISIC_0029152", "ISIC_0033173")),
        frozenset(("ISIC_0027027", "ISIC_0029036")),
        frozenset(("ISIC_0027636", "ISIC_0027994")),
        frozenset(("ISIC_0025141", "ISIC_0025323")),
    }


def test_the_shortcuts_of_ham10000(ham10000: DataReport) -> None:
    assert list(ham10000.shortcuts)[:2] == ["dx_type", "dataset"]
    assert ham10000.shortcuts["dataset"] == pytest.approx(0.34, abs=0.02)
    assert ham10000.shortcuts["sex"] < 0.1
    assert "malignant" not in ham10000.shortcuts


def test_the_report_reads_and_is_json(ham10000: DataReport) -> None:
    text = str(ham10000)
    assert text.startswith("ham10000: 10015 images of 7470 lesions, 10015 with a mask\n")
    assert "19 masks that cover over 95% of the image: kept (ISIC_0024424, " in text
    assert "leaks: 4 pairs (" in text
    assert max(map(len, text.splitlines())) < 400
    again = json.loads(json.dumps(ham10000.to_dict()))
    assert again["classes"]["df"] == 115
    assert next(o for o in again["oddities"] if o["what"] == "ages of 0")["count"] == 39
    assert len(again["leaks"]) == 4


def made(folder: Path, n: int = 8, **columns: list[object]) -> LesionTable:
    paths = []
    for k in range(n):
        coarse = np.random.default_rng(k).integers(0, 256, (12, 12, 3), dtype=np.uint8)
        paths.append(str(folder / f"{k}.png"))
        PIL.fromarray(coarse).resize((80, 80), PIL.Resampling.BICUBIC).save(paths[-1])
    ids = [f"i{k}" for k in range(n)]
    table = pd.DataFrame({"label": ["mel", "nv"] * (n // 2), "lesion_id": ids, "split": None, "path": paths}, index=ids)
    return LesionTable(("mel", "nv"), table.assign(mask_path=None, **columns), name="made")


def test_a_plain_data_set_has_nothing_odd(tmp_path: Path) -> None:
    report = check(made(tmp_path))
    assert not report.oddities.findings
    assert not report.leaks
    assert "there is no split yet" in str(report)
    assert str(report).startswith("made: 8 images of 8 lesions")


def test_damaged_and_small_images_and_odd_masks_are_reported(tmp_path: Path) -> None:
    dataset = made(tmp_path)
    Path(dataset.table.at["i0", "path"]).write_bytes(b"no image")
    PIL.new("RGB", (40, 90)).save(dataset.table.at["i1", "path"])
    for name, value in (("full", 255), ("empty", 0)):
        PIL.new("L", (80, 80), value).save(tmp_path / f"{name}.png")
    dataset.table.loc["i2", "mask_path"] = str(tmp_path / "full.png")
    dataset.table.loc["i3", "mask_path"] = str(tmp_path / "empty.png")
    assert found(check(dataset)) == {
        "images that cannot be read": 1,
        "images under 64 pixels a side": 1,
        "masks that are empty or cannot be read": 1,
        "masks that cover over 95% of the image": 1,
    }


def test_contradictions_are_reported(tmp_path: Path) -> None:
    dataset = made(
        tmp_path,
        lesion_id=["a", "a", "b", "b", "c", "d", "e", "f"],
        sex=["male", "female", "male", "male", None, "male", "unknown", "female"],
        malignant=[1, 0, 1, 0, 1, 0, 0, 0],
    )
    dataset.table.loc["i7", "label"] = None
    assert found(check(dataset)) == {
        "images of unknown sex": 2,
        "images without a label": 1,
        "lesions whose images differ in label": 2,
        "lesions whose images differ in sex": 1,
        "images whose malignant contradicts their class": 4,
    }


def test_a_shortcut_is_measured() -> None:
    rng = np.random.default_rng(0)
    label = rng.choice(["mel", "nv"], 2000)
    copied = np.where(label == "mel", "ruler", "none")
    half = np.where(rng.random(2000) < 0.5, copied, rng.choice(["ruler", "none"], 2000))
    table = pd.DataFrame({"label": label, "lesion_id": "x", "half": half, "idle": rng.choice(["p", "q"], 2000)})
    strength = shortcuts(table.assign(all=copied, constant=1, malignant=label == "mel"))
    assert strength["half"] == pytest.approx(0.5, abs=0.06)
    assert strength["idle"] < 0.06
    assert "constant" not in strength
