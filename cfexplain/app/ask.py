"""What a visitor asks of a picture."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from cfexplain import images as files
from cfexplain.method.presets import at_confidence, load_method
from cfexplain.method.stage import Method
from cfexplain.types import Image, Images


@dataclass(frozen=True, eq=False)
class Ask:
    """What a visitor asks of a picture.

    Attributes:
        target: name of a class; auto is the second most likely.
        method: its name, as in `cfexplain explain`.
        confidence: probability of the target to reach; None as the method has it.
        seed: same seed, same result.
        budget: seconds; None is no limit.
        region: 1 where the picture may change, of the classifier's square at any size; None is everywhere.
    """

    target: str = "auto"
    method: str = "natural"
    confidence: float | None = None
    seed: int = 0
    budget: float | None = None
    region: Float[Tensor, "1 s s"] | None = None

    def chosen(self) -> Method:
        """The method, asked for the confidence.

        Raises:
            ValueError: there is no such method, or a number is out of range.
        """
        if self.budget is not None and not self.budget > 0:
            raise ValueError(f"the budget is a number of seconds above 0, got {self.budget:g}; leave it empty for none")
        method = load_method(self.method)
        return method if self.confidence is None else at_confidence(method, self.confidence)

    def within(self, picture: Image, query: Images) -> Tensor | None:
        """The region as the classifier's square of zeros and ones, with the batch's leading one.

        Raises:
            ValueError: nothing of it is left to change.
        """
        if self.region is None:
            return None
        if not self.region.any():
            raise ValueError("nothing is painted: paint where the picture may change, or let it change everywhere")
        size = query.shape[-1]
        if not bool((files.resize(self.region[None].float(), size) > 0.5).any()):
            raise ValueError("what is painted is too thin for the classifier to see: paint a larger area")
        return files.square_mask(self.region.float(), picture, size)[None].to(query)
