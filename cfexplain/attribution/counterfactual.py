"""The counterfactual as a captum attribution, which captum's metrics, plots and noise tunnels accept."""

import copy
import math
import time
import warnings
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from captum.attr import Attribution, IntegratedGradients  # noqa: TID253 - the base class; the package imports this file last
from captum.log import log_usage  # noqa: TID253
from torch import Tensor, nn

from cfexplain.attribution.logits import Logits
from cfexplain.attribution.methods import class_indices
from cfexplain.classifier.checks import check_classifier, predict
from cfexplain.images import check_images
from cfexplain.method.presets import NATURAL
from cfexplain.method.stage import Method
from cfexplain.method.stop import CloseEnough
from cfexplain.search.anchor import AnchorTask, fit_anchors
from cfexplain.search.edit import Edit
from cfexplain.search.explain import ANCHOR_SHARE, explain
from cfexplain.types import Classifier, Images, Problem

# Root mean square distance up to which images share an anchor: about the error of the anchor itself (32 dB).
NEAR = 0.03
# Anchors in memory; each takes some megabytes.
CAPACITY = 32
# Perturbed inputs may leave [0, 1]; magnitudes above this are not perturbations but intensities from 0 to 255.
LARGEST = 16.0


class CounterfactualAttribution(Attribution):  # type: ignore[misc]
    """Attributes the target's logit to the change that a counterfactual makes.

    The map is gradient times change on the straight path from the anchor a to the edited output p,

        map = (p - a) * mean_t d logit_target / d x at a + t (p - a),  t = (k + 1/2) / steps,

    of the inputs' shape (n, 3, h, w), in units of the logit: above 0 the change of a pixel raises the target's logit.
    It sums to logit(p) - logit(a), up to the error of the midpoint rule.

    Fitting an anchor takes most of the time, and tools such as noise tunnels perturb an image many times: the last
    anchors are kept, and serve all inputs within a root mean square distance of `NEAR`.

    Args:
        classifier: in evaluation mode; it is not changed.
        method: of the counterfactuals.
        seed: fixed, so that equal inputs have equal maps.
        budget: seconds per image.
        steps: points on the path.

    Raises:
        ValueError: the classifier is in training mode, or there is no point on the path.

    Example:
        >>> import cfexplain, cfexplain_classifiers
        >>> classifier = cfexplain_classifiers.load("synthetic")
        >>> method = CounterfactualAttribution(classifier, method=cfexplain.PIXELS, budget=1.0)
        >>> method.attribute(torch.full((1, 3, 64, 64), 0.6), target=1).shape
        torch.Size([1, 3, 64, 64])

    Source: ours; the path integral is that of Sundararajan et al. 2017, equation 1, from a to p.
    """

    multiplies_by_inputs = True  # The map has a difference of inputs as a factor, as captum's global attributions do.

    def __init__(
        self,
        classifier: Classifier,
        *,
        method: Method = NATURAL,
        seed: int = 0,
        budget: float = math.inf,
        steps: int = 16,
    ) -> None:
        check_classifier(classifier)
        if steps < 1:
            raise ValueError(f"steps must be at least 1, got {steps}")
        super().__init__(Logits(classifier))
        self.classifier, self.method, self.seed, self.budget, self.steps = classifier, method, seed, budget, steps
        self.anchors: deque[_Fitted] = deque(maxlen=CAPACITY)

    @log_usage(part_of_slo=True)  # type: ignore[untyped-decorator] # NoiseTunnel reads `attribute.__wrapped__`
    def attribute(
        self,
        inputs: Tensor | tuple[Tensor, ...],
        target: int | str | Sequence[int | str] | Tensor | None = None,
        *,
        return_counterfactuals: bool = False,
        internal_batch_size: int | None = None,
    ) -> Any:
        """Maps of a batch, and optionally the counterfactuals.

        Args:
            inputs: RGB, shape (n, 3, h, w), or a tuple of one such tensor; values outside [0, 1] are clamped.
            target: class of the counterfactual and of the logit, by index or name, one for all images or one per
                image; None is the second most likely class.
            return_counterfactuals: also return the counterfactual images, shape (n, 3, h, w).
            internal_batch_size: largest number of points of the path in one forward pass.

        Returns:
            The maps, in a tuple if the inputs were in one; with the images, (maps, images). Without a counterfactual
            a map is zero, and a warning says why.

        Raises:
            ValueError: inputs or target have the wrong form.
        """
        images = _images(inputs)
        if target is None:
            target = [int(predict(self.classifier, one).logits.topk(2).indices[0, 1]) for one in images.split(1)]
        elif isinstance(target, Tensor) and target.numel() == 1:  # captum repeats images, but not a single target
            target = int(target)
        targets = class_indices(self.classifier, images, target)
        batch = self.steps if internal_batch_size is None else internal_batch_size
        if batch < 1:
            raise ValueError(f"internal_batch_size must be at least 1, got {batch}")
        with torch.enable_grad():  # captum's metrics call this without gradients
            edits = [self._explain(image, index) for image, index in zip(images.split(1), targets, strict=True)]
        if missing := [edit.status[0] for edit in edits if not edit.found[0]]:  # zeros must not pass for an answer
            text = f"{len(missing)} of {len(edits)} images have no counterfactual. {missing[0].advice}"
            warnings.warn(text, UserWarning, stacklevel=3)
        maps = torch.cat([self._map(edit, batch) for edit in edits]).to(images)
        answer = (maps,) if isinstance(inputs, tuple) else maps
        return (answer, torch.cat([edit.image for edit in edits])) if return_counterfactuals else answer

    def _map(self, edit: Edit, batch: int) -> Images:
        if not bool(edit.difference.any()):
            return torch.zeros_like(edit.query)
        maps: Images = IntegratedGradients(self.forward_func).attribute(
            edit.painted, edit.anchor, int(edit.target), n_steps=self.steps, method="riemann_middle",
            internal_batch_size=batch,
        )  # fmt: skip
        return maps.detach()

    def _explain(self, image: Images, target: int) -> Edit:
        """The counterfactual of one image, starting from a cached anchor if there is one near.

        For the image that the anchor was fitted to, the result is that of `cfexplain.explain`, provided the fit
        ended by its stop rule. If it ran out of steps instead, the anchor is one optimiser step further.
        """
        method, started = self.method, time.perf_counter()
        before = predict(self.classifier, image)
        if method.anchor is not None and int(before.logits.argmax(1)) != target:
            nearest = min(self.anchors, key=lambda fitted: fitted.distance(image), default=None)
            if nearest is None or nearest.distance(image) > NEAR:
                problem = Problem(image, self.classifier, before, torch.tensor([target], device=image.device))
                (anchor,) = fit_anchors([AnchorTask(problem, method, self.seed)], started + ANCHOR_SHARE * self.budget)
                nearest = _Fitted(image.detach().clone(), copy.deepcopy(anchor.module), anchor.z)
                self.anchors.append(nearest)
            once = replace(method.anchor, steps=1, stop=CloseEnough(psnr=-math.inf, patience=1))
            method = replace(method, generator=nearest, anchor=once)
        left = max(0.0, self.budget - (time.perf_counter() - started))
        return explain(self.classifier, image, target, method=method, seed=self.seed, budget=left)


@dataclass(frozen=True, eq=False)
class _Fitted:
    """A `Generator` whose network already reproduces an image; searches edit copies of it."""

    image: Images
    module: nn.Module
    z: Tensor

    def distance(self, image: Images) -> float:
        """Root mean square distance to an image; infinite for other sizes and devices."""
        alike = self.image.shape == image.shape and self.image.device == image.device
        return float((self.image - image).square().mean().sqrt()) if alike else math.inf

    def build(self, query: Images, rng: torch.Generator) -> nn.Module:
        return copy.deepcopy(self.module)

    def draw(self, query: Images, rng: torch.Generator) -> Tensor:
        return self.z


def _images(inputs: Any) -> Images:
    """The one tensor of the inputs, clamped to [0, 1]."""
    if isinstance(inputs, tuple) and len(inputs) != 1:
        raise ValueError(f"counterfactuals are of one tensor of images, got {len(inputs)} inputs")
    images: Tensor = inputs[0] if isinstance(inputs, tuple) else inputs
    clamped = images.detach().clamp(0, 1)
    check_images(clamped)
    if float(images.abs().max()) > LARGEST:
        raise ValueError("images must be intensities in [0, 1]; divide values from 0 to 255 by 255")
    return clamped
