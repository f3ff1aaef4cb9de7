"""Executes the steps of a descent: for one generator as it is, for several with stacked weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import torch
from torch import Tensor, nn

from cfexplain.engine.cuda_graph import CudaGraph
from cfexplain.engine.device import Leaving, ViewStream, fetch, owned
from cfexplain.engine.stack import Stack, select
from cfexplain.method.stage import Stage
from cfexplain.method.stop import Step, StepMetrics
from cfexplain.method.views import split
from cfexplain.types import Images, Prediction, Problem

Precision = Literal["float32", "bfloat16"]


class Executor:
    """What changes from device to device in a descent, so that the loop in `search.descend` need not know.

    The images of a batch are called places: place k belongs to image `active[k]`. Images leave by `keep`, with their
    weights and the optimiser's state, so that the others run faster.

    Args:
        modules, inputs: the networks, of one class and of equal shapes, and z of each; several are stacked.
        problem: all images as one problem.
        stage: what is minimised, and how.
        rngs: of jitter and views, one an image.
        anchor: outputs that the edits start from.
    """

    def __init__(
        self,
        modules: Sequence[nn.Module],
        inputs: Sequence[Tensor],
        problem: Problem,
        stage: Stage,
        *,
        rngs: Sequence[torch.Generator] = (),
        anchor: Images | None = None,
    ) -> None:
        self.modules, self.problem, self.stage, self.anchor = modules, problem, stage, anchor
        self.active = list(range(len(modules)))
        self.rngs = list(rngs)
        if len(modules) == 1:
            self.z, self.module = inputs[0], modules[0].to(inputs[0].device)
        else:
            self.z = torch.stack(list(inputs)).contiguous()
            self.module = Stack(modules, self.z.device)
        moved = [p for p in self.module.parameters() if p.requires_grad]
        self.optimizer = torch.optim.Adam(moved, lr=stage.learning_rate, fused=True)
        self.views = self._view_stream()
        self.leaving = Leaving(self.z.device)
        self._staying: list[int] | None = None
        self._drawn: list[tuple[torch.Generator, Tensor]] = []
        self._ahead: Sequence[Tensor | None] | None = None
        self._prepare()

    def generate(self) -> Images:
        """f_theta(z), or f_theta(z + noise) where the stage has jitter."""
        z = self.z if self.stage.jitter == 0 else self.z + self.stage.jitter * self._noise()
        output: Images = self.generator(z)
        return output

    def predict(self, image: Images) -> tuple[Prediction | None, Prediction | None]:
        """Prediction of the images, and of random views of them: one forward pass for both."""
        assert self.problem.classifier is not None
        if self.views is None:
            return self.problem.classifier(image), None
        return split(self.problem.classifier(torch.cat([image, self.views.draw(image)])), len(image))

    def record(
        self, index: int, output: Images, prediction: Prediction | None, views: Prediction | None, value: Tensor
    ) -> Step:
        """The step, detached; on a GPU the backward pass starts here, while its numbers are on their way to the CPU."""
        step = Step(index, owned(output), _detached(prediction), value.detach(), _detached(views))
        numbers = fetch(*_measured(step, self.problem))
        if self.z.is_cuda:
            self._ahead = self._gradients(value)
        columns = numbers()
        self.leaving.tick()
        return replace(step, metrics=tuple(_step_metrics(*row) for row in zip(*columns, strict=True)))

    def update(self, value: Tensor, index: int) -> None:
        """Theta <- Adam(grad_theta value); then images leave that are not to be kept."""
        parameters = self.optimizer.param_groups[0]["params"]
        gradients, self._ahead = self._ahead or self._gradients(value), None
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = _laid_out(gradient, parameter) if self.locks.get(parameter, 0) <= index else None
        self.optimizer.param_groups[0]["lr"] = self.stage.rate(index)
        self.optimizer.step()
        if self._staying is not None:
            self._leave(self._staying)
            self._staying = None

    def keep(self, places: list[int], steps_left: int) -> None:
        """Go on with these places after the next update; a GPU may keep others too, see `Leaving`.

        Raises:
            TypeError: there is but one generator, which is not stacked.
        """
        if len(places) < len(self.active):
            if not isinstance(self.module, Stack):
                raise TypeError(f"only a Stack lets images leave, not a {type(self.module).__name__}")
            self._staying = self.leaving.worth(places, len(self.active), steps_left)

    def finish(self, place: int) -> None:
        """The image of a place is done: its network gets its weights back."""
        if isinstance(self.module, Stack):
            self.module.unstack(place, self.modules[self.active[place]])
        if self.rngs:
            self._drawn.append((self.rngs[place], self.rngs[place].get_state()))

    def close(self) -> None:
        """Reset random generators to where their images were done: what a place drew as a filler does not count."""
        for rng, state in self._drawn:
            rng.set_state(state)

    def _prepare(self) -> None:
        """Whatever depends on the parameters: they are new ones after images have left."""
        self.locks = _unlock_steps(self.module, self.stage)
        self.generator = CudaGraph(_Generator(self.module, self.stage.precision), tf32=True)

    def _leave(self, places: list[int]) -> None:
        select(self.module, self.optimizer, places)
        self.z, self.problem = self.z[places], self.problem.at(places)
        self.anchor = None if self.anchor is None else self.anchor[places]
        self.rngs = [self.rngs[k] for k in places] if self.rngs else []
        self.active = [self.active[k] for k in places]
        if self.views is not None:
            self.views.keep(places)
        self._prepare()

    def _view_stream(self) -> ViewStream | None:
        if self.stage.views is None or self.problem.classifier is None:
            return None
        if not self.rngs:
            raise ValueError("views need a random generator: give descend an rng")
        return ViewStream(self.stage.views, self.rngs, self.z.device)

    def _noise(self) -> Tensor:
        if not isinstance(self.module, Stack):
            return _normal(self.z.shape, self.rngs[0] if self.rngs else None).to(self.z)
        return torch.stack([_normal(z.shape, rng) for z, rng in zip(self.z, self.rngs, strict=True)]).to(self.z)

    def _gradients(self, value: Tensor) -> Sequence[Tensor | None]:
        parameters = self.optimizer.param_groups[0]["params"]
        gradients: tuple[Tensor | None, ...] = torch.autograd.grad(value.sum(), parameters, allow_unused=True)
        return gradients


def generate(module: nn.Module, z: Tensor, precision: Precision = "float32") -> Images:
    """The network's output for z, computed in this precision."""
    with torch.autocast(z.device.type, torch.bfloat16, enabled=precision == "bfloat16"):
        image: Images = module(z)
    return image.to(z.dtype)


