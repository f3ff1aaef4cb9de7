"""The renderer: every factor changes the image in the direction that it is named after."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from cfexplain_datasets.synthetic import SyntheticLesions
from cfexplain_datasets.synthetic_factors import (
    WEIGHTS,
    Factors,
    Nuisance,
    label,
    sample_factors,
    sample_nuisance,
    true_counterfactual,
)
from cfexplain_datasets.synthetic_paint import paint

Measure = Callable[[Tensor, Tensor], float]
PLAIN = Factors(colour_spread=0.4, light_brown=0.4, dark_brown=0.4, network=0.0, diameter=8.0, elongation=0.2)
CLEAN = Nuisance(noise=0.0)
SEEDS = range(4)


def inside(image: Tensor, mask: Tensor) -> Tensor:
    return image[:, mask[0] > 0]


def brightness(image: Tensor, mask: Tensor) -> float:
    return float(inside(image, mask).mean())


def area(image: Tensor, mask: Tensor) -> float:
    return float(mask.mean())


def asymmetry(image: Tensor, mask: Tensor) -> float:
    """Share of the mask that does not fall on itself when flipped about its principal axes."""
    at = np.argwhere(mask[0].numpy() > 0).astype(float)
    at -= at.mean(axis=0)
    turned = at @ np.linalg.svd(at, full_matrices=False)[2].T
    cells = {tuple(cell) for cell in np.round(turned / 3).astype(int)}
    flips = [{(sign * a, -sign * b) for a, b in cells} for sign in (1, -1)]
    return float(np.mean([len(cells ^ flip) / len(cells) for flip in flips]))


def compactness(image: Tensor, mask: Tensor) -> float:
    from skimage.measure import perimeter

    return float(perimeter(mask[0].numpy() > 0) ** 2 / mask.sum())


def length_to_width(image: Tensor, mask: Tensor) -> float:
    spread = np.linalg.eigvalsh(np.cov(np.argwhere(mask[0].numpy() > 0).T))
    return float(np.sqrt(spread[1] / spread[0]))


def darkest(image: Tensor, mask: Tensor) -> float:
    return float(inside(image, mask).mean(dim=0).quantile(0.03))


def redness(image: Tensor, mask: Tensor) -> float:
    red, green, _ = inside(image, mask)
    return float((red - green).quantile(0.95))


def blueness(image: Tensor, mask: Tensor) -> float:
    red, _, blue = inside(image, mask)
    return float((blue - red).quantile(0.95))


def whiteness(image: Tensor, mask: Tensor) -> float:
    core = 1 - torch.nn.functional.max_pool2d(1 - mask, 15, 1, 7)
    return float(inside(image, core).min(dim=0).values.quantile(0.93))


def detail(image: Tensor, mask: Tensor) -> float:
    grey = image.mean(dim=0, keepdim=True)
    smooth = torch.nn.functional.avg_pool2d(grey, 5, 1, 2)
    return float((grey - smooth)[mask > 0].std())


def ringlike(image: Tensor, mask: Tensor) -> float:
    """Share of the brightness inside that the distance from the centre accounts for."""
    at = torch.nonzero(mask[0] > 0).float()
    ring = ((at - at.mean(dim=0)).norm(dim=1) / 4).round().long()
    grey = inside(image, mask).mean(dim=0)
    means = torch.stack([grey[ring == k].mean() for k in ring.unique()])
    explained = means[torch.searchsorted(ring.unique(), ring)]
    return float(explained.var() / grey.var())


def moved_by(name: str, measure: Measure, renderer: Callable[..., tuple[Tensor, Tensor]] = paint) -> float:
    """Mean rise of a measure, relative to its size, when a factor goes from little to much."""
    little, much = (4.0, 9.0) if name == "diameter" else (0.05, 0.5 if name == "elongation" else 0.95)
    before, after = (
        np.mean([measure(*renderer(replace(PLAIN, **{name: value}), replace(CLEAN, seed=seed), 96)) for seed in SEEDS])
        for value in (little, much)
    )
    return float((after - before) / abs(before))


EFFECTS: list[tuple[str, Measure, float]] = [
    ("asymmetry", asymmetry, 0.3),
    ("border", compactness, 0.3),
    ("colour_spread", ringlike, -0.1),
    ("light_brown", brightness, 0.02),
    ("dark_brown", brightness, -0.1),
    ("black", darkest, -0.2),
    ("blue_grey", blueness, 0.3),
    ("red", redness, 0.1),
    ("white", whiteness, 0.2),
    ("dots", detail, 0.3),
    ("streaks", compactness, 0.03),
    ("veil", blueness, 0.3),
    ("network", detail, 0.3),
    ("diameter", area, 3.0),
    ("elongation", length_to_width, 0.2),
    ("pigmentation", brightness, -0.1),
]


@pytest.mark.parametrize(("name", "measure", "least"), EFFECTS, ids=[name for name, _, _ in EFFECTS])
def test_factor_changes_the_image(name: str, measure: Measure, least: float) -> None:
    rise = moved_by(name, measure)
    assert rise / least >= 1, f"{name} moves {measure.__name__} by {rise:.2f}, expected {least:.2f} or further"


@pytest.mark.parametrize(("name", "measure", "least"), EFFECTS[:2])
def test_a_renderer_that_ignores_a_factor_fails(name: str, measure: Measure, least: float) -> None:
    def broken(factors: Factors, nuisance: Nuisance, size: int) -> tuple[Tensor, Tensor]:
        return paint(replace(factors, **{name: 0.1}), nuisance, size)

    assert moved_by(name, measure, broken) / least < 1


@pytest.mark.parametrize("size", [32, 64, 100, 224])
def test_shape_range_and_mask(size: int) -> None:
    image, mask = paint(PLAIN, Nuisance(hair=5, ruler=True, vignette=1.0), size)
    assert image.shape == (3, size, size)
    assert mask.shape == (1, size, size)
    assert image.dtype == mask.dtype == torch.float32
    assert 0 <= float(image.min()) < float(image.max()) <= 1
    assert set(mask.unique().tolist()) == {0.0, 1.0}


def test_mask_lies_on_the_lesion() -> None:
    darker = []
    for lesion in SyntheticLesions(30):
        assert lesion.mask is not None
        assert 0.02 < float(lesion.mask.mean()) < 0.7
        darker.append(brightness(lesion.image, lesion.mask) < brightness(lesion.image, 1 - lesion.mask))
    assert np.mean(darker) > 0.9


def test_rendering_is_deterministic() -> None:
    rng = np.random.default_rng(5)
    factors, nuisance = sample_factors(rng, 1), sample_nuisance(rng)
    assert torch.equal(paint(factors, nuisance)[0], paint(factors, nuisance)[0])
    assert not torch.equal(paint(factors, nuisance)[0], paint(factors, replace(nuisance, seed=nuisance.seed + 1))[0])


def test_same_lesion_at_every_size() -> None:
    for index in range(3):
        factors, nuisance = SyntheticLesions(3).recipe(index)
        quiet = replace(nuisance, noise=0.0)
        small, small_mask = paint(factors, quiet, 64)
        large, large_mask = paint(factors, quiet, 256)
        reduced = torch.nn.functional.avg_pool2d(large, 4)
        assert float((reduced - small).abs().mean()) < 0.01
        assert float((torch.nn.functional.avg_pool2d(large_mask, 4) - small_mask).abs().mean()) < 0.02


def test_factors_at_their_ends_give_finite_images() -> None:
    ends = [dict.fromkeys(WEIGHTS, value) for value in (0.0, 1.0)]
    assert all(paint(Factors(**end), CLEAN)[0].isfinite().all() for end in ends)


@pytest.mark.parametrize("index", range(4))
def test_counterfactual_leaves_the_skin_bit_identical(index: int) -> None:
    factors, nuisance = SyntheticLesions(4).recipe(index)
    image, mask = paint(factors, nuisance, 96)
    moved, moved_mask = paint(true_counterfactual(factors, 1 - label(factors)), nuisance, 96)
    near = torch.nn.functional.max_pool2d(torch.maximum(mask, moved_mask)[None], 33, 1, 16)[0]
    changed = (image != moved).any(dim=0, keepdim=True)
    assert not changed[near == 0].any()
    assert float((image - moved).abs().mean(dim=0)[mask[0] > 0].mean()) > 0.02


def test_nuisance_does_not_change_the_mask() -> None:
    nuisance = Nuisance(seed=3)
    mask = paint(PLAIN, nuisance)[1]
    loud = replace(nuisance, hair=9, ruler=True, vignette=1.0, warmth=1.0, skin_tone=10.0, gradient=0.3)
    assert torch.equal(paint(PLAIN, loud)[1], mask)
    assert not torch.equal(paint(PLAIN, replace(nuisance, x=1.0))[1], mask)
