"""Many images together end as each would end alone."""

from dataclasses import replace

import pytest
import torch

from cfexplain import DIP, NATURAL, PIXELS, Status, explain
from cfexplain.engine.device import worth_leaving
from cfexplain.engine.executor import Executor, generate
from cfexplain.engine.stack import Stack
from cfexplain.generators import (
    DeepImagePrior,
    FourierNetwork,
    Pixels,
    Pretrained,
    ResNet,
    TransposedUNet,
    stacked,
)
from cfexplain.generators.doubling import doubling_matrix
from cfexplain.generators.noise import generator_for
from cfexplain.method.objective import total
from cfexplain.method.stage import Stage
from cfexplain.method.stop import CloseEnough
from cfexplain.method.views import Views
from cfexplain.search.descend import Task, minimise, minimise_all
from cfexplain.terms import SamePixels, SparseChange, TargetClass
from cfexplain.types import Problem, join_problems
from toys import Toy, pale_images

GENERATORS = {
    "hourglass": DeepImagePrior(widths=(8, 12, 16), skips=(4, 4, 4)),
    "fourier": FourierNetwork(frequencies=16, width=16),
    "pixels": Pixels(),
    "resnet": ResNet(blocks=2, width=8),
    "transposed": TransposedUNet((4, 4, 6)),
}
STAGE = Stage(total((1.0, TargetClass()), (5.0, SparseChange(to="query"))), 50, 1e-3, views=Views(), jitter=0.01)


def tasks(generator, count=2, dtype=torch.float32):
    toy, found = Toy().to(dtype), []
    for k, query in enumerate(pale_images(count).to(dtype).split(1)):
        rng = generator_for(query, k)
        module, z = generator.build(query.float(), rng).to(dtype), generator.draw(query, rng).to(dtype)
        problem = Problem(query, toy, toy(query).detach(), torch.tensor([1]))
        found.append(Task(module, z, problem, torch.Generator().manual_seed(k)))
    return found


@pytest.mark.parametrize("name", GENERATORS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_one_step_of_a_stack_is_that_of_its_networks(name, dtype):
    share = 1e-4 if dtype == torch.float32 else 1e-9
    many = tasks(GENERATORS[name], dtype=dtype)
    stack, z = Stack([s.module for s in many]), torch.stack([s.z for s in many]).contiguous()
    painted = stack(z)
    ours = torch.autograd.grad(painted.square().sum(), list(stack.weights))
    for place, search in enumerate(many):
        own = search.module(search.z)
        torch.testing.assert_close(painted[place], own[0], rtol=0, atol=1e-5)
        theirs = torch.autograd.grad(own.square().sum(), list(search.module.parameters()))
        largest = max(float(t.abs().max()) for t in theirs)
        for part, a, b in zip(stack.names, ours, theirs, strict=True):
            assert float((a[place] - b).abs().max()) <= share * largest, part


@pytest.mark.parametrize("padding", ["reflect", "zeros"])
def test_a_stack_generates_in_bfloat16_what_its_networks_do(padding):
    many = tasks(replace(GENERATORS["hourglass"], padding=padding))
    stack, z = Stack([s.module for s in many]), torch.stack([s.z for s in many])
    with torch.no_grad():
        together = generate(stack, z, "bfloat16")
        alone = torch.cat([generate(s.module, s.z, "bfloat16") for s in many])
        exact = torch.cat([s.module(s.z) for s in many])
    torch.testing.assert_close(together, alone, rtol=0, atol=0.03)
    assert 0 < float((alone - exact).abs().max()) < 0.03, "bfloat16 was used, and is near"


@pytest.mark.parametrize("name", GENERATORS)
def test_together_is_alone(name):
    many, single = (tasks(GENERATORS[name], dtype=torch.float64) for _ in range(2))
    together = minimise_all(many, STAGE)
    for k, (search, ours) in enumerate(zip(single, together, strict=True)):
        theirs = minimise(search.module, search.z, search.problem, STAGE, rng=search.rng)
        assert theirs.image.dtype == torch.float64
        torch.testing.assert_close(ours.image, theirs.image, rtol=0, atol=1e-6)
        assert ours.history[-1] == pytest.approx(theirs.history[-1], abs=1e-6)
        torch.testing.assert_close(many[k].module(search.z), search.module(search.z), rtol=0, atol=1e-6)


def test_pretrained_networks_together_are_these_networks_alone():
    generator = Pretrained()
    stage = Stage(total((10.0, SamePixels())), 5, 1e-3)

    def begun(query, k):
        rng = generator_for(query, k)
        return Task(generator.build(query, rng), generator.draw(query, rng), Problem(query))

    queries = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0)).split(1)
    alone = [minimise_all([begun(query, k)], stage)[0] for k, query in enumerate(queries)]
    together = minimise_all([begun(query, k) for k, query in enumerate(queries)], stage)
    for ours, theirs in zip(together, alone, strict=True):
        torch.testing.assert_close(ours.image, theirs.image, rtol=0, atol=1e-3)


