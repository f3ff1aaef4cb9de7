"""What depends on the device around a descent: transfers, random views, batch sizes, memory that runs out."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

import torch
from torch import Tensor

from cfexplain.classifier.checks import predict
from cfexplain.engine.cuda_graph import GraphedClassifier
from cfexplain.method.views import Views, generator_on, points
from cfexplain.types import Classifier, Images, Prediction

T = TypeVar("T")
S = TypeVar("S")

VERIFIED = 32
"""Images that a GPU verifies at once: the line search shows the classifier each of them in 16 views."""

RECORDING = 4.0
"""Seconds that a GPU needs before a batch of a new size runs (CUDA graphs, plans of convolutions)."""


def prepared(classifier: Classifier, images: Images) -> Classifier:
    """The classifier to search with: on a GPU one whose forward and backward pass are CUDA graphs."""
    return GraphedClassifier(classifier) if images.is_cuda else classifier


def verified_at_once(images: Images) -> int:
    """How many images are verified together: one on a CPU, so that no image depends on its neighbours by rounding."""
    return VERIFIED if images.is_cuda else 1


def predict_each(classifier: Classifier, images: Images, *, defined: bool = True) -> list[Prediction]:
    """The prediction of each image, see `verified_at_once`."""
    some = [predict(classifier, part, defined=defined) for part in images.split(verified_at_once(images))]
    return [p.at(slice(k, k + 1)) for p in some for k in range(len(p.logits))]


def batch_size(images: Images, asked: int | None, one_step: Callable[[], object]) -> int:
    """Images to optimise together: as asked, else one on a CPU and as many as fit into a GPU, by a step's memory."""
    if asked is not None or not images.is_cuda:
        return asked or 1
    return _fitting(images.device, one_step)


def in_batches(items: Sequence[S], size: int, run: Callable[[Sequence[S]], Sequence[T]], release: object) -> list[T]:
    """A result for each item, a batch after the other; where memory runs out, with half as many at once.

    `release` is a classifier whose CUDA graphs hold memory that a smaller batch needs.
    """
    done: list[T] = []
    while len(done) < len(items):
        try:
            done += run(items[len(done) : len(done) + size])
            continue
        except torch.OutOfMemoryError:
            if size == 1:
                raise
        size = (size + 1) // 2  # outside of `except`, whose traceback holds all memory of the failed batch
        if isinstance(release, GraphedClassifier):
            release.forget()
        torch.cuda.empty_cache()
    return done


@contextmanager
def one_thread_each(device: torch.device) -> Iterator[int]:
    """How many searches run beside each other; on a CPU each has one of torch's threads meanwhile.

    So the result of a search does not depend on the number of cores: torch adds up in another order on more threads,
    and Adam amplifies the rounding.
    """
    if device.type != "cpu":
        yield 1
        return
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # of this thread, and of those that start from now on
    try:
        yield threads
    finally:
        torch.set_num_threads(threads)


def one_each(classifier: Classifier, searches: int, beside: int) -> list[Classifier]:
    """The classifier of each search: copies, where searches run beside each other, for a module may keep state.

    Where it cannot be copied, it is the only one, for all searches one after another.
    """
    if beside == 1:
        return [classifier]
    try:
        return [classifier, *(copy.deepcopy(classifier) for _ in range(1, searches))]
    except Exception:  # a classifier may be any object
        return [classifier]


def beside_each_other(tasks: Sequence[S], run: Callable[[S], T], threads: int) -> list[T]:
    """The result of each task, in order; where one fails or is interrupted, the others are not waited for."""
    if threads == 1:  # in this thread, whose GPU and stream are the chosen ones
        return [run(task) for task in tasks]
    pool = ThreadPoolExecutor(threads)
    try:
        return [future.result() for future in [pool.submit(run, task) for task in tasks]]
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def fetch(*columns: Tensor | None) -> Callable[[], list[list[float] | list[None]]]:
    """Columns of numbers, shape (n,) or None, on their way to the CPU together: one by one a GPU would wait for each.

    Calling what is returned waits for them.
    """
    known = torch.stack([column.detach() for column in columns if column is not None])
    arrived = _arriving(known)

    def wait() -> list[list[float] | list[None]]:
        rows = iter(arrived())
        return [[None] * known.shape[1] if column is None else next(rows) for column in columns]

    return wait


def owned(value: Tensor) -> Tensor:
    """Detached; on a GPU a copy, for the next replay of a CUDA graph overwrites its outputs."""
    return value.detach().clone() if value.is_cuda else value.detach()


class ViewStream:
    """Random views of a batch, step after step; an image's do not depend on its neighbours."""

    def __init__(self, views: Views, rngs: Sequence[torch.Generator], device: torch.device) -> None:
        self.views = views
        self.sequences = [points(rng) for rng in rngs]
        self.rngs = [generator_on(device, rng) for rng in rngs] if device.type == "cuda" else list(rngs)

    def draw(self, images: Images) -> Images:
        """The views of the next step; see `Views.draw`."""
        return self.views.apply(images, self.views.drawn(images, self.sequences, self.rngs))

    def keep(self, places: list[int]) -> None:
        """Go on with some of the images."""
        self.sequences, self.rngs = [self.sequences[k] for k in places], [self.rngs[k] for k in places]


class Leaving:
    """Decides which images leave a batch: on a CPU all that are done, on a GPU only where that pays."""

    def __init__(self, device: torch.device) -> None:
        self.costly = device.type != "cpu"
        self.before, self.fastest = time.perf_counter(), math.inf

    def tick(self) -> None:
        """Note the time of a step; the fastest one is that of a recorded batch."""
        now = time.perf_counter()
        self.fastest, self.before = min(self.fastest, now - self.before), now

    def worth(self, places: list[int], size: int, steps_left: int) -> list[int]:
        """The places that go on."""
        staying = worth_leaving(places, size, self.fastest * steps_left) if self.costly else places
        if len(staying) < size:
            self.fastest = math.inf
        return staying


def worth_leaving(stay: list[int], size: int, left: float) -> list[int]:
    """Who goes on where a new batch size costs `RECORDING`: all, or those not done filled up to a half, a quarter, ...

    So later batches meet sizes again that have been recorded already. `stay` are the places that are not done, `left`
    the seconds that the rest of the stage would take at this size.
    """
    smaller = size
    while smaller // 2 >= len(stay):
        smaller //= 2
    if (1 - smaller / size) * left < RECORDING:
        return list(range(size))
    done = [place for place in range(size) if place not in set(stay)]
    return sorted(stay + done[: smaller - len(stay)])


def _fitting(device: torch.device, one_step: Callable[[], object], share: float = 0.5) -> int:
    """How many images fit into a GPU's free memory; `share` of it is dealt out, for CUDA graphs hold their own."""
    before = torch.cuda.memory_allocated(device)
    torch.cuda.reset_peak_memory_stats(device)
    one_step()
    each = max(1, torch.cuda.max_memory_allocated(device) - before)
    cached = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return max(1, min(256, int(share * (torch.cuda.mem_get_info(device)[0] + cached) / each)))


def _arriving(numbers: Tensor) -> Callable[[], list[list[float]]]:
    """Numbers on their way to the CPU; calling waits for them."""
    if not numbers.is_cuda:
        return numbers.tolist
    here = torch.empty(numbers.shape, dtype=numbers.dtype, pin_memory=True).copy_(numbers, non_blocking=True)
    come = torch.cuda.Event()
    come.record(torch.cuda.current_stream(numbers.device))

    def wait() -> list[list[float]]:
        come.synchronize()
        found: list[list[float]] = here.tolist()
        return found

    return wait
