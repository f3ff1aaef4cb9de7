"""Every metric keeps the same promises; new files in the package are found by themselves."""

from types import SimpleNamespace

import pytest
import torch

from cfexplain.explanation.metrics import METRICS, evaluate
from cfexplain.explanation.metrics.metric import Metric
from cfexplain.types import Prediction


def edit(seed=0, count=3, mask=True):
    rng = torch.Generator().manual_seed(seed)

    def images():
        return torch.rand(count, 3, 16, 16, generator=rng)

    def prediction():
        return Prediction(torch.randn(count, 4, generator=rng), (), torch.randn(count, generator=rng))

    area = (torch.rand(count, 1, 16, 16, generator=rng) > 0.5).float() if mask else None
    return SimpleNamespace(
        query=images(), anchor=images(), painted=images(), image=images(), target=torch.tensor([1, 2, 3][:count]),
        before=prediction(), after=prediction(), mask=area,
    )  # fmt: skip


def part(whole, i):
    def cut(value):
        if isinstance(value, Prediction):
            return Prediction(value.logits[i : i + 1], (), value.loss[i : i + 1])
        return value[i : i + 1]

    return SimpleNamespace(**{k: cut(v) for k, v in vars(whole).items()})


def promise(metric):
    """The contract: one finite value an image, and an image's value does not depend on its neighbours."""
    whole = edit()
    values = metric(whole)
    assert values.shape == (3,)
    assert bool(values.isfinite().all())
    for i in range(3):
        torch.testing.assert_close(metric(part(whole, i)), values[i : i + 1])
    assert metric.better in ("higher", "lower", "neither")
    assert metric.unit


@pytest.mark.parametrize("name", METRICS)
def test_contract(name):
    promise(METRICS[name])


def test_a_broken_metric_fails():
    coupled = Metric("coupled", "lower", "intensity", lambda e: e.painted.flatten(1).mean(1) - e.painted.mean())
    with pytest.raises(AssertionError):
        promise(coupled)


def test_what_does_not_apply_is_missing_in_the_table():
    table = evaluate(edit(mask=False))
    assert table["inside_lesion"].isna().all()
    assert table["mean_change"].notna().all()
    assert len(table) == 3