def test_images_that_are_done_leave_and_the_rest_do_not_notice():
    stage = Stage(total((1.0, SamePixels())), 30, 1e-2, stop=CloseEnough(psnr=20.0, patience=1))
    generator, left = GENERATORS["hourglass"], []
    many = [
        replace(s, callback=lambda step, k=k: left.append(k)) for k, s in enumerate(tasks(generator, 4, torch.float64))
    ]
    together = minimise_all(many, stage)
    theirs = [minimise(s.module, s.z, s.problem, stage, rng=s.rng) for s in tasks(generator, 4, torch.float64)]
    assert [t.steps for t in together] == [t.steps for t in theirs]
    assert len({t.steps for t in together}) > 1, "the test needs images that end at different steps"
    assert [t.ending for t in together] == [t.ending for t in theirs]
    assert [left.count(k) for k in range(4)] == [t.steps for t in together]
    for ours, other in zip(together, theirs, strict=True):
        torch.testing.assert_close(ours.image, other.image, rtol=0, atol=1e-6)


def test_one_image_that_breaks_does_not_break_its_neighbours():
    many = tasks(GENERATORS["hourglass"], 3)
    many[1].z.fill_(float("nan"))
    broken = minimise_all(many, replace(STAGE, steps=5))
    assert [b.ending for b in broken] == ["exhausted", "diverged", "exhausted"]
    assert all(bool(broken[k].image.isfinite().all()) for k in (0, 2))


@pytest.mark.parametrize("method", [NATURAL, DIP, PIXELS], ids=lambda m: m.name)
def test_explaining_together_has_the_same_outcome(method, tmp_path):
    generator = GENERATORS["hourglass"] if method.anchor is not None else method.generator
    edit = replace(method.edit, learning_rate=3e-3, steps=60) if method.anchor is not None else method.edit
    anchor = None if method.anchor is None else replace(method.anchor, steps=60, stop=CloseEnough(28.0))
    quick = replace(method, generator=generator, anchor=anchor, edit=edit)
    images, region = pale_images(3), torch.ones(3, 1, 32, 32)
    region[..., :8] = 0
    seen = []
    one = explain(Toy(), images, "red", method=quick, region=region)
    together = {"batch": 2, "callback": lambda i, n, s: seen.append((i, n))}
    two = explain(Toy(), images, "red", method=quick, region=region, **together)
    assert one.status == two.status == (Status.FOUND,) * 3
    assert float(two.difference.abs().mean()) == pytest.approx(float(one.difference.abs().mean()), rel=0.1)
    assert float(two.difference[..., :8].abs().max()) == 0
    assert {i for i, _ in seen} == set(range(3))


@pytest.mark.parametrize(("kernel", "stride"), [(3, 1), (3, 2), (1, 1), (1, 2)])
@pytest.mark.parametrize("way", [stacked._grouped, stacked._product])
def test_convolutions_of_many_networks_are_those_of_each(way, kernel, stride):
    rng = torch.Generator().manual_seed(0)
    x, weight, bias = (
        torch.rand(shape, dtype=torch.float64, generator=rng).requires_grad_()
        for shape in ((4, 2, 5, 9, 11), (4, 6, 5, kernel, kernel), (4, 6))
    )
    theirs = torch.stack([torch.conv2d(*own, stride) for own in zip(x, weight, bias, strict=True)])
    ours = way(x, weight, bias, (stride, stride))
    torch.testing.assert_close(ours, theirs)
    for a, b in zip(*(torch.autograd.grad(y.square().sum(), (x, weight, bias)) for y in (ours, theirs)), strict=True):
        torch.testing.assert_close(a, b)


def test_the_gpus_doubling_is_that_of_torch():
    x = torch.rand(2, 3, 5, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    ours = doubling_matrix(5, x) @ x @ doubling_matrix(7, x).T
    torch.testing.assert_close(ours, torch.nn.functional.interpolate(x, scale_factor=2, mode="bilinear"))


def test_on_a_gpu_a_batch_shrinks_to_halves_and_only_where_that_pays():
    assert worth_leaving([0, 5], 8, left=1.0) == list(range(8)), "recording anew would take longer"
    assert worth_leaving([0, 5], 8, left=100.0) == [0, 5]
    assert worth_leaving([1, 5, 7], 8, left=100.0) == [0, 1, 5, 7], "one that is done fills the half"
    assert worth_leaving(list(range(5)), 8, left=100.0) == list(range(8))


def test_memory_that_runs_out_halves_the_batch(monkeypatch):
    import cfexplain.search.explain as module

    sizes, real = [], module.minimise_all

    def hungry(searches, stage, **rest):
        sizes.append(len(searches))
        if len(searches) > 2:
            raise torch.OutOfMemoryError("no memory")
        return real(searches, stage, **rest)

    monkeypatch.setattr(module, "minimise_all", hungry)
    found = explain(Toy(), pale_images(5), "red", method=PIXELS, batch=8)
    assert found.status == (Status.FOUND,) * 5
    assert sizes == [5, 4, 2, 2, 1]


def test_a_stack_refuses_what_it_cannot_do():
    first, second = tasks(GENERATORS["pixels"], 2)
    with pytest.raises(ValueError, match="region"):
        join_problems([replace(first.problem, region=torch.ones(1, 1, 32, 32)), second.problem])
    executor = Executor([first.module], [first.z], first.problem, replace(STAGE, jitter=0.0), rngs=[first.rng])
    with pytest.raises(TypeError, match="Stack"):
        executor.keep([], 10)
    assert len(list(Stack([first.module, second.module]).parameters())) == 1
