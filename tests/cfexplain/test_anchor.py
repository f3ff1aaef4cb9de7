"""What the generator has learned of an image is kept on disk, and used by every edit of it."""

import os
from dataclasses import replace

import torch
from safetensors.torch import save as pack

from cfexplain import DIP, NATURAL, TV, explain
from cfexplain.generators import DeepImagePrior, WarmStart
from cfexplain.generators.warm import NARROW
from cfexplain.method.stop import CloseEnough
from cfexplain.types import Problem
from toys import Toy, pale_images

SMALL = DeepImagePrior(widths=(8, 12, 16), skips=(4, 4, 4))
QUICK = replace(DIP, generator=SMALL, anchor=replace(DIP.anchor, steps=30, stop=None), edit=replace(DIP.edit, steps=8))


def test_a_kept_anchor_changes_no_bit_of_the_result(tmp_path):
    images = pale_images(2)
    plain = explain(Toy(), images, "red", method=QUICK)
    first = explain(Toy(), images, "red", method=QUICK, anchors=tmp_path)
    assert len(list(tmp_path.iterdir())) == 2
    again = explain(Toy(), images, "red", method=QUICK, anchors=tmp_path)
    for result in (first, again):
        assert torch.equal(result.anchor, plain.anchor)
        assert torch.equal(result.painted, plain.painted)
        assert result.steps == plain.steps


def test_it_is_shared_by_targets_and_edits_and_by_nothing_else(tmp_path):
    image = pale_images(1)
    explain(Toy(), image, "red", method=QUICK, anchors=tmp_path)
    explain(Toy(), image, "red", method=replace(QUICK, edit=replace(NATURAL.edit, steps=3)), anchors=tmp_path)
    assert len(list(tmp_path.iterdir())) == 1
    explain(Toy(), image, "red", method=QUICK, seed=1, anchors=tmp_path)
    explain(Toy(seed=1), image, "red", method=QUICK, anchors=tmp_path)
    explain(Toy(), pale_images(1, seed=1), "red", method=QUICK, anchors=tmp_path)
    explain(Toy(), image, "red", method=replace(QUICK, anchor=replace(QUICK.anchor, steps=31)), anchors=tmp_path)
    assert len(list(tmp_path.iterdir())) == 5


def test_another_start_of_the_same_name_is_another_anchor(tmp_path):
    image, store = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0)), tmp_path / "anchors"
    start = tmp_path / "start.safetensors"
    method = replace(NATURAL, generator=WarmStart(weights=str(start)), anchor=replace(NATURAL.anchor, steps=1))
    method = replace(method, edit=replace(DIP.edit, steps=1), line_search=None)
    for seed in (0, 1):
        state = NARROW.build(image, torch.Generator().manual_seed(seed)).state_dict()
        start.write_bytes(pack({name: value.contiguous() for name, value in state.items()}))
        os.utime(start, ns=(seed, seed))
        explain(Toy(), image, "red", method=method, anchors=store)
    assert len(list(store.iterdir())) == 2


def test_an_unfinished_anchor_and_a_method_without_one_are_not_kept(tmp_path):
    endless = replace(QUICK, anchor=replace(QUICK.anchor, steps=100_000))
    explain(Toy(), pale_images(1), "red", method=endless, budget=0.2, anchors=tmp_path)
    explain(Toy(), pale_images(1), "red", method=TV, anchors=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_painter_that_lost_the_picture_begins_again_at_half_the_rate(monkeypatch):
    import cfexplain.search.anchor as module

    rates, real = [], module.minimise_all

    def seen(searches, stage, **rest):
        rates.append((len(searches), stage.learning_rate))
        return real(searches, stage, **rest)

    monkeypatch.setattr(module, "minimise_all", seen)
    stage = replace(NATURAL.anchor, steps=3, learning_rate=0.2, stop=CloseEnough(psnr=60.0))
    generator = DeepImagePrior(widths=(8, 8), skips=(4, 4))
    problem = Problem(pale_images(1), Toy(), Toy()(pale_images(1)).detach())
    task = module.AnchorTask(problem, replace(NATURAL, generator=generator, anchor=stage), seed=0)
    (painted,) = module.paint_anchors([task])
    assert rates == [(1, 0.2), (1, 0.1)]
    assert painted.steps == 3
    easy = replace(task.method, anchor=replace(stage, stop=CloseEnough(psnr=1.0, patience=1)))
    module.paint_anchors([replace(task, method=easy)])
    assert rates[2:] == [(1, 0.2), (0, 0.1)], "a painter that stopped is kept"


def test_a_second_attempt_that_comes_less_close_is_not_taken(monkeypatch):
    """Its time may be up when it has hardly begun."""
    import cfexplain.search.anchor as module

    attempts, real = [], module.minimise_all

    def hurried(searches, stage, **rest):
        attempts.append(len(searches))
        return real(searches, stage, deadline=-1.0 if len(attempts) == 2 else rest["deadline"])

    monkeypatch.setattr(module, "minimise_all", hurried)
    query = pale_images(1)
    stage = replace(NATURAL.anchor, steps=30, stop=CloseEnough(psnr=90.0))
    method = replace(NATURAL, generator=DeepImagePrior(widths=(8, 8), skips=(4, 4)), anchor=stage)
    (painted,) = module.paint_anchors([module.AnchorTask(Problem(query, Toy(), Toy()(query).detach()), method, seed=0)])
    assert attempts == [1, 1]
    assert (painted.steps, painted.ending) == (30, "exhausted")
