"""Restoration as values of `Method`: every row of the published settings, other nets, baselines, and a fast form.

The tasks differ in their data term; the rest is the generator, the steps, and the rule that hands over an image.
"""

from __future__ import annotations

from dataclasses import replace

from cfexplain.generators import DeepDecoder, DeepImagePrior, Generator, Langevin, Noise, Pixels, ResNet, TransposedUNet
from cfexplain.generators.doubling import Upsampling
from cfexplain.method.objective import Objective, total
from cfexplain.method.stage import Method, Stage
from cfexplain.method.stop import StopRule
from cfexplain.restore.rule import Averaged, HeldOut, MovingVariance, Sampled, WindowedVariance
from cfexplain.terms import KnownPixels, LowResolution, SamePixels, TotalVariation

RATE = 1e-2
NEAREST: Upsampling = "nearest"
HOURGLASS = DeepImagePrior()
"""The published network for noise and resolution: 2,217,831 parameters."""


def _method(
    name: str,
    objective: Objective,
    steps: int,
    *,
    generator: Generator = HOURGLASS,
    jitter: float = 0.0,
    rate: float = RATE,
    stop: StopRule | None = None,
) -> Method:
    return Method(name, generator, Stage(objective, steps, rate, stop, jitter=jitter), transfer="never")


def _at_steps(method: Method, name: str, **changes: object) -> Method:
    return replace(method, name=name, edit=replace(method.edit, **changes))  # type: ignore[arg-type]


_SAME, _KNOWN = total((1.0, SamePixels())), total((1.0, KnownPixels()))

DENOISE = _method("denoise", _SAME, 3000, jitter=1 / 30, stop=Averaged(0.99))
"""Gaussian noise of sigma 25: the released notebook (the paper stops after 1,800 steps)."""

DENOISE_50 = _at_steps(DENOISE, "denoise-50", jitter=1 / 20)
"""Stronger noise, sigma 50."""

DENOISE_PAPER = _at_steps(DENOISE, "denoise-paper", steps=1800, stop=None)
"""The paper's 29.22 dB: the last painting after 1,800 steps."""

DENOISE_WMV = _at_steps(DENOISE, "denoise-wmv", steps=5000, stop=WindowedVariance())
"""The painting chosen by ES-WMV, as published."""

DENOISE_EMV = _at_steps(DENOISE, "denoise-emv", steps=5000, stop=MovingVariance())
"""The painting chosen by ES-EMV, as published."""

DENOISE_STOPPED = _at_steps(DENOISE, "denoise-stopped", steps=5000, stop=Averaged(0.99, until=WindowedVariance()))
"""The average at the step that ES-WMV chooses: ours."""

DENOISE_HELD_OUT = _at_steps(DENOISE, "denoise-held-out", steps=5000, stop=HeldOut())
"""The average at the step at which pixels that were held out are painted best: ours."""

DENOISE_SGLD = _at_steps(
    replace(DENOISE, generator=Langevin(HOURGLASS, 2 * RATE)), "denoise-sgld", steps=20000, stop=Sampled()
)
"""The mean of weights sampled by Langevin dynamics; no early stop."""

DENOISE_DECODER = _method("denoise-decoder", _SAME, 1900, generator=DeepDecoder())
"""The Deep Decoder of 128 channels, 100,224 parameters."""

DEJPEG = _method(
    "dejpeg",
    _SAME,
    2400,
    generator=DeepImagePrior((8, 16, 32, 64, 128), (0, 0, 0, 4, 4), noise=Noise(3)),
    jitter=1 / 30,
    stop=Averaged(0.99),
)
"""Blocks and ringing of JPEG: the released notebook's `snail`."""

SUPERRESOLVE_4 = _method("superresolve-4", total((1.0, LowResolution(4))), 2000, jitter=0.03)
"""Four times as large on each side."""

SUPERRESOLVE_8 = _method("superresolve-8", total((1.0, LowResolution(8))), 4000, jitter=0.05)
"""Eight times as large on each side."""

INPAINT = _method("inpaint", _KNOWN, 6001, generator=DeepImagePrior(skips=(128,) * 5, upsampling=NEAREST), jitter=0.03)
"""Text and scratches: the released notebook's `kate`."""

INPAINT_HALF = _method("inpaint-half", _KNOWN, 11000, jitter=0.03, rate=1e-3)
"""Every second pixel missing: the table of eleven grey pictures."""

INPAINT_MOST = _method(
    "inpaint-most",
    _KNOWN,
    1000,
    generator=DeepImagePrior((16, 32, 64, 128, 128), (0,) * 5, downsampling="average"),
)
"""98 % of the pixels missing."""

INPAINT_HOLE = _method(
    "inpaint-hole",
    _KNOWN,
    5001,
    generator=DeepImagePrior(skips=(0,) * 5, upsampling=NEAREST, noise=Noise(2, kind="coordinates")),
    jitter=0.03,
)
"""One object removed: `vase`."""


def large_hole(depth: int = 6) -> Method:
    """Inpainting of a large region by an hourglass without skips of 1 to 6 scales: `library`; deeper is better.

    Raises:
        ValueError: the depth is not between 1 and 6.
    """
    if not 1 <= depth <= 6:
        raise ValueError(f"depth is the number of scales, 1 to 6, got {depth}")
    widths = (16, 32, 64, 128, 128, 128)[:depth]
    painter = DeepImagePrior(
        widths, (0,) * depth, kernel_down=5, upsampling=NEAREST, pointwise=False, noise=Noise(channels=1)
    )
    return _method("inpaint-large" if depth == 6 else f"inpaint-large-{depth}", _KNOWN, 3001, generator=painter)


