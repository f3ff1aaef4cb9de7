"""Layers of many networks at once (`Stack`): what vmap does layer by layer, in fewer and larger calls."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor


def convolved(x: Tensor, weight: Tensor, bias: Tensor | None, stride: tuple[int, ...]) -> Tensor:
    """`conv2d` without padding; under vmap one grouped convolution, or one batched product of matrices."""
    out: Tensor = _Convolved.apply(x, weight, bias, stride)
    return out


def normalised(x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
    """Batch normalisation by the input's own statistics; under vmap one call over all networks' channels."""
    out: Tensor = _Normalised.apply(x, weight, bias, eps)
    return out


class _Convolved(torch.autograd.Function):
    @staticmethod
    def forward(x: Tensor, weight: Tensor, bias: Tensor | None, stride: tuple[int, ...]) -> Tensor:
        return F.conv2d(x, weight, bias, stride)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        pass  # the gradient is that of the calls in `vmap`

    @staticmethod
    def vmap(info: Any, in_dims: Any, *inputs: Any) -> tuple[Tensor, int]:
        x, weight, bias = _batched(info.batch_size, in_dims, inputs[:3])
        # A 1x1 convolution of stride 1 is a matrix product; on a GPU the other convolutions are faster as one, too.
        as_product = x.is_cuda or (weight.shape[-2:] == (1, 1) and all(step == 1 for step in inputs[3]))
        return (_product if as_product else _grouped)(x, weight, bias, inputs[3]), 0


def _grouped(x: Tensor, weight: Tensor, bias: Tensor | None, stride: tuple[int, ...]) -> Tensor:
    """One convolution of as many groups as networks."""
    biases = None if bias is None else bias.flatten()
    return _apart(F.conv2d(_side_by_side(x), weight.flatten(0, 1), biases, stride, groups=len(x)), len(x))


def _product(x: Tensor, weight: Tensor, bias: Tensor | None, stride: tuple[int, ...]) -> Tensor:
    """The weights' matrices times those of the patches: a GPU walks through the groups of a convolution one by one."""
    (height, width), n = weight.shape[-2:], len(x)
    patches = x.unfold(3, height, stride[0]).unfold(4, width, stride[1])
    places = (x.shape[1], *patches.shape[3:5])
    columns = patches.permute(0, 2, 5, 6, 1, 3, 4).reshape(n, weight[0, 0].numel(), -1)
    out = weight.flatten(2) @ columns if bias is None else torch.baddbmm(bias[:, :, None], weight.flatten(2), columns)
    return out.view(n, -1, *places).transpose(1, 2)


class _Normalised(torch.autograd.Function):
    @staticmethod
    def forward(x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
        return F.batch_norm(x, None, None, weight, bias, training=True, eps=eps)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        pass

    @staticmethod
    def vmap(info: Any, in_dims: Any, *inputs: Any) -> tuple[Tensor, int]:
        n, (x, weight, bias) = info.batch_size, _batched(info.batch_size, in_dims, inputs[:3])
        all_of = F.batch_norm(
            _side_by_side(x), None, None, weight.flatten(), bias.flatten(), training=True, eps=inputs[3]
        )
        return _apart(all_of, n), 0


def _batched(n: int, dims: Any, parts: Any) -> list[Any]:
    """Each tensor with the dimension of the networks first."""
    return [
        part if part is None else part.expand(n, *part.shape) if dim is None else part.movedim(dim, 0)
        for part, dim in zip(parts, dims, strict=False)
    ]


def _side_by_side(x: Tensor) -> Tensor:
    """Shape (n, m, c, h, w) to (m, n * c, h, w)."""
    return x.transpose(0, 1).flatten(1, 2)


def _apart(x: Tensor, n: int) -> Tensor:
    """And back."""
    m, _, height, width = x.shape
    return x.view(m, n, -1, height, width).transpose(0, 1)
