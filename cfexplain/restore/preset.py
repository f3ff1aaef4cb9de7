"""Settings of restoration as values of `Method`: the published ones, other networks, stop rules and baselines.

The tasks differ in their data term; the rest is the generator, the steps, and the rule that selects the output.
"""

from collections.abc import Mapping
from dataclasses import replace

from cfexplain.generators import DeepImagePrior, Generator, Noise, Pixels, ResNet, TransposedUNet
from cfexplain.method.objective import Objective, total
from cfexplain.method.stage import Method, Stage
from cfexplain.method.stop import StopRule
from cfexplain.restore.rule import Averaged, HeldOut, MovingVariance, WindowedVariance
from cfexplain.terms import KnownPixels, LowResolution, SamePixels, TotalVariation

HOURGLASS = DeepImagePrior()  # The published network for denoising and super-resolution: 2,217,831 parameters.
# `fast`: share of the steps, largest learning rate to which a smaller one is raised, largest width of a skip.
SHARE, RATE, SKIP = 0.4, 1e-2, 16


def _method(
    name: str,
    objective: Objective,
    steps: int,
    generator: Generator = HOURGLASS,
    *,
    jitter: float = 0.0,
    rate: float = 1e-2,
    stop: StopRule | None = None,
) -> Method:
    return Method(name, generator, Stage(objective, steps, rate, stop, jitter=jitter), transfer="never")


def _large_hole(depth: int) -> Method:
    """Inpainting of a large region by an hourglass without skips of 1 to 6 scales: `library`; deeper is better."""
    widths = (16, 32, 64, 128, 128, 128)[:depth]
    skips, noise = (0,) * depth, Noise(channels=1)
    generator = DeepImagePrior(widths, skips, kernel_down=5, upsampling="nearest", pointwise=False, noise=noise)
    return _method("inpaint-large" if depth == 6 else f"inpaint-large-{depth}", _KNOWN, 3001, generator)


def _variant(method: Method, name: str, **changes: object) -> Method:
    return replace(method, name=name, edit=replace(method.edit, **changes))  # type: ignore[arg-type]


_SAME, _KNOWN, _VARIATION = total((1.0, SamePixels())), total((1.0, KnownPixels())), TotalVariation(power=1)

DENOISE = _method("denoise", _SAME, 3000, jitter=1 / 30, stop=Averaged(0.99))
"""Gaussian noise of sigma 25: the released notebook (the paper stops after 1,800 steps)."""

_SNAIL = DeepImagePrior((8, 16, 32, 64, 128), (0, 0, 0, 4, 4), noise=Noise(3))
DEJPEG = _method("dejpeg", _SAME, 2400, _SNAIL, jitter=1 / 30, stop=Averaged(0.99))
"""JPEG blocks and ringing: the released notebook's `snail`."""

SUPERRESOLVE_4 = _method("superresolve-4", total((1.0, LowResolution(4))), 2000, jitter=0.03)
"""Four times larger on each side."""

SUPERRESOLVE_8 = _method("superresolve-8", total((1.0, LowResolution(8))), 4000, jitter=0.05)
"""Eight times larger on each side."""

INPAINT = _method("inpaint", _KNOWN, 6001, DeepImagePrior(skips=(128,) * 5, upsampling="nearest"), jitter=0.03)
"""Text and scratches: the released notebook's `kate`."""

_PICTURE = Noise(3, kind="picture")
_GUIDED = DeepImagePrior(upsampling=("nearest", "nearest", "bilinear", "bilinear", "bilinear"), noise=_PICTURE)
FLASH = _method("flash", _SAME, 601, _GUIDED, rate=0.1)
"""A dark photograph, from one with flash as input: `cave`."""

_NARROW = DeepImagePrior((16, 32, 64, 96, 96), (16,) * 5, upsampling="nearest", gains="ones")
DEHAIR = _method("dehair", _KNOWN, 400, _NARROW, jitter=0.03, stop=Averaged(0.98))
"""Skin under hair: the settings for text, with a narrow network and few steps to save time. Ours, tuned on one lesion:
without jitter the best output comes earlier and is lost again, and after 400 steps little is gained."""

