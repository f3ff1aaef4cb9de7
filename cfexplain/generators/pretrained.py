"""A deep image prior pretrained to reconstruct pictures from themselves: it fits another one in ten steps."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from cfexplain.generators.dip import DeepImagePrior
from cfexplain.generators.noise import Noise
from cfexplain.types import Images

WEIGHTS = Path(__file__).parent / "weights"
AUTOENCODER = DeepImagePrior(widths=(16, 32, 64, 96, 96), gains="ones", noise=Noise(kind="picture", channels=3))
"""A narrow hourglass that sees the query itself instead of noise; the shipped weights are of this network."""


@dataclass(frozen=True)
class Pretrained:
    """A deep image prior whose weights begin at learned ones instead of at random.

    An image too small for all scales of the network, or without three channels, starts from random weights.

    Attributes:
        prior: the network and its input.
        weights: the name of shipped weights, or a safetensors file of the network's state, see `pretrain`.

    Raises:
        FileNotFoundError: (by `build`) there are no such weights.
        ValueError: (by `build`) the weights are of another network.

    Source: ours. The shipped weights have learned the ISIC 2017 training images (CC0), without labels:
    experiments/pretrained_prior.py; what they bring: experiments/results/pretrained_prior.md.

    Example:
        >>> generator, rng = Pretrained(), torch.Generator().manual_seed(0)
        >>> query = torch.rand(1, 3, 64, 64)
        >>> generator.build(query, rng)(generator.draw(query, rng)).shape
        torch.Size([1, 3, 64, 64])
    """

    prior: DeepImagePrior = AUTOENCODER
    weights: str = "isic2017"

    def build(self, query: Images, rng: torch.Generator) -> nn.Module:
        """A network for one query, at the learned weights."""
        network = self.prior.build(query, rng)
        if not self.prior.fits(query):
            return network
        try:
            network.load_state_dict(_state(self.weights))
        except RuntimeError:
            raise ValueError(f"the weights {self.weights} are of another network than {self.prior}") from None
        return network

    def draw(self, query: Images, rng: torch.Generator) -> Float[Tensor, "1 c h w"]:
        """The prior's input."""
        return self.prior.draw(query, rng)


def _state(weights: str) -> dict[str, Tensor]:
    """The learned weights in float32."""
    shipped = WEIGHTS / f"{weights}.safetensors"
    path = shipped if shipped.exists() else Path(weights)
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in WEIGHTS.glob("*.safetensors")))
        raise FileNotFoundError(f"there are no weights named {weights} (shipped: {known}) and no such file")
    return _read(path.resolve(), path.stat().st_mtime_ns)


@lru_cache(maxsize=4)
def _read(path: Path, written: int) -> dict[str, Tensor]:
    """What a file held when it was written, kept for the next query."""
    from safetensors.torch import load_file

    return {name: value.float() for name, value in load_file(path).items()}
