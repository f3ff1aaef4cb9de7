"""A painter that begins half-way: weights from which the hourglass learns any lesion in few steps.

    python experiments/warm_start.py learn       about 20 minutes on one core; goes on from its checkpoint
    python experiments/warm_start.py measure     steps to 32 decibels, cold and warm, on validation lesions

Reptile (Nichol, Achiam, Schulman 2018): from the shared weights, a copy learns one training lesion, from fresh noise, by
a few steps of Adam; the shared weights then move a little towards the copy's. No lesion of the validation or test
splits is used to learn.
"""

from __future__ import annotations

import argparse
import copy
import random
import time

import torch
from isic_comparison import DATA, RESULTS, ROOT
from safetensors.torch import load_file, save_file
from torch import nn

from cfexplain.images import resize, square
from cfexplain.methods import HOURGLASS
from cfexplain.stop import psnr
from cfexplain_datasets import open_dataset

RUN = ROOT / "runs" / "warm_start"
LEARNED = RUN / "start.safetensors"
SIZES = (64, 96, 128, 128)
ROUNDS, CYCLE, INNER, RATE = 1600, 800, 40, 1e-2


def learn_one(network: nn.Module, image: torch.Tensor, rng: torch.Generator, steps: int) -> float:
    """Some steps of Adam on one image; decibels at the last."""
    z = HOURGLASS.draw(image, rng)
    optimiser = torch.optim.Adam(network.parameters(), lr=RATE, fused=True)
    for _ in range(steps):
        painted = network(z)
        loss = (painted - image).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return psnr(painted.detach(), image)


def learn() -> None:
    """Reptile over training lesions."""
    RUN.mkdir(parents=True, exist_ok=True)
    lesions = open_dataset("ham10000", DATA / "isic" / "ham10000_200x150").subset("train")
    names = list(lesions.table.index)
    rng = torch.Generator().manual_seed(0)
    shared = HOURGLASS.build(torch.zeros(1, 3, 128, 128), rng)
    done = 0
    if LEARNED.exists():
        state = load_file(LEARNED)
        done = int(state.pop("round"))
        shared.load_state_dict(state)
    began, recent = time.time(), []
    for k in range(done, ROUNDS):
        draw = random.Random(k)
        lesion = next(iter(lesions.select([draw.choice(names)])))
        image = square(lesion.image, draw.choice(SIZES))[None]
        copied = copy.deepcopy(shared)
        recent.append(learn_one(copied, image, torch.Generator().manual_seed(k), INNER))
        pace = (0.5, 0.27)[k // CYCLE] * (1 - k % CYCLE / CYCLE) + 0.02
        with torch.no_grad():
            for mine, its in zip(shared.parameters(), copied.parameters(), strict=True):
                mine += pace * (its - mine)
        if (k + 1) % 20 == 0:
            state = {name: value.contiguous() for name, value in shared.state_dict().items()}
            save_file(state | {"round": torch.tensor(k + 1)}, LEARNED)
            print(
                k + 1,
                f"{sum(recent) / len(recent):.2f} dB after {INNER} steps, {time.time() - began:.0f} s",
                flush=True,
            )
            recent = []


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["learn", "measure"])
    args = parser.parse_args()
    {"learn": learn}[args.what]()


if __name__ == "__main__":
    main()
