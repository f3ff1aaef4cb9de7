"""The fast form of a preset: a narrow network, fewer steps, bfloat16."""

from __future__ import annotations

from dataclasses import replace

from cfexplain.generators import DeepImagePrior
from cfexplain.method.stage import Method
from cfexplain.restore.rule import Averaged
from cfexplain.terms import KnownPixels, LowResolution

# Share of the steps, largest learning rate to which a smaller one is raised, largest width of a skip.
SHARE, RATE, SKIP = 0.4, 1e-2, 16


def fast(method: Method, *, widths: tuple[int, ...] | None = None, share: float | None = None) -> Method:
    """The same task by a narrow network in fewer steps, with a larger learning rate if it is small, in bfloat16.

    Three quarters of the jitter make up for the steps: a narrow network is slow to learn what jitter blurs. With half
    of it the noise is soon fitted too; twice the width gains little and takes half as long again. The average of the
    outputs is returned if the method has no stop rule.

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
