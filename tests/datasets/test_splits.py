"""Splits keep lesions together and samples in place when data is added; leaks are found and removed."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image as PIL

from cfexplain_datasets import open_dataset
from cfexplain_datasets.report import DataError
from cfexplain_datasets.splits import (
    check_split,
    hashed_split,
    refuse_leaks,
    with_splits,
    without_leaks,
)
from cfexplain_datasets.table import LesionTable


def table(n: int = 3000, **columns: object) -> LesionTable:
    """A table without files: two images of each lesion, one lesion in ten is a melanoma."""
    lesions = [f"L{i // 2}" for i in range(n)]
    made = pd.DataFrame({"label": ["mel" if i // 2 % 10 == 0 else "nv" for i in range(n)], "lesion_id": lesions})
    made.index = pd.Index([f"I{i}" for i in range(n)])
    made = made.assign(split=None, path="", mask_path=None)
    return LesionTable(("mel", "nv"), made.assign(**columns))  # type: ignore[arg-type]


def drawn(folder: Path, images: dict[str, int], lesions: dict[str, str], sides: dict[str, str]) -> LesionTable:
    """Images by seed: equal seeds give equal files."""
    for name, seed in images.items():
        coarse = np.random.default_rng(seed).integers(0, 256, (12, 12, 3), dtype=np.uint8)
        PIL.fromarray(coarse).resize((96, 96), PIL.Resampling.BICUBIC).save(folder / f"{name}.png")
    made = pd.DataFrame({"label": "nv", "lesion_id": lesions, "split": sides, "mask_path": None})
    return LesionTable(("mel", "nv"), made.assign(path=[str(folder / f"{i}.png") for i in made.index]))


def test_lesions_stay_together_and_each_class_gets_its_fractions() -> None:
    split = with_splits(table()).table
    assert (split.groupby("lesion_id")["split"].nunique() == 1).all()
    shares = pd.crosstab(split["label"], split["split"], normalize="index")
    assert shares.loc["nv", "train"] == pytest.approx(0.7, abs=0.04)
    assert shares.loc["mel", "train"] == pytest.approx(0.7, abs=0.12)
    assert shares.loc["nv", "val"] == pytest.approx(0.15, abs=0.04)


def test_adding_data_in_any_order_moves_no_sample() -> None:
    small, large = with_splits(table(200)).table, with_splits(table(3000)).table
    shuffled = table(3000)
    shuffled = with_splits(LesionTable(shuffled.classes, shuffled.table.sample(frac=1, random_state=0)))
    assert small["split"].equals(large["split"].loc[small.index])
    assert shuffled.table["split"].loc[large.index].equals(large["split"])


def test_the_hash_is_the_same_on_every_machine() -> None:
    sides = [hashed_split(k) for k in ("HAM_0000118", "HAM_0002730", "HAM_0001466", "IL_7972535")]
    assert sides == ["train", "train", "val", "val"]


def test_an_official_split_is_kept() -> None:
    own = ["test" if i % 4 == 0 else "val" if i % 4 == 1 else "train" for i in range(1500) for _ in (0, 1)]
    assert list(with_splits(table(split=own)).table["split"]) == own


def test_validation_is_taken_from_train_if_the_official_split_has_none() -> None:
    own = ["test" if i % 4 == 0 else "train" for i in range(1500) for _ in (0, 1)]
    made = with_splits(table(split=own)).table
    was_test = pd.Series(own, made.index) == "test"
    assert (made["split"] == "test").equals(was_test)
    assert 0.1 < (made["split"] == "val").sum() / (~was_test).sum() < 0.25
    assert (made.groupby("lesion_id")["split"].nunique() == 1).all()


def test_samples_without_a_split_follow_their_lesion() -> None:
    own = ["test" if i < 6 else "train" if i < 12 else None for i in range(20)]
    own[1] = None
    made = with_splits(table(20, split=own)).table
    assert made["split"].iloc[1] == "test"
    assert made["split"].notna().all()


@pytest.mark.parametrize("own", [None, "train"])
def test_a_missing_or_constant_split_is_replaced(own: str | None) -> None:
    made = with_splits(table(split=own))
    assert set(made.table["split"]) == {"train", "val", "test"}
    assert list(made.table["split"]) == list(with_splits(table()).table["split"])


@pytest.fixture
def leaking(tmp_path: Path) -> LesionTable:
    """A lesion in two splits (a, b), a file in two splits (c, d), and e to h without a leak."""
    seeds = {"a": 1, "b": 2, "c": 3, "d": 3, "e": 5, "f": 6, "g": 7, "h": 8}
    lesions = {"a": "L1", "b": "L1", "c": "L2", "d": "L3", "e": "L3", "f": "L4", "g": "L4", "h": "L5"}
    sides = dict(zip("abcdefgh", ("train", "test", "train", "val", "val", "train", "train", "test"), strict=True))
    return drawn(tmp_path, seeds, lesions, sides)


def test_leaks_are_listed_and_refused(leaking: LesionTable) -> None:
    found = {(leak.kind, leak.first, leak.second, leak.sides) for leak in check_split(leaking)}
    assert found == {("lesion", "a", "b", ("train", "test")), ("identical", "c", "d", ("train", "val"))}
    with pytest.raises(DataError, match=r"2 pairs .*a \(train\) and b \(test\): lesion.*c \(train\) and d \(val\)"):
        refuse_leaks(leaking)


def test_a_recompressed_copy_leaks(leaking: LesionTable) -> None:
    at = Path(leaking.table.at["h", "path"])
    PIL.open(leaking.table.at["f", "path"]).resize((120, 120)).save(at.with_suffix(".jpg"), quality=70)
    leaking.table.loc["h", "path"] = str(at.with_suffix(".jpg"))
    assert ("near-duplicate", "f", "h") in {(k.kind, k.first, k.second) for k in check_split(leaking)}


def test_the_most_protected_split_stays_as_it_was(leaking: LesionTable) -> None:
    clean_split = without_leaks(leaking)
    assert list(clean_split.table.index) == ["b", "d", "e", "f", "g", "h"]
    refuse_leaks(clean_split)
    assert "2 images" in str(clean_split.report)
    assert not leaking.report.findings


def test_the_whole_lesion_is_dropped_with_the_image_that_leaks(leaking: LesionTable) -> None:
    leaking.table.loc["e", "split"] = "train"
    leaking.table.loc["d", "split"] = "train"
    leaking.table.loc["c", "split"] = "test"
    clean_split = without_leaks(leaking)
    assert list(clean_split.table.index) == ["b", "c", "f", "g", "h"]
    refuse_leaks(clean_split)


def test_a_clean_split_is_unchanged(leaking: LesionTable) -> None:
    clean = leaking.select(["b", "d", "e", "f", "h"])
    refuse_leaks(clean)
    assert list(without_leaks(clean).table.index) == ["b", "d", "e", "f", "h"]


def test_samples_without_a_split_cannot_leak(leaking: LesionTable) -> None:
    assert check_split(LesionTable(leaking.classes, leaking.table.assign(split=None))) == []


def test_the_official_split_of_isic_2017_is_refused(isic_data: Path) -> None:
    dataset = open_dataset("isic2017", isic_data / "isic2017_256")
    known = dataset.table["near_duplicate_of"].dropna()
    some = dataset.select(sorted({*known.index, *known}))
    assert len(check_split(some)) == 6
    with pytest.raises(DataError, match="ISIC_0012175"):
        refuse_leaks(some)
    clean_split = without_leaks(some)
    assert check_split(clean_split) == []
    assert (clean_split.table["split"] == "test").sum() == (some.table["split"] == "test").sum()


def test_the_split_of_ham10000_is_kept(isic_data: Path) -> None:
    dataset = open_dataset("ham10000", isic_data / "ham10000_200x150")
    assert with_splits(dataset).table["split"].value_counts().to_dict() == {"train": 6999, "test": 1519, "val": 1497}
