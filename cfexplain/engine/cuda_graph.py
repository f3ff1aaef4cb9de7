"""CUDA graphs: the kernels of a small network take less time than launching them, so they are recorded and replayed."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from cfexplain.types import Classifier, Images, Prediction

SHAPES = 3
"""Shapes of input that stay recorded: a batch, and with its views; each holds the memory of a call."""


class CudaGraph:
    """A module of one tensor whose calls, forward and backward, are CUDA graphs from the second call of a shape on.

    What it answers with is overwritten by the next call. On a CPU, and where the module cannot be recorded (because it
    waits for a number from the GPU, say), it is the module itself.

    Args:
        module: without hooks and without randomness; its weights may change in place between calls.
        tf32: compute matrix products in TF32 (ten bits of mantissa), as torch does convolutions on a GPU.

    Source: `torch.cuda.make_graphed_callables`; what it brings: experiments/benchmarks/throughput.py.
    """

    def __init__(self, module: nn.Module, *, tf32: bool = False) -> None:
        self.module, self.tf32 = module, tf32
        self.calls: dict[tuple[int, ...], Callable[[Tensor], Any] | None] = {}  # None until the second call

    def __call__(self, x: Tensor) -> Any:
        """Call the module."""
        if not x.is_cuda or not torch.is_grad_enabled():
            return self.module(x)
        if tuple(x.shape) not in self.calls:
            while len(self.calls) >= SHAPES:
                del self.calls[next(iter(self.calls))]
            self.calls[tuple(x.shape)] = None
            return self.module(x)
        known = self.calls[tuple(x.shape)]
        if known is None:
            with torch.cuda.device(x.device):
                known = self.calls[tuple(x.shape)] = self._recorded(x)
        return known(x)

    def _recorded(self, x: Tensor) -> Callable[[Tensor], Any]:
        """Record a call of this shape; the example's memory becomes the place where later inputs are put."""
        example = x.detach().clone().requires_grad_(x.requires_grad)
        stream = torch.cuda.current_stream()
        try:
            with _without_waiting():  # a recording that is broken off would leave torch's memory pool in disorder
                self.module(example)
            with tf32_matmul(self.tf32):
                recorded: Callable[[Tensor], Any] = torch.cuda.make_graphed_callables(
                    _Fresh(self.module), (example,), **_OTHER_THREADS_MAY_GO_ON
                )
        except torch.OutOfMemoryError:
            raise
        except RuntimeError:
            torch.cuda.set_stream(stream)
            return self.module
        return recorded


_OTHER_THREADS_MAY_GO_ON: dict[str, Any] = (
    {"capture_error_mode": "thread_local"}
    if "capture_error_mode" in inspect.signature(torch.cuda.make_graphed_callables).parameters
    else {}
)


@contextmanager
def _without_waiting() -> Iterator[None]:
    """Raises RuntimeError where something waits for a number from the GPU."""
    before = torch.cuda.get_sync_debug_mode()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch calls this mode a prototype
        torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode(before)


@contextmanager
def tf32_matmul(wanted: bool) -> Iterator[None]:
    """TF32 in products of matrices; torch has two ways to ask for it, and the older spoils what the newer says."""
    products = torch.backends.cuda.matmul
    name, value = ("fp32_precision", "tf32") if hasattr(products, "fp32_precision") else ("allow_tf32", True)
    before = getattr(products, name)
    if wanted:
        setattr(products, name, value)
    try:
        yield
    finally:
        setattr(products, name, before)


class _Fresh(nn.Module):
    """A module of its own around another: recording replaces `forward`."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, x: Tensor) -> Any:
        """Call it."""
        return self.module(x)


class GraphedClassifier:
    """A classifier whose predictions are replayed, see `CudaGraph`; in all else it is the one that it stands for."""

    def __init__(self, classifier: Classifier) -> None:
        self.classifier = classifier
        self.parts = _Parts(classifier)
        self.replayed = CudaGraph(self.parts)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # a copy that is being made has no classifier yet
            raise AttributeError(name)
        return getattr(self.classifier, name)

    @property
    def module(self) -> Any:
        """The network itself."""
        return getattr(self.classifier, "module", self.classifier)

    def forget(self) -> None:
        """Let go of what is recorded, and of its memory."""
        self.replayed.calls.clear()

    def __call__(self, images: Images, /) -> Prediction:
        """Predict."""
        logits, *rest = self.replayed(images)
        loss = rest.pop() if self.parts.has_loss else None
        return Prediction(logits, tuple(rest), loss)


class _Parts(nn.Module):
    """A prediction as a tuple of tensors; the classifier's own weights stay out of the gradient."""

    def __init__(self, classifier: Classifier) -> None:
        super().__init__()
        self.classifier = [classifier]  # in a list: its parameters are not this module's
        self.has_loss = False

    def forward(self, images: Images) -> tuple[Tensor, ...]:
        """Logits, features, and the estimated loss where there is one."""
        prediction = self.classifier[0](images)
        self.has_loss = prediction.loss is not None
        loss = () if prediction.loss is None else (prediction.loss,)
        return (prediction.logits, *prediction.features, *loss)
