"""Small networks on a GPU: their kernels are recorded once and replayed; to ask for each costs more than its work."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from cfexplain.types import Classifier, Images, Prediction

SHAPES = 3
"""Shapes of input that stay recorded: a batch, and with its views; each holds the memory of a call."""


class Replayed:
    """A module of one tensor whose calls, forward and backward, are CUDA graphs from the second call of a shape on.

    What it answers with is overwritten by the next call. On a CPU, and where the module cannot be recorded (because it
    waits for a number from the GPU, say), it is the module itself.

    Args:
        module: without hooks and without randomness; its weights may change in place between calls.
        rough: let matrix products be as rough as torch lets convolutions be on a GPU: TF32, ten bits of mantissa.

    Source: `torch.cuda.make_graphed_callables`; what it brings: experiments/benchmarks/throughput.py.
    """

    def __init__(self, module: nn.Module, *, rough: bool = False) -> None:
        self.module, self.rough = module, rough
        self.calls: dict[tuple[int, ...], Callable[[Tensor], Any]] = {}

    def __call__(self, x: Tensor) -> Any:
        """Call the module."""
        if not x.is_cuda or not torch.is_grad_enabled():
            return self.module(x)
        if tuple(x.shape) not in self.calls:
            while len(self.calls) >= SHAPES:
                del self.calls[next(iter(self.calls))]
            self.calls[tuple(x.shape)] = self._record
            return self.module(x)
        return self.calls[tuple(x.shape)](x)

    def _record(self, x: Tensor) -> Any:
        """Record a call of this shape; the example's memory becomes the place where later inputs are put."""
        example = x.detach().clone().requires_grad_(x.requires_grad)
        stream = torch.cuda.current_stream()
        try:
            with _tf32(self.rough or torch.backends.cuda.matmul.allow_tf32):
                recorded: Any = torch.cuda.make_graphed_callables(_Fresh(self.module), (example,))
        except torch.OutOfMemoryError:
            raise
        except RuntimeError:
            torch.cuda.set_stream(stream)
            recorded = self.module
        self.calls[tuple(x.shape)] = recorded
        return recorded(x)


@contextmanager
def _tf32(allowed: bool) -> Iterator[None]:
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = allowed
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before


class _Fresh(nn.Module):
    """A module of its own around another: recording replaces `forward`."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, x: Tensor) -> Any:
        """Call it."""
        return self.module(x)


class ReplayedClassifier:
    """A classifier whose predictions are replayed, see `Replayed`; in all else it is the one that it stands for."""

    def __init__(self, classifier: Classifier) -> None:
        self.classifier = classifier
        self.parts = _Parts(classifier)
        self.replayed = Replayed(self.parts)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # a copy that is being made has no classifier yet
            raise AttributeError(name)
        return getattr(self.classifier, name)

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
