"""Many images at once: one loop over stacked painters, from which images leave as they are done."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from cfexplain.engine.stack import Stack
from cfexplain.generators.langevin import SGLDNoise
from cfexplain.method.stage import Stage
from cfexplain.method.stop import ImageStep, Step
from cfexplain.search.descend import BestIterate, Ending, Solution, descend, minimise
from cfexplain.types import Images, Prediction, Problem

RECORDING = 4.0
"""Seconds that a GPU needs before a batch of a new size runs (`CudaGraph`, plans of convolutions)."""


@dataclass(frozen=True, eq=False)
class DescentTask:
    """One image's part in a batch.

    Attributes:
        module: its painter, moved in place.
        z: the painter's input.
        problem: what is asked of it.
        rng: of its jitter and views.
        anchor: the painting that its edit departs from.
        better: larger is better; the latest of the best steps is kept. None keeps the last step.
        watch: called with each step.
    """

    module: nn.Module
    z: Tensor
    problem: Problem
    rng: torch.Generator | None = None
    anchor: Images | None = None
    better: Callable[[Step], float] | None = None
    watch: Callable[[Step], object] | None = None


def minimise_all(
    searches: Sequence[DescentTask], stage: Stage, *, transfer: bool = False, deadline: float = math.inf
) -> list[Solution]:
    """Run a stage for many images in one loop; each ends as `minimise` would end it alone.

    An image that is done leaves, with its weights and what the optimiser remembers of them, so that the rest goes
    faster. One image alone runs without a stack; the results of several agree with that but for rounding, which
    Adam amplifies over the steps.

    Args:
        searches: of one classifier, one size and one kind of painter; all or none with anchors.
        stage: what is minimised and how.
        transfer: see `descend`.
        deadline: on the clock of `time.perf_counter()`, for all.
    """
    if len(searches) < 2 or isinstance(searches[0].module, SGLDNoise):  # what draws at random cannot be stacked
        return [
            minimise(
                only.module.to(only.z.device), only.z, only.problem, stage, rng=only.rng, anchor=only.anchor,
                transfer=transfer, better=only.better, deadline=deadline, watch=only.watch,
            )
            for only in searches
        ]  # fmt: skip
    runs = {k: BestIterate(s.problem, stage, s.better, s.watch) for k, s in enumerate(searches)}
    z = torch.stack([s.z for s in searches]).contiguous()
    stack, going = Stack([s.module for s in searches], z.device), list(range(len(searches)))
    done: dict[int, Solution] = {}
    anchors = [s.anchor for s in searches if s.anchor is not None]
    steps = descend(
        stack, z, joined([s.problem for s in searches]), stage,
        rng=[s.rng for s in searches if s.rng is not None] or None,
        anchor=torch.cat(anchors) if anchors else None, transfer=transfer,
    )  # fmt: skip
    drawn_until: dict[int, Tensor] = {}
    before, step, fastest = time.perf_counter(), next(steps, None), math.inf
    while step is not None:
        now = time.perf_counter()
        fastest, before = min(fastest, now - before), now  # the others record
        late: Ending | None = "out_of_time" if now >= deadline else None
        for place, k in enumerate(going):
            ended = runs[k].see(ImageStep(step, place)) or late if k in runs else None
            if ended is not None:
                done[k] = runs.pop(k).solution(ended)
                stack.unstack(place, searches[k].module)
                if (rng := searches[k].rng) is not None:
                    drawn_until[k] = rng.get_state()
        stay = [place for place, k in enumerate(going) if k in runs]
        if stay and z.is_cuda:
            stay = _worth_leaving(stay, len(going), fastest * (stage.expected(step.index + 1) - step.index - 1))
        leave = len(stay) < len(going)
        if leave:
            going, fastest = [going[place] for place in stay], math.inf
        try:
            step = steps.send(stay if leave else None)
        except StopIteration:
            break
    for place, k in enumerate(going):
        if k in runs:
            done[k] = runs.pop(k).solution("exhausted")
            stack.unstack(place, searches[k].module)
    for k, state in drawn_until.items():  # what an image drew while it filled up the batch does not count
        searches[k].rng.set_state(state)  # type: ignore[union-attr]
    return [done[k] for k in range(len(searches))]


def _worth_leaving(stay: list[int], size: int, left: float) -> list[int]:
    """Who goes on where a new size costs `RECORDING`: all, or what is not done filled up to a half, a quarter, ...

    So later batches meet sizes again that are known already.

    Args:
        stay: places that are not done.
        size: of the batch.
        left: seconds that the rest of the stage would take at this size.
    """
    smaller = size
    while smaller // 2 >= len(stay):
        smaller //= 2
    if (1 - smaller / size) * left < RECORDING:
        return list(range(size))
    done = [place for place in range(size) if place not in set(stay)]
    return sorted(stay + done[: smaller - len(stay)])


def fitting(search: DescentTask, stage: Stage, share: float = 0.5) -> int:
    """How many images like this one fit into the memory of its GPU.

    One step of one image is tried; `share` of the free memory is dealt out, for recordings hold memory of their own.
    """
    device = search.problem.query.device
    before = torch.cuda.memory_allocated(device)
    torch.cuda.reset_peak_memory_stats(device)
    next(descend(search.module.to(device), search.z, search.problem, stage, rng=search.rng), None)
    each = max(1, torch.cuda.max_memory_allocated(device) - before)
    kept_by_torch = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return max(1, min(256, int(share * (torch.cuda.mem_get_info(device)[0] + kept_by_torch) / each)))


def joined(problems: Sequence[Problem]) -> Problem:
    """The problems of single images as one; they must share the classifier."""
    first = problems[0]
    source = None if first.source is None else _prediction([p.source for p in problems if p.source is not None])
    targets = [p.target for p in problems if p.target is not None]
    regions = [p.region for p in problems if p.region is not None]
    if 0 < len(regions) < len(problems):
        raise ValueError("of a batch either all images have a region or none has")
    return Problem(
        torch.cat([p.query for p in problems]),
        first.classifier,
        source,
        torch.cat(targets) if targets else None,
        torch.cat(regions) if regions else None,
    )


def _prediction(parts: Sequence[Prediction]) -> Prediction:
    losses = [p.loss for p in parts if p.loss is not None]
    features = tuple(torch.cat(tap) for tap in zip(*(p.features for p in parts), strict=True))
    return Prediction(torch.cat([p.logits for p in parts]), features, torch.cat(losses) if losses else None)
