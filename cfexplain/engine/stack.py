"""Many painters of one architecture as one network, each with weights of its own."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap


class Stack(nn.Module):
    """The painters f_theta1 ... f_thetan as one module, whose parameters are theirs, stacked.

    Every image is painted by its own weights and normalised by its own statistics, so that it does not depend on its
    neighbours; the work of all is one call (vectorised by `torch.func.vmap`; convolutions, see `generators.stacked`).

    Args:
        painters: of one class and of equal shapes; they are copied.
        device: where to; as they are if None.

    Shape:
        z of shape (n, *shape of one painter's z) to (n, 3, h, w).

    Example:
        >>> stack = Stack([nn.Conv2d(2, 3, 1), nn.Conv2d(2, 3, 1)])
        >>> stack(torch.zeros(2, 1, 2, 8, 8)).shape
        torch.Size([2, 3, 8, 8])
    """

    def __init__(self, painters: Sequence[nn.Module], device: torch.device | None = None) -> None:
        super().__init__()
        weights, constants = stack_module_state(list(painters))
        # Contiguous: of channels-last 1x1 convolutions torch 2.15 computes wrong weight gradients under vmap.
        stacked = [w.detach().to(device).contiguous() for w in weights.values()]
        self.names, self.weights = list(weights), nn.ParameterList(stacked)
        self.constants = {name: value.to(device) for name, value in constants.items()}
        self.one = [copy.deepcopy(painters[0])]  # in a list: its own parameters are not the stack's
        for part in self.one[0].modules():
            if hasattr(part, "stacked"):
                part.stacked = True  # type: ignore[assignment]

    def forward(self, z: Tensor) -> Tensor:
        """Paint all."""

        def paint(weights: dict[str, Tensor], constants: dict[str, Tensor], own: Tensor) -> Tensor:
            painted: Tensor = functional_call(self.one[0], (weights, constants), (own,))
            return painted[0]

        painted: Tensor = vmap(paint)(dict(zip(self.names, self.weights, strict=True)), self.constants, z)
        return painted

    @torch.no_grad()
    def unstack(self, place: int, painter: nn.Module) -> None:
        """Give a painter its weights back, on the stack's device and in the painter's own layout of memory."""
        painter.to(self.weights[0].device)
        for own, stacked in zip(painter.parameters(), self.weights, strict=True):
            own.copy_(stacked[place])

    def coarse_to_fine(self) -> list[list[nn.Parameter]]:
        """The painters' own order, where they have one; see `Generator`."""
        ordered = getattr(self.one[0], "coarse_to_fine", None)
        if ordered is None:
            return [list(self.weights)]
        places = {id(p): k for k, (_, p) in enumerate(self.one[0].named_parameters())}
        return [[self.weights[places[id(p)]] for p in group] for group in ordered()]


@torch.no_grad()
def select(module: nn.Module, optimizer: torch.optim.Optimizer, places: list[int]) -> None:
    """Keep only some painters of a stack: their weights, and what the optimiser remembers of them.

    Raises:
        TypeError: the module is no stack.
    """
    if not isinstance(module, Stack):
        raise TypeError(f"only a Stack lets images leave, not a {type(module).__name__}")
    module.constants = {name: value[places] for name, value in module.constants.items()}
    group = optimizer.param_groups[0]
    for k, old in enumerate(list(module.weights)):
        new = nn.Parameter(old[places])
        state = optimizer.state.pop(old, {})
        optimizer.state[new] = {n: v[places] if v.shape == old.shape else v for n, v in state.items()}
        group["params"] = [new if p is old else p for p in group["params"]]
        module.weights[k] = new