INPAINT_LARGE = large_hole()
INPAINT_LARGE_UNET = _method("inpaint-large-unet", _KNOWN, 3001, generator=TransposedUNet(), rate=1e-3)
INPAINT_LARGE_RESNET = _method("inpaint-large-resnet", _KNOWN, 3001, generator=ResNet(), rate=1e-3)

FLASH = _method(
    "flash",
    _SAME,
    601,
    generator=DeepImagePrior(
        upsampling=(NEAREST, NEAREST, "bilinear", "bilinear", "bilinear"), noise=Noise(3, kind="picture")
    ),
    rate=0.1,
)
"""A dark photograph painted from one with flash: `cave`."""

_NARROW, _SKIP = DeepImagePrior((16, 32, 64, 96, 96), gains="ones"), 16

DEHAIR = _method(
    "dehair",
    _KNOWN,
    400,
    generator=replace(_NARROW, skips=(_SKIP,) * 5, upsampling=NEAREST),
    jitter=0.03,
    stop=Averaged(0.98),
)
"""Skin under hair: the settings for text, narrow and short for time. Ours, from a look at one lesion: without jitter
the best comes sooner and is lost again, and after 400 steps little is gained."""

NO_PRIOR_4 = _method("no-prior-4", total((1.0, LowResolution(4))), 500, generator=Pixels("noise"), rate=0.05)
"""Free pixels that look right when reduced: the control."""

TV_4 = _at_steps(NO_PRIOR_4, "tv-4", objective=total((1.0, LowResolution(4)), (0.01, TotalVariation(power=1))))
TV_DENOISE = _method(
    "tv-denoise", total((1.0, SamePixels()), (0.15, TotalVariation(power=1))), 300, generator=Pixels(), rate=0.05
)
TV_INPAINT = _method(
    "tv-inpaint",
    total((1.0, KnownPixels()), (0.01, TotalVariation(power=1))),
    1000,
    generator=Pixels("noise"),
    rate=0.05,
)

PRESETS = {
    m.name: m
    for m in (
        DENOISE, DENOISE_50, DENOISE_PAPER, DENOISE_WMV, DENOISE_EMV, DENOISE_STOPPED, DENOISE_HELD_OUT,
        DENOISE_SGLD, DENOISE_DECODER,
        DEJPEG, SUPERRESOLVE_4, SUPERRESOLVE_8, INPAINT, INPAINT_HALF, INPAINT_MOST, INPAINT_HOLE,
        *(large_hole(depth) for depth in range(2, 6)), INPAINT_LARGE, INPAINT_LARGE_UNET, INPAINT_LARGE_RESNET,
        FLASH, DEHAIR, NO_PRIOR_4, TV_4, TV_DENOISE, TV_INPAINT,
    )
}  # fmt: skip
"""All of the above by name."""


_SHARE = 0.4


def fast(method: Method, *, widths: tuple[int, ...] | None = None, share: float | None = None) -> Method:
    """The same task by a narrow net in fewer steps, longer ones where the method's are short, in bfloat16.

    Three quarters of the jitter make up for the steps: a narrow net learns slowly what jitter blurs. With half of it
    the noise is soon painted too; with twice the width little is gained and half as much time again is spent. The
    average of the paintings is handed over where the method has no other rule.

    Args:
        method: one that paints by a `DeepImagePrior`; of others only steps and jitter are cut.
        widths: at most so many channels a scale; skips have at most 16. None takes 32, and 64 below the first scale;
            64 there too where what is known is clean (inpainting, enlarging): a wider net has no noise to learn.
        share: of the steps; None takes .4, .6 where the method's steps are short (`INPAINT_HALF` gains to the last),
            and all for a net that is as narrow already (`DEJPEG` is blurred after 960).

    Source: ours, on pictures of no table (experiments/fast_restoration.py, where widths and jitters were compared with
        gains of 1, and drawn gains are .2 to .3 dB better again; fast_clean.py where what is known is clean).

    Example:
        >>> fast(DENOISE).edit.steps
        1200
    """
    painter, edit, rate = method.generator, method.edit, method.edit.learning_rate
    clean = any(isinstance(part.term, (KnownPixels, LowResolution)) for part in edit.objective.parts)
    widths = widths or (64 if clean else 32, 64, 64, 64, 64)
    if isinstance(painter, DeepImagePrior):
        share = share or (1.0 if painter.widths[0] <= widths[0] else 0.6 if rate < RATE else _SHARE)
        narrow = tuple(min(pair) for pair in zip(painter.widths, widths + widths[-1:] * 9, strict=False))
        painter = replace(painter, widths=narrow, skips=tuple(min(skip, _SKIP) for skip in painter.skips))
        rate = max(rate, min(RATE, rate / _SHARE))
    share = share or _SHARE
    edit = replace(
        edit,
        steps=max(1, round(share * edit.steps)),
        learning_rate=rate,
        jitter=0.75 * edit.jitter,
        stop=edit.stop or Averaged(0.99),
        precision="bfloat16",
    )
    return replace(method, name=f"{method.name}-fast", generator=painter, edit=edit)
