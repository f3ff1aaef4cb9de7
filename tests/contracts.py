"""What every plug-in promises: each check raises AssertionError for one that breaks its promise.

A package's test finds its plug-ins by file, so adding the file is enough to have them checked.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Iterator
from dataclasses import is_dataclass, replace
from importlib import import_module
from types import ModuleType, SimpleNamespace

import torch

from cfexplain import explain
from cfexplain.images import round8
from cfexplain.types import Candidate, Prediction, Problem, Status
from toys import Toy, pale_images


def classes_in(package: ModuleType, method: str) -> Iterator[type]:
    """The dataclasses with a method of this name that the files of a package define."""
    for module in pkgutil.iter_modules(package.__path__):
        name = f"{package.__name__}.{module.name}"
        for value in vars(import_module(name)).values():
            own = isinstance(value, type) and value.__module__ == name
            if own and is_dataclass(value) and hasattr(value, method):
                yield value


TOY = Toy().double()


def candidate(image: torch.Tensor, seed: int = 0) -> Candidate:
    """A candidate for the toy classifier, in double precision."""
    query = pale_images(len(image), seed=seed).double()
    return _candidate(image, query, torch.ones(len(image), dtype=torch.long))


def _candidate(image: torch.Tensor, query: torch.Tensor, target: torch.Tensor) -> Candidate:
    problem = Problem(query, TOY, TOY(query).detach(), target, None)
    return Candidate(image, problem, TOY(image), query + 0.01)


def probe(count: int = 3, seed: int = 1) -> torch.Tensor:
    """Images that differ from the query and the anchor in every pixel."""
    rng = torch.Generator().manual_seed(seed)
    return (pale_images(count) + 0.15 * torch.rand(count, 3, 32, 32, generator=rng)).clamp(0.01, 0.99).double()


def check_term(term) -> None:
    """One finite, non-negative value an image; independent of order; a right gradient, along which it falls.

    A term whose values have no natural zero, such as a plain estimated loss, says `signed = True`.
    """
    image = probe()
    value = term(candidate(image))
    assert value.shape == (3,), "one value an image"
    assert bool(value.isfinite().all()), "finite"
    assert getattr(term, "signed", False) or bool((value >= 0).all()), "not negative"
    query = pale_images(3).double()
    reordered = term(_candidate(image.flip(0), query.flip(0), torch.ones(3, dtype=torch.long)))
    torch.testing.assert_close(reordered, value.flip(0))
    _check_gradient(term)
    moving = image.clone().requires_grad_()
    before = term(candidate(moving)).sum()
    for _ in range(3):
        (gradient,) = torch.autograd.grad(before, moving)
        assert float(gradient.abs().max()) > 0, "it can be lowered"
        step = 1e-4 * gradient / gradient.abs().max()
        moving = (moving - step).detach().requires_grad_()
        after = term(candidate(moving)).sum()
        assert float(after.detach()) < float(before.detach()), "descent lowers it"
        before = after


def _check_gradient(term) -> None:
    """Along one random direction the gradient is the difference quotient."""
    image, h = probe(1, seed=2), 1e-6
    direction = torch.randn(image.shape, generator=torch.Generator().manual_seed(3)).double()
    direction /= direction.norm()
    moving = image.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(term(candidate(moving)).sum(), moving)
    numeric = (term(candidate(image + h * direction)) - term(candidate(image - h * direction))).sum() / (2 * h)
    torch.testing.assert_close((gradient * direction).sum(), numeric, rtol=1e-4, atol=1e-7)


def check_generator(generator, query: torch.Tensor, *, random: bool = True) -> None:
    """Shape and range of the query; every parameter is used; the seed alone decides; the global generator is left.

    One that is not `random` starts from the query and from learned weights alone, whatever the seed.
    """

    def outputs(seed: int) -> tuple[torch.nn.Module, torch.Tensor]:
        rng = torch.Generator().manual_seed(seed)
        module = generator.build(query, rng)
        return module, module(generator.draw(query, rng))

    state = torch.random.get_rng_state()
    module, image = outputs(0)
    assert torch.equal(state, torch.random.get_rng_state()), "the global generator was touched"
    assert image.shape == query.shape, "the query's shape"
    assert float(image.detach().min()) >= 0, "in [0, 1]"
    assert float(image.detach().max()) <= 1, "in [0, 1]"
    weights = torch.rand(image.shape, generator=torch.Generator().manual_seed(7))
    gradients = torch.autograd.grad((image * weights).sum(), list(module.parameters()), allow_unused=True)
    assert all(g is not None and bool(g.isfinite().all()) for g in gradients), "every parameter is used"
    torch.rand(1)  # what was drawn from the global generator would now differ
    assert torch.equal(image, outputs(0)[1]), "the same seed gives the same image"
    if random:
        assert not torch.equal(image, outputs(1)[1]), "two seeds differ"
    else:
        assert torch.equal(image, outputs(1)[1]), "two seeds are equal"


def random_edit(count: int = 3, *, mask: bool = True) -> SimpleNamespace:
    """An edit of noise with everything that a metric may read."""
    rng = torch.Generator().manual_seed(0)

    def images() -> torch.Tensor:
        return torch.rand(count, 3, 16, 16, generator=rng)

    def prediction() -> Prediction:
        return Prediction(torch.randn(count, 4, generator=rng), (), torch.randn(count, generator=rng))

    area = (torch.rand(count, 1, 16, 16, generator=rng) > 0.5).float()
    return SimpleNamespace(
        query=images(), anchor=images(), painted=images(), image=images(), target=torch.tensor([1, 2, 3][:count]),
        before=prediction(), after=prediction(), mask=area if mask else None, spread=0.1 * area,
    )  # fmt: skip


def image_of(edit: SimpleNamespace, i: int) -> SimpleNamespace:
    """One image of an edit."""
    here = slice(i, i + 1)
    return SimpleNamespace(**{k: v.at(here) if isinstance(v, Prediction) else v[here] for k, v in vars(edit).items()})


def check_metric(metric) -> None:
    """One finite value an image, that of the image alone, also where nothing changes; a direction and a unit."""
    edit = random_edit()
    values = metric(edit)
    assert values.shape == (3,), "one value an image"
    assert bool(values.isfinite().all()), "finite"
    for i in range(3):
        torch.testing.assert_close(metric(image_of(edit, i)), values[i : i + 1])
    unchanged = SimpleNamespace(**{**vars(edit), "painted": edit.anchor, "image": edit.query, "after": edit.before})
    assert bool(metric(unchanged).isfinite().all()), "finite where nothing changes"
    assert metric.better in ("higher", "lower", "neither"), "which direction is better"
    assert metric.unit, "a unit"


def check_method(method) -> None:
    """It reaches the target or says why, in eight bits; batch equals single; the classifier and global rng are left."""
    toy, images = Toy(), pale_images(2)
    state = {name: value.clone() for name, value in toy.state_dict().items()}
    random = torch.random.get_rng_state()
    found = explain(toy, images, "red", method=method)
    assert torch.equal(random, torch.random.get_rng_state()), "the global generator was touched"
    assert all(torch.equal(value, state[name]) for name, value in toy.state_dict().items()), "the classifier is left"
    assert not toy.training, "the classifier stays in evaluation mode"
    assert all(p.grad is None for p in toy.parameters()), "no gradient is left on the classifier"
    assert torch.equal(round8(found.image), found.image), "eight bits"
    predicted = toy(found.image).logits.argmax(1) == 1
    for status, flipped in zip(found.status, predicted.tolist(), strict=True):
        assert (status is Status.FOUND) == flipped, "the status is what the classifier says of the shown image"
        assert status is Status.FOUND or status.advice, "it says why"
    assert bool(predicted.any()), "it reaches the target of some image"
    alone = explain(toy, images[1:], "red", method=method)
    assert torch.equal(alone.image, found[1].image), "an image does not depend on its neighbours"


def check_reader(read, folder) -> None:
    """A table with a row an image and unique names; samples are images in [0, 1] with a label of the table."""
    samples = read(folder)
    table = samples.table
    assert len(table) == len(samples) > 0, "a row a sample"
    assert table.index.is_unique, "unique names"
    for i in (0, len(samples) - 1):
        sample = samples[i]
        assert sample.image.ndim == 3, "one image"
        assert sample.image.shape[0] == 3, "RGB"
        assert 0 <= float(sample.image.min()) <= float(sample.image.max()) <= 1, "in [0, 1]"
        assert sample.id == str(table.index[i]), "the sample of its row"
        assert sample.mask is None or sample.mask.shape[-2:] == sample.image.shape[-2:], "a mask of the image's size"


def small(method):
    """The method with a generator and settings for the toy's 32 pixels."""
    from cfexplain.generators import DeepImagePrior
    from cfexplain.method.stop import CloseEnough

    if method.anchor is None:
        return method
    views = method.edit.views and replace(method.edit.views, count=2)
    edit = replace(method.edit, learning_rate=3e-3, steps=60 if views else 150, views=views)
    anchor = replace(method.anchor, steps=120, stop=CloseEnough(28.0))
    return replace(method, generator=DeepImagePrior(widths=(8, 12, 16), skips=(4, 4, 4)), anchor=anchor, edit=edit)
