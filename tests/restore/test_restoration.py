"""Restoration: tasks, stop rules, presets, quality measures, and that the prior is the published one."""

import platform
import subprocess
import sys
from dataclasses import dataclass, replace
from itertools import pairwise
from unittest.mock import patch

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from cfexplain.generators import DeepImagePrior, Noise, ResNet, TransposedUNet
from cfexplain.method.stop import Step, decibels
from cfexplain.restore import (
    DEHAIR,
    DENOISE,
    FLASH,
    PRESETS,
    Averaged,
    HeldOut,
    MovingVariance,
    Run,
    WindowedVariance,
    dejpeg,
    denoise,
    fast,
    flash,
    inpaint,
    superresolve,
)
from cfexplain.restore.quality import psnr
from cfexplain.terms.low_resolution import downsample, upsample
from cfexplain.types import Problem

TINY = DeepImagePrior(widths=(8, 8, 8), skips=(4, 4, 4))
PROBLEM = Problem(torch.zeros(1, 3, 2, 2))


def picture(height=40, width=48, channels=3):
    """Smooth colours with one sharp disc."""
    rng = torch.Generator().manual_seed(1)
    coarse = torch.rand(1, channels, 4, 4, generator=rng)
    smooth = nn.functional.interpolate(coarse, (height, width), mode="bicubic", align_corners=False)
    y, x = torch.meshgrid(torch.linspace(-1, 1, height), torch.linspace(-1, 1, width), indexing="ij")
    return torch.where((x**2 + y**2 < 0.3)[None, None], smooth * 0.5, smooth).clamp(0, 1)


def quick(method, steps, generator=TINY, **changes):
    return replace(method, generator=generator, edit=replace(method.edit, steps=steps, **changes))


def seen(values, rule):
    """Show a rule outputs of constant values; where it stopped, and the value of what it returns."""
    monitor = rule.start(PROBLEM)
    for k, value in enumerate(values):
        if monitor(Step(k, torch.full((1, 3, 2, 2), float(value)), None, torch.zeros(1))):
            break
    return k, float(monitor.chosen().mean())


