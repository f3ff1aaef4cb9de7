"""The smallest share of a change that still changes the classifier's mind."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from cfexplain.classifier import predict
from cfexplain.images import round8
from cfexplain.types import Images, Problem
from cfexplain.views import Views


@dataclass(frozen=True)
class Shrink:
    """Bisection on alpha in base + alpha * change, down to the smallest that keeps the change of mind.

    Kept means: the classifier says the target of the eight-bit image, and the mean probability of the target over
    that image and fixed random views of it is at least `confidence`. Where the whole change (alpha 1) does not keep
    it, it is left as it is.

    Attributes:
        confidence: mean probability of the target over image and views; None asks for `kept` of what the whole
            change reaches: the last part of a change goes where next to nothing is lost by it.
        kept: share of the whole change's probability.
        views: fixed views by which a flip is judged.
        rounds: halvings of the interval; alpha is found to 2 ** -rounds.

    Source: ours; the line search of Wachter-like methods along one direction, made robust by views.
    """

    confidence: float | None = None
    kept: float = 0.98
    views: Views = field(default_factory=lambda: Views(count=15))
    rounds: int = 6

    def __call__(self, problem: Problem, base: Images, change: Tensor, rng: torch.Generator) -> float:
        """Alpha in (0, 1]."""
        state = rng.get_state()

        def probability(alpha: float) -> float:
            rng.set_state(state)
            return self.probability(problem, round8(base + alpha * change), rng)

        whole = probability(1.0)
        asked = self.kept * whole if self.confidence is None else self.confidence
        if whole == 0 or whole < asked:
            return 1.0
        low, high = 0.0, 1.0
        for _ in range(self.rounds):
            middle = (low + high) / 2
            low, high = (low, middle) if probability(middle) >= asked else (middle, high)
        return high

    def probability(self, problem: Problem, image: Images, rng: torch.Generator) -> float:
        """Mean probability of the target over the image and its views; 0 where the image itself is not flipped."""
        seen = predict(problem.classifier, torch.cat([image, self.views.draw(image, rng)]))  # type: ignore[arg-type]
        target = int(problem.target)  # type: ignore[arg-type]
        flips = int(seen.logits[0].argmax()) == target
        return float(seen.probabilities[:, target].mean()) if flips else 0.0
