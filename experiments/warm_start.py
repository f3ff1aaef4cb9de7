"""A warm start: weights from which the hourglass learns any lesion in few steps.

    python experiments/warm_start.py learn       20 minutes on one core; goes on from its checkpoint
    python experiments/warm_start.py ship        keep the learned weights, in half precision, in the package
    python experiments/warm_start.py measure     decibels against steps, cold and warm; writes results/warm_start.json

Reptile (Nichol, Achiam, Schulman 2018): from the shared weights, a copy learns one training lesion, from fresh noise, by
a few steps of Adam; the shared weights then move a little towards the copy's. The lesions are those of the ISIC 2017
training split (CC0), without their labels; it is measured on HAM10000 validation lesions.
"""

from __future__ import annotations

import copy
import random
import statistics
import time

import torch
from safetensors.torch import load_file, save_file
from safetensors.torch import save as pack
from shared import DATA, RESULTS, RUNS, command, ham10000, write_json
from torch import nn

from cfexplain.generators import Generator
from cfexplain.generators.warm import STARTS
from cfexplain.images import square
from cfexplain.method.objective import total
from cfexplain.method.presets import HOURGLASS, NATURAL_WARM
from cfexplain.method.stage import Stage
from cfexplain.method.stop import psnr
from cfexplain.search.descend import descend
from cfexplain.terms import SamePixels
from cfexplain.types import Problem
from cfexplain_datasets import open_dataset
from cfexplain_datasets.splits import without_leaks

RUN = RUNS / "warm_start"
LEARNED = RUN / "start.safetensors"
SIZES = (64, 96, 128, 128)
ROUNDS, INNER, RATE = 1000, 40, 1e-2
MOST = 100
"""Steps that are measured."""


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
    lesions = without_leaks(open_dataset("isic2017", DATA / "isic" / "isic2017_256")).subset("train")
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
        pace = 0.5 * (1 - k / ROUNDS) + 0.02
        with torch.no_grad():
            for mine, its in zip(shared.parameters(), copied.parameters(), strict=True):
                mine += pace * (its - mine)
        if (k + 1) % 20 == 0:
            state = {name: value.contiguous() for name, value in shared.state_dict().items()}
            save_file(state | {"round": torch.tensor(k + 1)}, LEARNED)
            decibels = statistics.mean(recent)
            print(f"{k + 1}: {decibels:.2f} dB after {INNER} steps, {time.time() - began:.0f} s", flush=True)
            recent = []


def ship() -> None:
    """In half precision: the network's first steps forget the rounding."""
    state = {name: value.half() for name, value in load_file(LEARNED).items() if name != "round"}
    (STARTS / "isic2017.safetensors").write_bytes(pack(state))


def curve(generator: Generator, images: list[torch.Tensor]) -> list[list[float]]:
    """Decibels before each of `MOST` steps, a row an image."""
    found = []
    for k, image in enumerate(images):
        rng = torch.Generator().manual_seed(k)
        module, z = generator.build(image, rng), generator.draw(image, rng)
        stage = Stage(total((10.0, SamePixels())), steps=MOST, learning_rate=RATE)
        found.append([psnr(step.image, image) for step in descend(module, z, Problem(image), stage)])
    return found


def measure(count: int) -> None:
    """Cold against warm, of validation lesions at three sizes."""
    val = ham10000("val")
    table = val.table.drop_duplicates("lesion_id")
    lesions = [val.select([name])[0] for name in table.index[:: len(table) // count][:count]]
    found = {}
    for size in (64, 128, 224):
        images = [square(lesion.image, size)[None] for lesion in lesions]
        for name, generator in (("cold", HOURGLASS), ("warm", NATURAL_WARM.generator)):
            rows = torch.tensor(curve(generator, images))
            reached = [int((row >= 30).nonzero()[0]) if bool((row >= 30).any()) else MOST for row in rows]
            found[f"{name}, {size}"] = {
                "decibels": {k: round(float(rows[:, k].mean()), 2) for k in (0, 5, 10, 20, 30, 40, 60, MOST - 1)},
                "steps to 30": statistics.median(reached),
                "n": len(rows),
            }
            print(name, size, found[f"{name}, {size}"], flush=True)
    write_json(RESULTS / "warm_start.json", found)


def main() -> None:
    parser = command(__doc__)
    parser.add_argument("what", choices=["learn", "ship", "measure"])
    parser.add_argument("--count", type=int, default=20, help="lesions to measure on")
    args = parser.parse_args()
    {"learn": learn, "ship": ship, "measure": lambda: measure(args.count)}[args.what]()


if __name__ == "__main__":
    main()