class TestVerbs:
    def test_denoising_comes_closer_to_the_truth_than_the_input(self):
        truth = picture()
        noisy = (truth + 0.1 * torch.randn(truth.shape, generator=torch.Generator().manual_seed(0))).clamp(0, 1)
        found = denoise(noisy, method=quick(DENOISE, 120, stop=Averaged(0.9)))
        assert psnr(found.image, truth) > psnr(noisy, truth) + 1
        assert found.steps == (120,)
        assert found.history[-1] > found.history[0], "decibels to the input rise"

    def test_the_same_seed_gives_the_same_image_and_the_global_generator_is_left_alone(self):
        noisy, method = picture(20, 24), quick(DENOISE, 3)
        state = torch.random.get_rng_state()
        first, second, other = (denoise(noisy, method=method, run=Run(seed=s)).image for s in (0, 0, 1))
        assert torch.equal(state, torch.random.get_rng_state())
        assert torch.equal(first, second)
        assert not torch.equal(first, other)

    def test_double_precision_is_kept(self):
        assert denoise(picture(20, 24).double(), method=quick(DENOISE, 3)).image.dtype == torch.float64

    def test_runs_are_averaged(self):
        noisy, method = picture(20, 24), quick(DENOISE, 3)
        both = denoise(noisy, method=method, run=Run(runs=2)).image
        alone = [denoise(noisy, method=method, run=Run(seed=s)).image for s in (0, 1)]
        torch.testing.assert_close(both, torch.stack(alone).mean(0))

    def test_inpainting_keeps_known_pixels_and_fills_the_hole_from_around(self):
        truth = picture()
        missing = torch.zeros(1, 1, 40, 48)
        missing[..., 15:19, 8:40] = 1
        broken = torch.where(missing.bool(), torch.rand(1), truth)
        found = inpaint(broken, missing, method=quick(PRESETS["inpaint-half"], 120, jitter=0.0, learning_rate=1e-2))
        assert torch.equal(torch.where(missing.bool(), truth, found.image), truth)
        assert psnr(found.image, truth, missing) > 20
        again = inpaint(truth * (1 - missing), missing, method=quick(PRESETS["inpaint-half"], 3))
        other = inpaint(broken, missing, method=quick(PRESETS["inpaint-half"], 3))
        assert torch.equal(again.painted, other.painted), "what lies under the mask does not matter"

    def test_enlarging_is_right_when_reduced_and_has_the_size(self):
        truth = picture(32, 48)
        small = downsample(truth, 4)
        found = superresolve(small.clamp(0, 1), 4, method=quick(PRESETS["superresolve-4"], 120, jitter=0.0))
        assert found.image.shape == truth.shape
        assert psnr(downsample(found.image, 4), small) > 24
        plain = superresolve(small.clamp(0, 1), 2, method=quick(PRESETS["superresolve-4"], 2))
        assert plain.image.shape[-2:] == (16, 24), "the term is set to the factor"

    def test_flash_reads_the_guide(self):
        truth = picture()
        dark = (0.3 * truth + 0.05 * torch.randn(truth.shape, generator=torch.Generator().manual_seed(0))).clamp(0, 1)
        generator = replace(FLASH.generator, widths=(8, 8, 8), skips=(4, 4, 4), upsampling="bilinear")
        method = quick(FLASH, 50, generator, learning_rate=0.03)
        guided = flash(dark, truth, method=method)
        lost = flash(dark, 0.5 * torch.ones_like(truth), method=method)
        assert psnr(guided.image, 0.3 * truth) > psnr(lost.image, 0.3 * truth) + 3

    @pytest.mark.parametrize("channels", [1, 3])
    @pytest.mark.parametrize("size", [(17, 33), (50, 21)])
    def test_any_size_grey_or_coloured(self, channels, size):
        found = dejpeg(picture(*size, channels), method=quick(PRESETS["dejpeg"], 2, PRESETS["dejpeg"].generator))
        assert found.image.shape == (1, channels, *size)

    def test_a_budget_ends_it(self):
        found = denoise(picture(20, 24), method=quick(DENOISE, 10_000), run=Run(budget=0.3))
        assert found.ending == ("out_of_time",)
        assert 0 < found.steps[0] < 10_000

    def test_each_of_several_runs_has_its_share_of_the_budget(self):
        """A run that never began would be averaged in as noise."""
        watched = []
        run = Run(runs=3, budget=1.5, watch=watched.append)
        denoise(picture(20, 24), method=quick(DENOISE, 10_000), run=run)
        starts = [k for k, step in enumerate(watched) if step.index == 0] + [len(watched)]
        taken = [b - a for a, b in pairwise(starts)]
        assert len(taken) == 3
        assert min(taken) > max(taken) / 10

    def test_decibels_are_of_the_data_alone(self):
        noisy = picture(24, 32)
        found = denoise(noisy, method=quick(PRESETS["tv-denoise"], 5, PRESETS["tv-denoise"].generator))
        assert found.decibels[0] == pytest.approx(decibels(float((found.painted - noisy).square().mean())))
        small = picture(8, 8)
        large = superresolve(small, 8, method=quick(PRESETS["superresolve-8"], 2))
        error = float((downsample(large.painted, 8) - small).square().mean())
        assert large.decibels[0] == pytest.approx(decibels(error))

    def test_without_a_stop_rule_the_output_has_no_jitter(self):
        """It is nearer to the truth than what a jittered input becomes, on average over seeds."""
        truth, gains = picture(), []
        small = downsample(truth, 4).clamp(0, 1)
        for seed in range(3):
            jittered = []
            watched = Run(seed, watch=lambda step, kept=jittered: kept.append(step.image))
            found = superresolve(small, 4, method=quick(PRESETS["superresolve-4"], 100), run=watched)
            gains.append(psnr(found.image, truth) - psnr(jittered[-1], truth))
        assert np.mean(gains) > 0.3

    def test_eight_times_has_settings_of_its_own(self):
        assert superresolve(picture(4, 4), 8, run=Run(budget=0.0)).method == "superresolve-8"
        assert superresolve(picture(4, 4), 4, run=Run(budget=0.0)).method == "superresolve-4"

    def test_what_cannot_be_used_is_refused_in_a_sentence(self):
        good = picture(20, 24)
        for call, error, sentence in (
            (lambda: denoise(good * 255), ValueError, r"lie in \[0, 1\]"),
            (lambda: denoise((good * 255).byte()), TypeError, "divide 8-bit"),
            (lambda: denoise(good[:, :2]), ValueError, "1 or 3"),
            (lambda: inpaint(good, torch.zeros(1, 1, 5, 5)), ValueError, "24x20 pixels"),
            (lambda: inpaint(good, torch.ones(1, 1, 20, 24)), ValueError, "everything is missing"),
            (lambda: flash(good, picture(10, 24)), ValueError, "differ in size"),
            (lambda: superresolve(good, 1), ValueError, "2 or more"),
        ):
            with pytest.raises(error, match=sentence):
                call()


