"""What a user gives as a method: any captum object or function, its memory bounded and its randomness its own."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

from cfexplain.attribution.question import Question

LIMITS = ("internal_batch_size", "perturbations_per_eval", "nt_samples_batch_size")
"""What captum's methods call the number of images in one pass; each takes one of them, or none."""


def given(using: Any) -> Callable[[Question], Any]:
    """A captum object, or a function of (images, target=index), as a method of one question.

    It is given the question's bound by the names of `LIMITS` that it takes, and draws from global generators that
    are seeded by the question and put back afterwards.

    Raises:
        TypeError: neither of the two.
    """
    asked_of = getattr(using, "attribute", using)
    if not callable(asked_of):
        raise TypeError(f"using must be a name, a captum object or a function, got {type(using).__name__}")

    def method(asked: Question) -> Any:
        with asked.randomness():
            return asked_of(asked.fresh(), target=asked.target, **limits(asked_of, asked.batch))

    return method


def limits(asked_of: Callable[..., Any], batch: int) -> dict[str, int]:
    """The arguments that hold a method to `batch` images in one pass, less those that a `partial` has set.

    Example:
        >>> def method(images, target, perturbations_per_eval=1): ...
        >>> limits(method, 16), limits(partial(method, perturbations_per_eval=2), 16)
        ({'perturbations_per_eval': 16}, {})
    """
    inner, set_by_user = (asked_of.func, asked_of.keywords) if isinstance(asked_of, partial) else (asked_of, {})
    taken = _taken(inner)
    tunnelled = getattr(getattr(inner, "__self__", None), "attribution_method", None)
    if tunnelled is not None:
        # a NoiseTunnel passes the rest on, and integrated gradients of 16 samples would be 16 * n_steps images at
        # once; ablations stay at captum's one perturbation of each sample
        taken |= _taken(tunnelled.attribute) & {"internal_batch_size"}
    return {name: batch for name in LIMITS if name in taken and name not in set_by_user}


def _taken(method: Callable[..., Any]) -> set[str]:
    """The names of the arguments; none of a function that does not say."""
    try:
        return set(inspect.signature(method).parameters)
    except (TypeError, ValueError):
        return set()
