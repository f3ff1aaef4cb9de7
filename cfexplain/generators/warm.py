"""A pretrained deep image prior: it starts from meta-learned weights and fits a lesion in fewer steps."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from cfexplain.generators.dip import DeepImagePrior
from cfexplain.types import Images

STARTS = Path(__file__).parent / "starts"
NARROW = DeepImagePrior(widths=(16, 32, 64, 96, 96), gains="ones")
"""The network that the shipped start belongs to."""


@dataclass(frozen=True)
class WarmStart:
    """A deep image prior whose weights begin at learned ones instead of at random.

    The input z is still drawn from the seed, and for each z the shipped weights generate another blurred lesion. An
    image too small for all scales of the network, or without three channels, starts from random weights.

    Attributes:
        prior: the network and its input.
        weights: the name of a shipped start, or a safetensors file of the network's state.

    Raises:
        FileNotFoundError: (by `build`) there is no such start.
        ValueError: (by `build`) the start is of another network.

    Source: Reptile (Nichol, Achiam, Schulman 2018) over the ISIC 2017 training images (CC0), without labels:
    experiments/warm_start.py, where its gain over a cold start is measured.

    Example:
        >>> warm, rng = WarmStart(), torch.Generator().manual_seed(0)
        >>> query = torch.rand(1, 3, 64, 64)
        >>> warm.build(query, rng)(warm.draw(query, rng)).shape
        torch.Size([1, 3, 64, 64])
    """

    prior: DeepImagePrior = NARROW
    weights: str = "isic2017"

    def build(self, query: Images, rng: torch.Generator) -> nn.Module:
        """A network for one query, at the start's weights."""
        network = self.prior.build(query, rng)
        if not self.prior.fits(query):
            return network
        try:
            network.load_state_dict(_state(self.weights))
        except RuntimeError:
            raise ValueError(f"the start {self.weights} is of another network than {self.prior}") from None
        return network

    def draw(self, query: Images, rng: torch.Generator) -> Float[Tensor, "1 c h w"]:
        """The prior's input."""
        return self.prior.draw(query, rng)


def _state(weights: str) -> dict[str, Tensor]:
    """The start's weights in float32."""
    shipped = STARTS / f"{weights}.safetensors"
    path = shipped if shipped.exists() else Path(weights)
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in STARTS.glob("*.safetensors")))
        raise FileNotFoundError(f"there is no start named {weights} (shipped: {known}) and no such file")
    return _read(path.resolve(), path.stat().st_mtime_ns)


@lru_cache(maxsize=4)
def _read(path: Path, written: int) -> dict[str, Tensor]:
    """What a file held when it was written, kept for the next query."""
    from safetensors.torch import load_file

    return {name: value.float() for name, value in load_file(path).items()}