class TestRules:
    def test_average(self):
        assert seen([0, 1, 1], Averaged(decay=0.5)) == (2, 0.75)

    def test_windowed_variance_is_the_variance_of_the_window(self):
        rng = np.random.default_rng(0)
        values = rng.random(40)
        monitor = WindowedVariance(window=8, patience=100).start(PROBLEM)
        for k, value in enumerate(values):
            monitor(Step(k, torch.full((1, 3, 2, 2), float(value)), None, torch.zeros(1)))
        by_hand = [np.float16(values[k - 7 : k + 1]).astype(float).var() for k in range(7, 40)]
        assert monitor.least == pytest.approx(min(by_hand), abs=1e-9)
        assert monitor.index == 7 + int(np.argmin(by_hand))

    @pytest.mark.parametrize("rule", [WindowedVariance(window=5, patience=12), MovingVariance(0.3, patience=12)])
    def test_it_stops_after_its_patience_and_returns_the_least_variance(self, rule):
        moving = [*(1 - 0.8 ** np.arange(30)), *[1.0] * 12, *np.where(np.arange(60) % 2, 1.0, 0.2)]
        stopped, chosen = seen(moving, rule)
        assert 35 < stopped < 60
        assert chosen == pytest.approx(1.0, abs=1e-6)

    @pytest.mark.parametrize("rule", [WindowedVariance(window=5, patience=12), MovingVariance(0.3, patience=12)])
    def test_with_an_average_the_average_of_that_step_is_returned(self, rule):
        moving = [*(1 - 0.8 ** np.arange(30)), *[1.0] * 12, *np.where(np.arange(60) % 2, 1.0, 0.2)]
        monitor = rule.start(PROBLEM)
        averages, average = [], None
        for k, value in enumerate(moving):
            average = value if average is None else 0.5 * average + 0.5 * value
            averages.append(average)
            if monitor(Step(k, torch.full((1, 3, 2, 2), float(value)), None, torch.zeros(1))):
                break
        assert seen(moving, Averaged(0.5, until=rule)) == (k, pytest.approx(averages[monitor.index], abs=1e-6))

    def test_the_rule_never_reads_the_truth(self):
        noisy = picture(20, 24)
        rule = WindowedVariance(window=4, patience=6)
        found = denoise(noisy, method=quick(DENOISE, 400, stop=rule))
        assert found.ending == ("stopped",)
        outputs = []
        denoise(noisy, method=quick(DENOISE, found.steps[0]), run=Run(watch=lambda step: outputs.append(step.image)))
        kept = outputs[found.steps[0] - 1 - 6]
        assert torch.equal(found.image, kept), "the output of least variance, `patience` steps before the end"

    def test_pixels_are_held_out_by_seed_and_picture(self):
        image, rule = picture(20, 24), HeldOut(share=0.1)
        region = rule.pixels(image, 0)
        assert region.shape == (1, 1, 20, 24)
        assert float(region.sum()) == 48
        assert torch.equal(region, rule.pixels(image, 0))
        assert not torch.equal(region, rule.pixels(image, 1))
        assert not torch.equal(region, rule.pixels(1 - image, 0))
        most = HeldOut(share=0.999).pixels(image[..., :4, :4], 0)
        assert float(most.sum()) == 15, "one pixel is left to learn"

    def test_held_out_pixels_decide_and_are_not_learned(self):
        given = torch.zeros(1, 3, 4, 4)
        region = torch.zeros(1, 1, 4, 4)
        region[..., 0, 0] = 1
        monitor = HeldOut(decay=0.5, patience=5).start(Problem(given, region=region))
        held = [1.0, 0.5, 0.1, 0.3, 0.6, 0.8, 0.9, 0.9, 0.9, 0.9]
        averages, average = [], None
        for k, value in enumerate(held):
            painted = torch.full_like(given, 1 - k / 10)  # elsewhere it comes ever closer, which must not count
            painted[..., 0, 0] = value
            average = painted if average is None else (average + painted) / 2
            averages.append(average)
            if monitor(Step(k, painted, None, torch.zeros(1))):
                break
        best = int(np.argmin([float(a[0, 0, 0, 0]) for a in averages]))
        assert (monitor.index, k) == (best, best + 5)
        assert monitor.least == pytest.approx(float(averages[best][0, 0, 0, 0]) ** 2)
        assert torch.allclose(monitor.chosen(), averages[best])

    def test_what_is_held_out_does_not_reach_the_descent(self):
        noisy, rule = picture(20, 24), HeldOut(share=0.2, patience=1000)
        method = quick(DENOISE, 3, stop=rule)
        region = rule.pixels(noisy, 0)
        other = torch.where(region.bool(), 1 - noisy, noisy)
        painted: list[list[torch.Tensor]] = [[], []]
        with (
            patch.object(HeldOut, "pixels", lambda *_: region),
            patch("cfexplain.restore.restoration.generator_for", lambda *_: torch.Generator().manual_seed(0)),
        ):
            for image, outputs in zip((noisy, other), painted, strict=True):
                denoise(image, method=method, run=Run(watch=lambda step, kept=outputs: kept.append(step.image)))
        assert all(torch.equal(a, b) for a, b in zip(*painted, strict=True))

    def test_what_starts_at_the_image_does_not_see_them_either(self):
        """Total variation starts at its input: noise left there would look like a perfect answer."""
        clean, method = picture(), PRESETS["tv-denoise"]
        noisy = (clean + 0.1 * torch.randn(clean.shape, generator=torch.Generator().manual_seed(2))).clamp(0, 1)
        found = denoise(noisy, method=replace(method, edit=replace(method.edit, stop=HeldOut(patience=100))))
        assert psnr(found.image, clean) > psnr(noisy, clean) + 5

    def test_each_of_several_runs_holds_out_pixels_of_its_own(self):
        noisy, method = picture(), quick(DENOISE, 5, stop=HeldOut())
        both = denoise(noisy, method=method, run=Run(runs=2)).image
        each = torch.stack([denoise(noisy, method=method, run=Run(seed)).image for seed in (0, 1)])
        torch.testing.assert_close(both, each.mean(0))

    def test_held_out_pixels_are_for_noise(self):
        with pytest.raises(ValueError, match="holding pixels out is for noise"):
            dejpeg(picture(8, 8), method=quick(PRESETS["dejpeg"], 2, stop=HeldOut()))
        with pytest.raises(ValueError, match="hold pixels out"):
            inpaint(picture(8, 8), torch.zeros(1, 1, 8, 8), method=quick(DENOISE, 2, stop=HeldOut()))
        with pytest.raises(ValueError, match="hold pixels out"):
            superresolve(picture(8, 8), 4, method=quick(PRESETS["superresolve-4"], 2, stop=HeldOut()))
        with pytest.raises(ValueError, match="hold pixels out"):
            inpaint(picture(8, 8), torch.zeros(1, 1, 8, 8), method=quick(PRESETS["inpaint"], 2, stop=HeldOut()))
        with pytest.raises(ValueError, match="between 0 and 1"):
            HeldOut(share=1.0)
        with pytest.raises(ValueError, match="no pixels are held out"):
            HeldOut().start(PROBLEM)

    def test_it_stops_before_the_noise_is_learned(self):
        clean = torch.linspace(0.2, 0.8, 32).expand(1, 3, 32, 32).clone()
        noisy = (clean + 0.15 * torch.randn(clean.shape, generator=torch.Generator().manual_seed(1))).clamp(0, 1)
        small = replace(PRESETS["denoise-held-out"], generator=DeepImagePrior((16, 32), (4, 4)))
        held = replace(small, edit=replace(small.edit, steps=500, stop=HeldOut(patience=150), jitter=0.0))
        found = denoise(noisy, method=held)
        late = denoise(noisy, method=replace(held, edit=replace(held.edit, stop=Averaged(0.99))))
        assert found.ending == ("stopped",)
        assert psnr(found.image, clean) > psnr(late.image, clean) + 3


