"""Every generator keeps the same promises; new files in the package are found by themselves."""

from dataclasses import replace

import pytest
import torch
from torch import nn

import cfexplain.generators as package
from cfexplain.generators import Coarse, DeepImagePrior, Noise, Pixels, Pretrained
from cfexplain.generators.dip import Convolution
from cfexplain.generators.doubling import doubled
from cfexplain.generators.noise import seeded
from cfexplain.generators.pretrained import AUTOENCODER
from cfexplain.images import round8
from cfexplain.method.objective import total
from cfexplain.method.presets import HOURGLASS
from cfexplain.method.stage import Stage
from cfexplain.method.stop import psnr
from cfexplain.search.descend import descend, minimise
from cfexplain.terms import SamePixels
from cfexplain.types import Problem
from cfexplain_datasets.synthetic import SyntheticLesions
from contracts import check_generator, classes_in

GENERATORS = [found() for found in classes_in(package, "build")]
SMALL = [replace(g, widths=(8, 8, 8), skips=(4, 4, 4)) if isinstance(g, DeepImagePrior) else g for g in GENERATORS]
QUERY = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(5))


@pytest.mark.parametrize("generator", SMALL, ids=lambda g: type(g).__name__)
def test_contract(generator):
    learned = isinstance(generator, Pretrained | Coarse)
    from_query = learned or getattr(generator, "start", "noise") == "query"
    check_generator(generator, torch.rand(1, 3, 64, 64) if learned else QUERY, random=not from_query)


def test_all_are_found():
    assert {type(g).__name__ for g in GENERATORS} >= {"DeepImagePrior", "FourierNetwork", "Pixels"}


def convolution():
    return nn.Sequential(nn.Conv2d(3, 3, 1), nn.Sigmoid())


class Recipe:
    """A generator that keeps its promise, for broken ones to differ from in one thing."""

    def build(self, query, rng):
        with seeded(rng):
            return convolution()

    def draw(self, query, rng):
        return torch.rand(query.shape, generator=rng)


class Unused(Recipe):
    def build(self, query, rng):
        module = super().build(query, rng)
        module.unused = nn.Parameter(torch.zeros(1))
        return module


class GlobalSeed(Recipe):
    def build(self, query, rng):
        return convolution()


class SeedBlind(Recipe):
    def build(self, query, rng):
        return super().build(query, torch.Generator().manual_seed(0))

    def draw(self, query, rng):
        return query


class OutOfRange(Recipe):
    def build(self, query, rng):
        return super().build(query, rng)[0]

    def draw(self, query, rng):
        return 100 * super().draw(query, rng)


class WrongSize(Recipe):
    def draw(self, query, rng):
        return super().draw(query[..., 1:], rng)


def test_a_generator_that_keeps_its_promise_passes():
    check_generator(Recipe(), QUERY)


@pytest.mark.parametrize("broken", [Unused, GlobalSeed, SeedBlind, OutOfRange, WrongSize])
def test_a_broken_generator_is_refused(broken):
    with pytest.raises(AssertionError):
        check_generator(broken(), QUERY)


