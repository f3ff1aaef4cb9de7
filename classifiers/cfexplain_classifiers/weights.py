"""ImageNet weights from a local file, matched to a timm backbone by name, or by order and shape."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

_COUNTERS = "num_batches_tracked"


def load_backbone(backbone: nn.Module, path: str | Path) -> int:
    """Copy the weights of a safetensors file into a backbone, and return how many tensors were copied.

    Tensors are matched by name where the file has the backbone's names, else by order, since libraries name
    the same layers differently; shapes must agree. The last layer, weight and bias, is left as it is.

    Raises:
        ValueError: the file does not hold this architecture.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        read = load_file(path)
    except SafetensorError as error:
        raise ValueError(f"{path} is no safetensors file ({error}): give timm's model.safetensors") from None
    own = [(name, value) for name, value in backbone.state_dict().items() if _COUNTERS not in name]
    stored = {name: value for name, value in read.items() if _COUNTERS not in name}
    given = [(n, stored[n]) for n, _ in own] if stored.keys() == dict(own).keys() else _ordered(stored)
    pairs = list(zip(own, given, strict=False))
    body = pairs[:-2]
    wrong = [(a, b) for (a, x), (b, y) in body if x.shape != y.shape]
    if len(own) != len(given) or wrong:
        detail = f"{wrong[0][0]} does not fit {wrong[0][1]}" if wrong else f"{len(given)} tensors for {len(own)}"
        raise ValueError(
            f"{path} does not hold the weights of this backbone ({detail}); name the backbone it was made for"
        )
    with torch.no_grad():
        for (_, target), (_, value) in body:
            target.copy_(value)
    return len(body)


def _ordered(state: dict[str, Tensor]) -> list[tuple[str, Tensor]]:
    """Tensors in the order of the network: numbered parts compare as numbers, statistics after weights."""
    kinds = {"weight": 0, "bias": 1, "running_mean": 2, "running_var": 3}

    def key(name: str) -> list[tuple[int, int, str]]:
        *parts, last = name.split(".")
        numbered = [(0, int(p), "") if p.isdigit() else (1, 0, p) for p in parts]
        return [*numbered, (2, kinds.get(last, 9), last)]

    heads = [n for n in state if n.startswith(("classifier", "fc", "head"))]
    body = sorted((n for n in state if n not in heads), key=key)
    return [(n, state[n]) for n in [*body, *sorted(heads, key=key)]]
