"""Line search: the smallest share of a change that still changes the prediction."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

from cfexplain.classifier.checks import predict
from cfexplain.images import round8
from cfexplain.method.views import Randomness, ViewParameters, Views
from cfexplain.types import Images, Problem


@dataclass(frozen=True)
class LineSearch:
    """Bisection on alpha in base + alpha * change, down to the smallest alpha that keeps the flip.

    A flip is kept where the eight-bit image is predicted as the target and the mean probability of the target over
    that image and fixed random views of it is at least `confidence`. Where the whole change (alpha 1) does not keep
    it, it is left as it is.

    Attributes:
        confidence: mean probability of the target over image and views; None asks for `kept` of the whole
            change's probability, so that the last part of a change is dropped where it gains next to nothing.
        kept: share of the whole change's probability.
        views: fixed views by which a flip is judged.
        rounds: halvings of the interval; alpha is found to 2 ** -rounds.

    Source: ours; the line search of Wachter-like methods along one direction, made robust by views.
    """

    confidence: float | None = None
    kept: float = 0.98
    views: Views = field(default_factory=lambda: Views(count=15))
    rounds: int = 6

    def __call__(
        self, problem: Problem, base: Images, change: Tensor, rng: Randomness, deadline: float = math.inf
    ) -> Float[Tensor, " n"]:
        """Alpha in (0, 1] of each image, found for all at once.

        Args:
            problem: with the classifier and each image's target.
            base: what the changes are added to.
            change: of the same shape.
            rng: of the views: one generator for all, or one an image.
            deadline: on the clock of `time.perf_counter()`, after which no further alpha is tried.
        """
        parameters = self.views.sample(base, rng)

        def probability(alpha: Tensor) -> Tensor:
            return self._probability(problem, round8(base + alpha.view(-1, 1, 1, 1) * change), parameters)

        low, high = base.new_zeros(len(base)), base.new_ones(len(base))
        if time.perf_counter() >= deadline:
            return high
        whole = probability(high)
        asked = self.kept * whole if self.confidence is None else torch.full_like(whole, self.confidence)
        holds = (whole > 0) & (whole >= asked)
        if not bool(holds.any()):
            return high
        for _ in range(self.rounds):
            if time.perf_counter() >= deadline:
                break
            middle = (low + high) / 2
            enough = probability(middle) >= asked
            low, high = torch.where(enough, low, middle), torch.where(enough, middle, high)
        return torch.where(holds, high, 1.0)

    def probability(self, problem: Problem, image: Images, rng: Randomness) -> Float[Tensor, " n"]:
        """Mean probability of the target over each image and its views; 0 where the image itself is not flipped."""
        return self._probability(problem, image, self.views.sample(image, rng))

    def _probability(self, problem: Problem, image: Images, parameters: ViewParameters) -> Tensor:
        target: Tensor = problem.target  # type: ignore[assignment]
        images = torch.cat([image, self.views.apply(image, parameters)])
        seen = predict(problem.classifier, images, defined=False)  # type: ignore[arg-type]
        of_target = seen.probabilities.gather(1, target.repeat(1 + self.views.count)[:, None]).view(-1, len(image))
        return torch.where(seen.logits[: len(image)].argmax(1) == target, of_target.mean(0), 0.0)