_FROM_COORDINATES = DeepImagePrior(skips=(0,) * 5, upsampling="nearest", noise=Noise(2, kind="coordinates"))
_METHODS = (
    DENOISE,
    # Stronger noise, sigma 50.
    _variant(DENOISE, "denoise-50", jitter=1 / 20),
    # The paper's 29.22 dB: the last output after 1,800 steps.
    _variant(DENOISE, "denoise-paper", steps=1800, stop=None),
    # The outputs that ES-WMV and ES-EMV select, as published.
    _variant(DENOISE, "denoise-wmv", steps=5000, stop=WindowedVariance()),
    _variant(DENOISE, "denoise-emv", steps=5000, stop=MovingVariance()),
    # The average at the step that ES-WMV selects: ours.
    _variant(DENOISE, "denoise-stopped", steps=5000, stop=Averaged(0.99, until=WindowedVariance())),
    # The average at the step with the least error on held-out pixels: ours.
    _variant(DENOISE, "denoise-held-out", steps=5000, stop=HeldOut()),
    DEJPEG,
    SUPERRESOLVE_4,
    SUPERRESOLVE_8,
    INPAINT,
    # Every second pixel missing: the table of eleven grey images.
    _method("inpaint-half", _KNOWN, 11000, jitter=0.03, rate=1e-3),
    # 98 % of the pixels missing.
    _method("inpaint-most", _KNOWN, 1000, DeepImagePrior((16, 32, 64, 128, 128), (0,) * 5, downsampling="average")),
    # One object removed: `vase`.
    _method("inpaint-hole", _KNOWN, 5001, _FROM_COORDINATES, jitter=0.03),
    *(_large_hole(depth) for depth in range(2, 7)),
    _method("inpaint-large-unet", _KNOWN, 3001, TransposedUNet(), rate=1e-3),
    _method("inpaint-large-resnet", _KNOWN, 3001, ResNet(), rate=1e-3),
    FLASH,
    DEHAIR,
    # Free pixels that are right when reduced: the control.
    _method("no-prior-4", total((1.0, LowResolution(4))), 500, Pixels("noise"), rate=0.05),
    _method("tv-4", total((1.0, LowResolution(4)), (0.01, _VARIATION)), 500, Pixels("noise"), rate=0.05),
    _method("tv-denoise", total((1.0, SamePixels()), (0.15, _VARIATION)), 300, Pixels(), rate=0.05),
    _method("tv-inpaint", total((1.0, KnownPixels()), (0.01, _VARIATION)), 1000, Pixels("noise"), rate=0.05),
)

PRESETS: Mapping[str, Method] = {method.name: method for method in _METHODS}
"""All methods by name."""


def fast(method: Method, *, widths: tuple[int, ...] | None = None, share: float | None = None) -> Method:
    """The same task by a narrow network in fewer steps, with a larger learning rate if it is small, in bfloat16.

    Three quarters of the jitter make up for the steps: a narrow network is slow to learn what jitter blurs, and with
    half of it the noise is soon fitted too. The average of the outputs is returned if the method has no stop rule.

    Args:
        method: with a `DeepImagePrior`; of others only steps and jitter are reduced.
        widths: largest number of channels per scale; skips have at most 16. None is 32, and 64 below the first scale;
            64 there too if the input is clean (inpainting, super-resolution), as there is no noise to be fitted.
        share: of the steps; None is .4, .6 if the learning rate is small (inpaint-half improves to the end), and all
            for a network that is as narrow already (dejpeg is blurred after 960).

    Source: ours, chosen on images of no published table; experiments/restoration.py measures it.

    Example:
        >>> from cfexplain.restore import DENOISE
        >>> fast(DENOISE).edit.steps
        1200
    """
    generator, edit, rate = method.generator, method.edit, method.edit.learning_rate
    clean = any(isinstance(part.term, KnownPixels | LowResolution) for part in edit.objective.parts)
    widths = widths or (64 if clean else 32, 64, 64, 64, 64)
    if isinstance(generator, DeepImagePrior):
        share = share or (1.0 if generator.widths[0] <= widths[0] else 0.6 if rate < RATE else SHARE)
        narrow = tuple(min(pair) for pair in zip(generator.widths, widths + widths[-1:] * 9, strict=False))
        generator = replace(generator, widths=narrow, skips=tuple(min(skip, SKIP) for skip in generator.skips))
        rate = max(rate, min(RATE, rate / SHARE))
    edit = replace(
        edit,
        steps=max(1, round((share or SHARE) * edit.steps)),
        learning_rate=rate,
        jitter=0.75 * edit.jitter,
        stop=edit.stop or Averaged(0.99),
        precision="bfloat16",
    )
    return replace(method, name=f"{method.name}-fast", generator=generator, edit=edit)
