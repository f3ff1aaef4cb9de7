"""The anchor: a reconstruction of the query that is repeated more slowly where it fails."""

from dataclasses import replace

from cfexplain import NATURAL
from cfexplain.generators import DeepImagePrior
from cfexplain.method.stop import CloseEnough
from cfexplain.types import Problem
from toys import Toy, pale_images


def test_a_failed_reconstruction_is_repeated_at_half_the_learning_rate(monkeypatch):
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
    (painted,) = module.fit_anchors([task])
    assert rates == [(1, 0.2), (1, 0.1)]
    assert painted.steps == 3
    easy = replace(task.method, anchor=replace(stage, stop=CloseEnough(psnr=1.0, patience=1)))
    module.fit_anchors([replace(task, method=easy)])
    assert rates[2:] == [(1, 0.2), (0, 0.1)], "one that stopped is kept"


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
    (painted,) = module.fit_anchors([module.AnchorTask(Problem(query, Toy(), Toy()(query).detach()), method, seed=0)])
    assert attempts == [1, 1]
    assert (painted.steps, painted.ending) == (30, "exhausted")
