"""The counterfactual as a captum attribution: captum's metrics, pictures and noise tunnels work on it unchanged."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from captum.attr import Attribution  # noqa: TID253 - a base class is needed at once; the package imports this last
from captum.log import log_usage  # noqa: TID253
from torch import Tensor

from cfexplain.attribution.logits import Logits
from cfexplain.attribution.painter import NEAR, Painters
from cfexplain.classifier.checks import check_classifier, predict
from cfexplain.method.presets import NATURAL
from cfexplain.method.stage import Method
from cfexplain.search.edit import Edit
from cfexplain.types import Classifier, Images, Status

FURTHEST = 16.0
"""Perturbed inputs may leave [0, 1]; values beyond this are no perturbation, but intensities from 0 to 255."""


class CounterfactualAttribution(Attribution):  # type: ignore[misc]
    """Attributes the change of mind to pixels: which part of the counterfactual's change moves the target's logit.

    The map is gradient times change on the way from the anchor a to the edited painting p,

        map = (p - a) * mean_t d logit_target / d x at a + t (p - a),  t = (k + 1/2) / steps,

    of the inputs' shape (n, 3, h, w), in units of the logit; it sums to logit(p) - logit(a), up to the error of the
    midpoint rule. Above 0 the change at a pixel speaks for the target. The plain change |p - a| is an option.

    Args:
        classifier: in evaluation mode; it is left exactly as it was.
        method: of the counterfactuals (see `cfexplain.method.presets`).
        seed: fixed, so that equal inputs have equal maps.
        budget: seconds an image.
        of: "logit", the map above, or "change", |p - a| (intensity).
        steps: points of the path.
        near: an anchor serves all inputs within this root mean square, so that ten perturbed calls do not cost
            ten anchors; 0 for equal inputs only.
        anchors: a folder that keeps anchors for other processes.

    Raises:
        ValueError: the classifier is in training mode, or `of` is neither of the two.

    Example:
        >>> import cfexplain_classifiers
        >>> from cfexplain.method.presets import PIXELS
        >>> classifier = cfexplain_classifiers.load("synthetic")
        >>> method = CounterfactualAttribution(classifier, method=PIXELS, budget=1.0)
        >>> method.attribute(torch.full((1, 3, 64, 64), 0.6), target=1).shape
        torch.Size([1, 3, 64, 64])

    Source: ours; the path integral is that of Sundararajan et al. 2017, equation 1, with the two paintings as ends.
    """

    def __init__(
        self,
        classifier: Classifier,
        *,
        method: Method = NATURAL,
        seed: int = 0,
        budget: float = math.inf,
        of: Literal["logit", "change"] = "logit",
        steps: int = 16,
        near: float = NEAR,
        anchors: str | Path | None = None,
    ) -> None:
        check_classifier(classifier)
        if of not in ("logit", "change") or steps < 1:
            raise ValueError(f"of is logit or change and steps at least 1, got {of!r} and {steps}")
        super().__init__(Logits(classifier))
        self.classifier, self.budget, self.of, self.steps = classifier, budget, of, steps
        self.painters = Painters(method, seed, near, None if anchors is None else Path(anchors))

    @property
    def multiplies_by_inputs(self) -> bool:
        """Whether the map holds a difference of inputs as a factor, as captum's global attributions do."""
        return self.of == "logit"

    @log_usage(part_of_slo=True)  # type: ignore[untyped-decorator]
    def attribute(
        self,
        inputs: Tensor | tuple[Tensor, ...],
        target: int | Sequence[int] | Tensor | None = None,
        *,
        return_counterfactuals: bool = False,
        internal_batch_size: int | None = None,
        show_progress: bool = False,
    ) -> Any:
        """Maps of a batch, and on request the counterfactuals.

        Args:
            inputs: RGB, shape (n, 3, h, w), or a tuple of one such tensor; values that a perturbation has driven
                out of [0, 1] are clamped.
            target: index of the class that the counterfactual reaches and whose logit is attributed, one for all or
                one an image; None is the second most likely class. An image that is already predicted as the target
                has no counterfactual, and a map of zeros.
            return_counterfactuals: also give the images shown, shape (n, 3, h, w).
            internal_batch_size: points of the path in one pass at most.
            show_progress: a bar on standard error, one step an image.

        Returns:
            The maps, in a tuple where the inputs were; with the images, (maps, images).

        Raises:
            AssertionError: inputs or target have the wrong form (as captum's own methods say it).
        """
        images = _images(inputs)
        targets = self._targets(images, target)
        if internal_batch_size is not None and internal_batch_size < 1:
            raise AssertionError(f"internal_batch_size must be at least 1, got {internal_batch_size}.")
        with torch.enable_grad():  # captum's metrics ask without gradients
            found = [
                self.painters.explain(self.classifier, image, index, self.budget)
                for image, index in _progress(images, targets, show_progress)
            ]
        _warn(found)
        maps = torch.cat([self._map(one, internal_batch_size or self.steps) for one in found]).to(images)
        answer = (maps,) if isinstance(inputs, tuple) else maps
        return (answer, torch.cat([one.image for one in found])) if return_counterfactuals else answer

    def _map(self, found: Edit, batch: int) -> Images:
        """Gradient times change on the way, or the change."""
        change = found.difference.detach()
        if self.of == "change" or not bool(change.any()):
            return change.abs() if self.of == "change" else torch.zeros_like(change)
        total = torch.zeros_like(change)
        shares = (torch.arange(self.steps, device=change.device, dtype=change.dtype) + 0.5) / self.steps
        for part in shares.split(batch):
            points = (found.anchor + part.view(-1, 1, 1, 1) * change).detach().requires_grad_()
            with torch.enable_grad():
                logit = self.forward_func(points)[:, int(found.target)].sum()
                total += torch.autograd.grad(logit, points)[0].sum(0)
        return change * total / self.steps

    def _targets(self, images: Images, target: Any) -> list[int]:
        if target is None:
            best = [predict(self.classifier, image).logits.topk(2, dim=1).indices[0, 1] for image in images.split(1)]
            return [int(index) for index in best]
        listed = target.reshape(-1).tolist() if isinstance(target, Tensor) else target
        listed = [listed] if isinstance(listed, int | str) else list(listed)
        listed = listed * len(images) if len(listed) == 1 else listed
        if len(listed) != len(images):
            raise AssertionError(f"Sample size in target must match {len(images)} inputs, got {len(listed)}.")
        count = len(self.classifier.classes)
        wrong = [t for t in listed if not isinstance(t, int) or not 0 <= t < count]
        if wrong:
            raise AssertionError(f"Target must be class indices from 0 to {count - 1}, got {wrong[0]!r}.")
        return listed