class _Generator(nn.Module):
    """A network at a stage's precision, as a module that can be recorded."""

    def __init__(self, module: nn.Module, precision: Precision) -> None:
        super().__init__()
        self.module, self.precision = module, precision

    def forward(self, z: Tensor) -> Images:
        """Generate."""
        return generate(self.module, z, self.precision)


def _step_metrics(
    objective: float | None, error: float | None, probability: float | None, loss: float | None, flipped: float | None
) -> StepMetrics:
    return StepMetrics(objective or 0.0, error, probability, loss, None if flipped is None else bool(flipped))


def _measured(step: Step, problem: Problem) -> list[Tensor | None]:
    """Objective, error, target probability, estimated loss and flip of each image, where they are known."""
    image, query, prediction, target = step.image, problem.query, step.prediction, problem.target
    error = (image - query).square().flatten(1).mean(1) if image.shape == query.shape else None
    if prediction is None:
        return [step.value, error, None, None, None]
    if target is None:
        return [step.value, error, None, prediction.loss, None]
    target = target.to(prediction.logits.device)
    flipped = (prediction.logits.argmax(1) == target).to(step.value.dtype)
    return [step.value, error, _target_probability(step, target), prediction.loss, flipped]


def _target_probability(step: Step, target: Tensor) -> Tensor:
    """The smaller of the image's probability and the mean over its views."""
    own: Tensor = step.prediction.probabilities.gather(1, target[:, None]).squeeze(1)  # type: ignore[union-attr]
    if step.views is None:
        return own
    repeated = target[:, None].repeat(len(step.views.logits) // len(target), 1)
    seen = step.views.probabilities.gather(1, repeated)
    return torch.minimum(own, seen.view(-1, len(target)).mean(0))


def _detached(prediction: Prediction | None) -> Prediction | None:
    """Without the graph; on a GPU a copy without features, for a CUDA graph overwrites its outputs."""
    if prediction is None or not prediction.logits.is_cuda:
        return None if prediction is None else prediction.detach()
    return Prediction(owned(prediction.logits), (), None if prediction.loss is None else owned(prediction.loss))


def _laid_out(gradient: Tensor | None, parameter: nn.Parameter) -> Tensor | None:
    """In the parameter's memory layout: fused Adam walks through both in memory order, and would mix up elements."""
    if gradient is None or gradient.stride() == parameter.stride():
        return gradient
    return torch.empty_like(parameter).copy_(gradient)


def _normal(shape: torch.Size, rng: torch.Generator | None) -> Tensor:
    """Drawn on the device of the random generator."""
    return torch.randn(shape, generator=rng, device="cpu" if rng is None else rng.device)


def _unlock_steps(module: nn.Module, stage: Stage) -> dict[nn.Parameter, int]:
    """The step from which each parameter is updated: the coarsest layers from 0, the finest after `unlock` of them."""
    ordered = getattr(module, "coarse_to_fine", None)
    if stage.unlock == 0 or ordered is None:
        return {}
    groups = ordered()
    last = stage.unlock * stage.steps / max(1, len(groups) - 1)
    return {parameter: round(k * last) for k, group in enumerate(groups) for parameter in group}
