"""The rule, its counterfactuals, the sampling and the data set."""

import pickle
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch

from cfexplain_datasets.synthetic import SyntheticLesions
from cfexplain_datasets.synthetic_factors import (
    BENIGN_BELOW,
    COLOURS,
    MALIGNANT_ABOVE,
    STRUCTURES,
    WEIGHTS,
    Factors,
    Nuisance,
    label,
    sample_factors,
    sample_nuisance,
    score,
    true_counterfactual,
)


def rng(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def causes(factors: Factors) -> np.ndarray:
    return np.array([getattr(factors, name) for name in WEIGHTS])


EVERYTHING = Factors(**dict.fromkeys(WEIGHTS, 1.0))
NOTHING = Factors(**dict.fromkeys(WEIGHTS, 0.0))


def test_score_follows_the_rule() -> None:
    assert score(NOTHING) == 0
    assert score(EVERYTHING) == pytest.approx(1.3 * 2 + 0.1 * 8 + 0.5 * 6 + 0.5 * 4)
    assert score(replace(NOTHING, asymmetry=1.0, colour_spread=1.0)) == pytest.approx(1.3 * 2)
    assert score(replace(NOTHING, border=0.5)) == pytest.approx(0.1 * 4)
    for name in COLOURS + STRUCTURES:
        assert score(replace(NOTHING, **{name: 1.0})) == pytest.approx(0.5)


@pytest.mark.parametrize("name", ["diameter", "elongation", "pigmentation"])
def test_other_factors_do_not_change_the_score(name: str) -> None:
    assert score(replace(EVERYTHING, **{name: 0.4})) == score(EVERYTHING)


def test_the_label_changes_between_the_bounds() -> None:
    assert label(NOTHING) == 0
    assert label(EVERYTHING) == 1
    low = true_counterfactual(EVERYTHING, 0)
    high = true_counterfactual(NOTHING, 1)
    assert (label(low), label(high)) == (0, 1)
    assert score(low) < BENIGN_BELOW < MALIGNANT_ABOVE < score(high)


@pytest.mark.parametrize("wrong", [{"asymmetry": 1.2}, {"veil": -0.1}, {"black": float("nan")}, {"diameter": 0.0}])
def test_impossible_factors_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must lie"):
        Factors(**wrong)


def test_samples_stay_out_of_the_margin_and_are_balanced() -> None:
    for target in (0, 1):
        drawn = [sample_factors(rng(seed), target) for seed in range(150)]
        scores = np.array([score(factors) for factors in drawn])
        assert not ((scores >= BENIGN_BELOW) & (scores <= MALIGNANT_ABOVE)).any()
        assert all(label(factors) == target for factors in drawn)
    assert SyntheticLesions(300).table["label"].value_counts().tolist() == [150, 150]


def test_other_factors_are_independent_of_the_class() -> None:
    table = SyntheticLesions(600).table
    causing = set(WEIGHTS) | {"score", "label", "lesion_id", "split"}
    sick = table["label"] == "malignant"
    for name in set(table.columns) - causing:
        values = table[name].astype(float)
        gap = abs(values[sick].mean() - values[~sick].mean()) / values.std()
        assert gap < 0.3, f"{name} tells the class"


def test_sampling_does_not_touch_the_global_generators() -> None:
    before, before_numpy = torch.get_rng_state(), np.random.get_state()[1].copy()
    first = sample_factors(rng(3), 0), sample_nuisance(rng(3))
    assert first == (sample_factors(rng(3), 0), sample_nuisance(rng(3)))
    assert first != (sample_factors(rng(4), 0), sample_nuisance(rng(4)))
    _ = SyntheticLesions(1, size=32)[0]
    assert torch.equal(before, torch.get_rng_state())
    assert np.array_equal(before_numpy, np.random.get_state()[1])


@pytest.mark.parametrize("seed", range(10))
def test_counterfactual_flips_the_label_with_least_change(seed: int) -> None:
    factors = sample_factors(rng(seed), seed % 2)
    target = 1 - label(factors)
    moved = true_counterfactual(factors, target)
    assert label(moved) == target
    assert score(moved) == pytest.approx(MALIGNANT_ABOVE + 0.05 if target else BENIGN_BELOW - 0.05, abs=1e-6)
    kept = set(asdict(factors)) - set(WEIGHTS)
    assert {name: getattr(moved, name) for name in kept} == {name: getattr(factors, name) for name in kept}
    least = np.linalg.norm(causes(moved) - causes(factors))
    for other in range(200):
        rival = sample_factors(rng(1000 + other), target)
        assert np.linalg.norm(causes(rival) - causes(factors)) >= least


def test_counterfactual_of_the_same_class_is_the_lesion_itself() -> None:
    assert true_counterfactual(EVERYTHING, 1) is EVERYTHING


def test_there_is_no_third_class() -> None:
    with pytest.raises(IndexError):
        true_counterfactual(EVERYTHING, 2)


def test_a_sample_depends_on_seed_split_and_index_alone() -> None:
    few, many = SyntheticLesions(6, size=32), SyntheticLesions(600, size=32)
    assert torch.equal(few[5].image, many[5].image)
    assert few[5].metadata == many[5].metadata
    for other in (SyntheticLesions(6, size=32, seed=1), SyntheticLesions(6, size=32, split="val")):
        assert not torch.equal(few[5].image, other[5].image)


def test_the_data_set_matches_its_table() -> None:
    data = SyntheticLesions(8, size=32)
    lesions = list(data)
    assert list(data.table.index) == [lesion.id for lesion in lesions]
    assert list(data.table["label"]) == [data.classes[lesion.label or 0] for lesion in lesions]
    assert list(data.table["lesion_id"]) == [lesion.lesion_id for lesion in lesions]
    assert {lesion.label for lesion in lesions[2:4]} == {0, 1}
    assert set(asdict(Factors()) | asdict(Nuisance())) <= set(data.table.columns)
    assert lesions[3].metadata["score"] == data.table["score"].iloc[3]
    assert len(SyntheticLesions(0).table) == 0
    assert torch.equal(data[-1].image, lesions[7].image)
    with pytest.raises(IndexError):
        data[8]


def test_data_set_survives_pickling() -> None:
    data = SyntheticLesions(4, size=32, shortcut="hair")
    _ = data.table
    assert torch.equal(pickle.loads(pickle.dumps(data))[2].image, data[2].image)


@pytest.mark.parametrize("shortcut", ["ruler", "hair", "vignette"])
def test_the_shortcut_agrees_with_the_label_as_often_as_requested(shortcut: str) -> None:
    table = SyntheticLesions(400, shortcut=shortcut, strength=0.9).table
    agrees = (table[shortcut] > 0) == (table["label"] == "malignant")
    assert 0.85 < agrees.mean() < 0.95
    plain = SyntheticLesions(400).table
    assert plain["score"].equals(table["score"])


@pytest.mark.parametrize("wrong", [{"split": "all"}, {"shortcut": "x"}, {"strength": 2.0}, {"size": 4}, {"n": -1}])
def test_meaningless_settings_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"must be|needed"):
        SyntheticLesions(**({"n": 1} | wrong))
