"""A generator's input: fixed noise or coordinates, drawn without touching the global generator."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from cfexplain.images import round8
from cfexplain.types import Images


@dataclass(frozen=True)
class Noise:
    """The fixed input z of a generator, at the query's size.

    Attributes:
        channels: of z.
        low: smallest value of uniform noise.
        high: largest value.
        kind: uniform noise; or the two coordinates in [0, 1] (`channels` is then 2); or the picture itself that the
            generator is built for, such as a flash photograph that guides another.

    Source: Ulyanov et al. 2018 draw 32 channels of U(0, 0.1); Narayanaswamy et al. 2021, figure 1, 3 of U(-1, 1).
    """

    channels: int = 32
    low: float = 0.0
    high: float = 0.1
    kind: Literal["uniform", "coordinates", "picture"] = "uniform"

    def draw(self, query: Images, rng: torch.Generator) -> Float[Tensor, "1 c h w"]:
        """Z for one query, on its device."""
        height, width = query.shape[-2:]
        if self.kind == "coordinates":
            y, x = torch.linspace(0, 1, height), torch.linspace(0, 1, width)
            z = torch.stack(torch.meshgrid(y, x, indexing="ij"))[None]
        elif self.kind == "picture":
            z = query.detach().expand(-1, self.channels, -1, -1)
        else:
            z = torch.rand(1, self.channels, height, width, generator=rng) * (self.high - self.low) + self.low
        return z.to(query.device, query.dtype, memory_format=torch.channels_last)


@contextmanager
def seeded(rng: torch.Generator) -> Iterator[None]:
    """Let layers initialise themselves from `rng`; the global generator is as before afterwards."""
    seed = int(torch.randint(2**62, (), generator=rng))
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        yield


def generator_for(query: Images, seed: int, purpose: str = "") -> torch.Generator:
    """Randomness of one image, a function of the seed, the purpose and the image's eight-bit content."""
    content = round8(query.detach().cpu().float()).mul(255).byte().contiguous().numpy().tobytes()
    digest = hashlib.sha256(f"{seed}:{purpose}{tuple(query.shape)}:".encode() + content).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)