def _images(inputs: Any) -> Images:
    """The one tensor among the inputs, in [0, 1]."""
    listed = inputs if isinstance(inputs, tuple) else (inputs,)
    if len(listed) != 1 or not isinstance(listed[0], Tensor):
        raise AssertionError(f"Counterfactuals are of one tensor of images, got {len(listed)} inputs.")
    images: Tensor = listed[0].detach()
    if images.ndim != 4 or images.shape[1] != 3 or not images.is_floating_point() or len(images) == 0:
        raise AssertionError(f"Inputs must be float RGB of shape (n, 3, h, w), got {tuple(images.shape)}.")
    if not bool(images.isfinite().all()) or float(images.abs().max()) > FURTHEST:
        raise AssertionError("Inputs must be finite intensities in [0, 1]; divide values from 0 to 255 by 255.")
    return images.clamp(0, 1)


def _warn(found: Sequence[Edit]) -> None:
    """Say so where there is no counterfactual: a map of zeros must not pass for an answer."""
    missed = [one.status[0] for one in found if one.status[0] is not Status.FOUND]
    if missed:
        warnings.warn(
            f"{len(missed)} of {len(found)} images have no counterfactual. {missed[0].advice}",
            UserWarning,
            stacklevel=4,
        )


def _progress(images: Images, targets: Sequence[int], shown: bool) -> Any:
    pairs = list(zip(images.split(1), targets, strict=True))
    if not shown:
        return pairs
    from tqdm.auto import tqdm

    return tqdm(pairs, desc="Counterfactual attribution")