class TestPresets:
    def test_settings_are_the_published_ones(self):
        rows = {
            "denoise": (3000, 0.01, 1 / 30, 2_217_831),
            "denoise-50": (3000, 0.01, 1 / 20, 2_217_831),
            "dejpeg": (2400, 0.01, 1 / 30, 572_827),
            "superresolve-4": (2000, 0.01, 0.03, 2_217_831),
            "superresolve-8": (4000, 0.01, 0.05, 2_217_831),
            "inpaint": (6001, 0.01, 0.03, 3_002_627),
            "inpaint-hole": (5001, 0.01, 0.03, 2_157_955),
            "inpaint-large": (3001, 0.01, 0, 2_996_467),
            "inpaint-half": (11000, 0.001, 0.03, 2_217_831),
            "inpaint-most": (1000, 0.01, 0, 1_027_379),
            "flash": (601, 0.1, 0, 2_184_307),
        }
        for name, (steps, rate, jitter, count) in rows.items():
            method = PRESETS[name]
            network = method.generator.build(torch.zeros(1, 3, 256, 256), torch.Generator())
            assert (method.edit.steps, method.edit.learning_rate, method.edit.jitter) == (steps, rate, jitter), name
            assert sum(p.numel() for p in network.parameters()) == count, name

    @pytest.mark.parametrize("generator", [ResNet(2, 8), TransposedUNet((4, 8, 8))])
    @pytest.mark.parametrize("size", [(37, 50), (32, 64)])
    def test_other_networks_fit_an_image_of_any_size(self, generator, size):
        truth = picture(*size)
        found = denoise(truth, method=quick(PRESETS["denoise-paper"], 60, generator, jitter=0.0))
        assert found.history[-1] > found.history[0] + 1.5

    def test_baselines(self):
        truth = picture()
        noisy = (truth + 0.1 * torch.randn(truth.shape, generator=torch.Generator().manual_seed(0))).clamp(0, 1)
        assert (
            psnr(denoise(noisy, method=quick(PRESETS["tv-denoise"], 100, PRESETS["tv-denoise"].generator)).image, truth)
            > psnr(noisy, truth) + 4
        )
        small = downsample(truth, 4).clamp(0, 1)
        methods = {name: quick(PRESETS[name], 150, PRESETS["tv-4"].generator) for name in ("no-prior-4", "tv-4")}
        enlarged = {name: superresolve(small, 4, method=method).image for name, method in methods.items()}
        assert psnr(enlarged["tv-4"], truth) > psnr(enlarged["no-prior-4"], truth)

    def test_fast_is_narrow_and_shorter(self):
        method = fast(DENOISE)
        network = method.generator.build(torch.zeros(1, 3, 64, 64), torch.Generator())
        assert sum(p.numel() for p in network.parameters()) < 2_217_831 / 3
        assert method.edit.steps == 1200
        assert method.edit.jitter == 0.75 * DENOISE.edit.jitter
        assert method.edit.precision == "bfloat16"

    def test_fast_is_wider_where_there_is_no_noise_to_learn(self):
        half = PRESETS["inpaint-half"]
        assert fast(DENOISE).generator.widths == (32, 64, 64, 64, 64)
        assert fast(half).generator.widths == fast(PRESETS["superresolve-8"]).generator.widths == (64,) * 5
        assert fast(half, widths=(8, 8, 8, 8, 8)).generator.widths == (8,) * 5

    def test_fast_gives_no_skips_to_nets_that_have_none(self):
        """They would be highly detrimental to large holes (Ulyanov et al. 2018)."""
        assert fast(PRESETS["inpaint-hole"]).generator.skips == (0,) * 5

    def test_fast_raises_small_learning_rates_and_then_keeps_more_steps(self):
        half = PRESETS["inpaint-half"].edit
        assert fast(PRESETS["inpaint-half"]).edit.learning_rate == pytest.approx(half.learning_rate / 0.4)
        assert fast(PRESETS["inpaint-half"]).edit.steps == 0.6 * half.steps
        assert fast(DENOISE).edit.learning_rate == DENOISE.edit.learning_rate

    def test_fast_leaves_its_steps_to_a_net_that_is_narrow_already(self):
        assert fast(PRESETS["dejpeg"]).edit.steps == PRESETS["dejpeg"].edit.steps

    def test_fast_returns_the_average(self):
        assert fast(PRESETS["inpaint-hole"]).edit.stop == Averaged(0.99)
        assert fast(DEHAIR).edit.stop == DEHAIR.edit.stop