PUBLISHED = {
    "denoising": (DeepImagePrior(), 3, 2_217_831),
    "JPEG": (DeepImagePrior(widths=(8, 16, 32, 64, 128), skips=(0, 0, 0, 4, 4), noise=Noise(3)), 3, 572_827),
    "text inpainting": (DeepImagePrior(skips=(128,) * 5, upsampling="nearest"), 3, 3_002_627),
    "vase": (DeepImagePrior(skips=(0,) * 5, upsampling="nearest", noise=Noise(2, kind="coordinates")), 3, 2_157_955),
    "library": (
        DeepImagePrior(
            widths=(16, 32, 64, 128, 128, 128), skips=(0,) * 6, kernel_down=5, pointwise=False, noise=Noise(1)
        ),
        3,
        2_996_467,
    ),
    "grey inpainting": (DeepImagePrior(), 1, 2_217_573),
    "98 % missing": (
        DeepImagePrior(widths=(16, 32, 64, 128, 128), skips=(0,) * 5, downsampling="average"),
        3,
        1_027_379,
    ),
    "flash": (DeepImagePrior(noise=Noise(3)), 3, 2_184_307),
    "feature inversion": (
        DeepImagePrior(
            widths=(16, 32, 64, 128, 128, 128),
            skips=(4,) * 6,
            kernel_down=(7, 7, 5, 5, 3, 3),
            kernel_up=(7, 7, 5, 5, 3, 3),
            downsampling="average",
        ),
        3,
        2_606_763,
    ),
    "activation maximisation": (
        DeepImagePrior(
            widths=(16, 32, 64, 128, 128, 128),
            skips=(0, 4, 4, 4, 4, 4),
            kernel_down=(5, 3, 5, 5, 3, 5),
            kernel_up=(5, 3, 5, 3, 5, 3),
            downsampling="average",
        ),
        3,
        2_948_567,
    ),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_parameter_counts_are_the_published_ones(name):
    generator, channels, count = PUBLISHED[name]
    module = generator.build(torch.zeros(1, channels, 256, 256), torch.Generator())
    assert sum(p.numel() for p in module.parameters()) == count


@pytest.mark.parametrize("size", [(64, 64), (50, 37), (33, 65)])
@pytest.mark.parametrize(
    "generator",
    [
        *(DeepImagePrior((4, 4, 4, 4), (2,) * 4, downsampling=way) for way in ("stride", "average", "max")),
    ],
)
def test_odd_sizes_are_painted(generator, size):
    query = torch.zeros(1, 3, *size)
    rng = torch.Generator().manual_seed(0)
    assert generator.build(query, rng)(generator.draw(query, rng)).shape == query.shape


def test_a_painting_does_not_depend_on_its_neighbours():
    module = DeepImagePrior(widths=(8, 8), skips=(4, 4)).build(QUERY, torch.Generator().manual_seed(0))
    z = torch.rand(1, 32, 32, 32)
    assert not any(isinstance(m, nn.BatchNorm2d) and m.track_running_stats for m in module.modules())
    assert torch.equal(module(z), module(z)), "painting twice changes nothing"


def test_the_prior_prefers_natural_images():
    """The founding observation: noise takes longer to paint than a smooth picture (Ulyanov et al. 2018, figure 2)."""

    def error_after(target, steps=120):
        rng = torch.Generator().manual_seed(0)
        generator = DeepImagePrior(widths=(16, 16, 16), skips=(4, 4, 4))
        module, z = generator.build(target, rng), generator.draw(target, rng)
        optimizer = torch.optim.Adam(module.parameters(), 1e-2)
        for _ in range(steps):
            optimizer.zero_grad()
            loss = (module(z) - target).square().mean()
            loss.backward()
            optimizer.step()
        return float(loss.detach() / target.var())

    rng = torch.Generator().manual_seed(3)
    coarse = torch.rand(1, 3, 4, 4, generator=rng)
    smooth = torch.nn.functional.interpolate(coarse, (32, 32), mode="bicubic", align_corners=True).clamp(0, 1)
    noise = torch.rand(1, 3, 32, 32, generator=rng)
    assert error_after(smooth) < 0.2 * error_after(noise)


@pytest.mark.parametrize("side", [8, 17, 32, 48, 64])
def test_the_default_paints_small_images_with_fewer_scales(side):
    query = torch.rand(1, 3, side, side)
    rng = torch.Generator().manual_seed(0)
    module, z = HOURGLASS.build(query, rng), HOURGLASS.draw(query, rng)
    assert module(z).shape == query.shape
    whole = sum(p.numel() for p in HOURGLASS.build(torch.rand(1, 3, 64, 64), rng).parameters())
    assert (sum(p.numel() for p in module.parameters()) == whole) == (side > 32)


@pytest.mark.parametrize("recipe", [g for g in SMALL if hasattr(g.build(QUERY, torch.Generator()), "coarse_to_fine")])
def test_layers_are_unlocked_coarse_to_fine(recipe):
    rng = torch.Generator().manual_seed(0)
    module, z = recipe.build(QUERY, rng), recipe.draw(QUERY, rng)
    groups = module.coarse_to_fine()
    assert sorted(id(p) for group in groups for p in group) == sorted(map(id, module.parameters())), (
        "every parameter once"
    )
    start = [[p.detach().clone() for p in group] for group in groups]
    stage = Stage(total((1.0, SamePixels())), steps=12, learning_rate=1e-3, unlock=0.5)
    for step in descend(module, z, Problem(QUERY), stage):
        free = 1 + sum(round(k * 6 / (len(groups) - 1)) < step.index for k in range(1, len(groups)))
        moved = [
            any(bool((p != q).any()) for p, q in zip(g, s, strict=True)) for g, s in zip(groups, start, strict=True)
        ]
        assert moved == [step.index > 0 and k < free for k in range(len(groups))]


def test_a_pretrained_network_learns_a_lesion_sooner():
    stage = Stage(total((10.0, SamePixels())), steps=12, learning_rate=1e-2)

    def decibels(generator, query):
        rng = torch.Generator().manual_seed(0)
        module, z = generator.build(query, rng), generator.draw(query, rng)
        return psnr(minimise(module, z, Problem(query), stage).image, query)

    queries = [lesion.image[None] for lesion in SyntheticLesions(4, size=64)]
    cold, warm = (sum(decibels(g, q) for q in queries) / len(queries) for g in (AUTOENCODER, Pretrained()))
    assert warm > cold + 2


def test_pretrained_weights_are_equal_for_all_seeds_and_small_images_begin_cold():
    query = torch.zeros(1, 3, 64, 64)
    first, second = (Pretrained().build(query, torch.Generator().manual_seed(s)).state_dict() for s in (0, 1))
    assert all(torch.equal(first[name], second[name]) for name in first)
    small = torch.zeros(1, 3, 32, 32)
    cold, warm = (g.build(small, torch.Generator().manual_seed(0)).state_dict() for g in (AUTOENCODER, Pretrained()))
    assert all(torch.equal(cold[name], warm[name]) for name in cold)


def test_weights_that_are_not_there_or_do_not_fit_are_a_sentence():
    query, rng = torch.zeros(1, 3, 64, 64), torch.Generator()
    with pytest.raises(FileNotFoundError, match="no weights named cats"):
        Pretrained(weights="cats").build(query, rng)
    with pytest.raises(ValueError, match="another network"):
        Pretrained(DeepImagePrior()).build(query, rng)


class TestDoubling:
    """Our gradient of the bilinear step is torch's, sooner."""

    def picture(self, dtype=torch.float64, size=(33, 40)):
        rng = torch.Generator().manual_seed(3)
        return torch.rand(2, 3, *size, dtype=dtype, generator=rng).requires_grad_()

    @pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
    def test_values_and_gradient_are_torchs(self, layout):
        x = self.picture().detach().contiguous(memory_format=layout).requires_grad_()
        weights = torch.rand(2, 3, 66, 80, dtype=x.dtype)
        theirs = nn.functional.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
        ours = doubled(x, "bilinear")
        assert torch.equal(ours, theirs)
        (a,), (b,) = (torch.autograd.grad((y * weights).sum(), x) for y in (ours, theirs))
        assert torch.allclose(a, b, rtol=0, atol=1e-12)
        assert "_Bilinear" in str(ours.grad_fn), "the picture is too small to have been painted by ours"

    def test_stacked_pictures_have_the_gradients_of_single_ones(self):
        x, weights = self.picture().detach(), torch.rand(2, 3, 66, 80, dtype=torch.float64)

        def of(one, weight):
            return (doubled(one[None], "bilinear")[0] * weight).sum()

        stacked = torch.func.vmap(torch.func.grad(of))(x, weights)
        single = torch.stack([torch.func.grad(of)(a, b) for a, b in zip(x, weights, strict=True)])
        assert torch.allclose(stacked, single, rtol=0, atol=1e-12)

    def test_half_precision_is_near(self):
        x = self.picture(torch.float32)
        (exact,) = torch.autograd.grad(doubled(x, "bilinear").square().sum(), x)
        rough = x.detach().bfloat16().requires_grad_()
        (near,) = torch.autograd.grad(doubled(rough, "bilinear").square().sum(), rough)
        assert float((near - exact).abs().max()) < 0.03 * float(exact.abs().max())


class TestConvolution:
    """Ours is torch's convolution, without a trip to float32 under autocast."""

    @pytest.mark.parametrize("padding", ["reflect", "zeros", "replicate"])
    @pytest.mark.parametrize(("kernel", "stride"), [(1, 1), (1, 2), (3, 1), (3, 2), (5, 1)])
    def test_it_is_torchs(self, padding, kernel, stride):
        torch.manual_seed(0)
        ours = Convolution(4, 6, kernel, padding, stride).double()
        x = torch.rand(1, 4, 12, 13, dtype=torch.float64)
        assert torch.allclose(ours(x), nn.Conv2d.forward(ours, x), rtol=0, atol=1e-12)

    def test_padding_stays_in_bfloat16(self):
        with torch.autocast("cpu", torch.bfloat16), torch.profiler.profile(record_shapes=False) as seen:
            out = Convolution(4, 6, 3, "reflect")(torch.rand(1, 4, 12, 12).bfloat16())
        assert out.dtype == torch.bfloat16
        with torch.autocast("cpu", torch.bfloat16), torch.profiler.profile() as theirs:
            nn.Conv2d.forward(Convolution(4, 6, 3, "reflect"), torch.rand(1, 4, 12, 12).bfloat16())

        def casts(profile):
            return sum(event.count for event in profile.key_averages() if event.key == "aten::_to_copy")

        assert casts(seen) < casts(theirs)


def test_gains_are_drawn_as_torch_drew_them_when_the_numbers_were_published():
    def gains(prior):
        module = prior.build(QUERY, torch.Generator().manual_seed(0))
        return torch.cat([m.weight.detach() for m in module.modules() if isinstance(m, nn.BatchNorm2d)])

    drawn = gains(DeepImagePrior())
    assert 0 <= float(drawn.min()) < 0.02
    assert 0.98 < float(drawn.max()) <= 1
    assert float(drawn.mean()) == pytest.approx(0.5, abs=0.03)
    assert torch.equal(drawn, gains(DeepImagePrior())), "the same seed"
    assert bool((gains(DeepImagePrior(gains="ones")) == 1).all())


def test_free_pixels_begin_at_black_and_white():
    query = torch.tensor([0.0, 1 / 255, 254 / 255, 1.0]).view(1, 1, 2, 2).expand(1, 3, 2, 2)
    painted = Pixels().build(query, torch.Generator())(torch.zeros(0))
    assert torch.equal(round8(painted), round8(query))


@pytest.mark.parametrize("side", [48, 64, 100, 128, 129])
def test_wide_kernels_fit_small_pictures(side):
    prior = DeepImagePrior((4,) * 6, (0,) * 6, kernel_down=5, kernel_up=3)
    query = torch.rand(1, 3, side, side)
    painted = prior.build(query, torch.Generator().manual_seed(0))(prior.draw(query, torch.Generator().manual_seed(0)))
    assert painted.shape == query.shape