FAULTS = """
import resource, sys, torch
from cfexplain.restore import reuse_memory
if sys.argv[1] == "reuse":
    assert reuse_memory()
block = lambda: torch.empty(2**24).fill_(1.0)
for _ in range(12):  # where the heap begins decides after how many blocks it has room for one
    block()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(8):
    block()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can keep freed memory")
def test_freed_memory_is_used_again():
    """Eight blocks of 64 MiB fault on each of their 131,072 pages anew, or on next to none."""
    faults = {
        how: int(subprocess.run([sys.executable, "-c", FAULTS, how], capture_output=True, check=True, text=True).stdout)
        for how in ("reuse", "as usual")
    }
    assert faults["as usual"] > 8 * 200  # at least once a huge page of 2 MiB, where there are such
    assert faults["reuse"] < faults["as usual"] / 20


class TestQuality:
    def test_the_published_numbers_are_those_of_the_published_images(self, data):
        site = data / "restoration" / "dip_site"
        pairs = {
            ("denoise25/F16_noisy", "denoise25/F16_GT"): 20.35,
            ("inpaint50/Cameraman256_deep_prior", "inpaint50/Cameraman256_GT"): 29.80,
            ("inpaint50/house_deep_prior", "inpaint50/house_GT"): 39.00,
        }
        for (image, truth), published in pairs.items():
            assert psnr(opened(site, image), opened(site, truth)) == pytest.approx(published, abs=0.006)

    def test_masks(self):
        truth = picture()
        mask = torch.zeros(1, 1, 40, 48)
        mask[..., :20, :] = 1
        image = torch.where(mask.bool(), truth, 1 - truth)
        assert psnr(image, truth, mask) == float("inf")
        assert psnr(image, truth, 1 - mask) < 20


def opened(folder, name):
    array = np.array(Image.open(folder / f"{name}.png"))
    array = array[..., None] if array.ndim == 2 else array
    return torch.from_numpy(array).permute(2, 0, 1)[None].float() / 255


@dataclass(frozen=True)
class WithoutNormalisation(DeepImagePrior):
    """Broken on purpose: no batch normalisation anywhere."""

    def build(self, query, rng):
        network = super().build(query, rng)
        for module in network.modules():
            for name, child in list(module.named_children()):
                if isinstance(child, nn.BatchNorm2d):
                    setattr(module, name, nn.Identity())
        return network


class TestThePriorIsThePublishedOne:
    """A crop of the authors' noisy F16 at the published settings, 60 steps in."""

    STEPS = 60

    def reached(self, data, generator):
        site = data / "restoration" / "dip_site" / "denoise25"
        truth, noisy = (opened(site, f"F16_{kind}")[..., 200:248, 200:248].contiguous() for kind in ("GT", "noisy"))
        method = replace(DENOISE, generator=generator, edit=replace(DENOISE.edit, steps=self.STEPS, stop=Averaged(0.8)))
        return psnr(denoise(noisy, method=method).image, truth) - psnr(noisy, truth)

    def test_it_gains_what_it_should(self, data):
        assert self.reached(data, DENOISE.generator) > 3

    def test_from_zeros_it_does_not(self, data):
        assert self.reached(data, replace(DENOISE.generator, noise=Noise(32, low=0.0, high=0.0))) < 1

    def test_without_normalisation_it_does_not(self, data):
        assert self.reached(data, WithoutNormalisation()) < 1

    def test_padding_shows_in_what_a_constant_input_becomes(self):
        """Reflection leaves a constant constant; zeros draw a frame (PSNR does not tell them apart)."""

        def spread(padding):
            recipe = WithoutNormalisation(TINY.widths, TINY.skips, padding=padding)
            network = recipe.build(picture(), torch.Generator().manual_seed(0))
            return float(network(torch.full((1, 32, 40, 48), 0.05)).detach().std(dim=(2, 3)).max())

        assert spread("reflect") < 1e-6
        assert spread("zeros") > 1e-4

    def test_skips_are_normalised_with_what_they_join(self):
        prior = replace(DENOISE.generator, gains="ones")
        network = prior.build(torch.zeros(1, 3, 64, 64), torch.Generator().manual_seed(0))
        scale = network.scales
        joined = []
        scale.norm.register_forward_hook(lambda module, given, out: joined.append(out))
        network(torch.rand(1, 32, 64, 64))
        assert joined[0].shape[1] == 4 + 128
        torch.testing.assert_close(joined[0].mean(dim=(2, 3)), torch.zeros(1, 132), atol=1e-4, rtol=0)
        torch.testing.assert_close(joined[0].std(dim=(2, 3)), torch.ones(1, 132), atol=0.05, rtol=0)


def test_lanczos_keeps_constants_and_smooth_images():
    flat = torch.full((1, 3, 32, 32), 0.3)
    torch.testing.assert_close(downsample(flat, 8), torch.full((1, 3, 4, 4), 0.3))
    wave = torch.sin(torch.linspace(0, 3, 64)).expand(1, 1, 64, 64)
    torch.testing.assert_close(
        downsample(wave, 4)[..., 3:-3], wave.unfold(3, 4, 4).mean(-1)[:, :, ::4, 3:-3], atol=2e-3, rtol=0
    )
    assert downsample(torch.rand(1, 1, 30, 45), 3).shape == (1, 1, 10, 15)
    ramp = torch.linspace(0, 1, 45).expand(1, 1, 45, 45)
    torch.testing.assert_close(downsample(ramp, 3)[..., 2:-2], ramp[..., ::3, 7:-7:3], msg="centred")
    assert upsample(flat, 4).shape[-1] == 128
