"""The study of restoration keeps what it has measured: rows survive in results/ when the runs themselves are gone."""

import json
from pathlib import Path

import pytest
import torch

EXPERIMENTS = Path(__file__).parents[2] / "experiments"


@pytest.fixture
def report(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(str(EXPERIMENTS))
    from restoration_study import report

    monkeypatch.setattr(report, "RUNS", tmp_path / "runs")
    monkeypatch.setattr(report, "OUT", tmp_path)
    return report


def ran(report, image, preset="fast", psnr=30.0):
    """A run as the study writes it."""
    from restoration_study.run import method_of

    rules = {"wmv": {"psnr": psnr, "stopped": 2000}, "wmv average": {"psnr": psnr + 1, "stopped": 2000}}
    row = {
        "part": "denoising", "image": image, "preset": preset, "seed": 0, "steps": 2400, "seconds": 9.5,
        "device": "cpu", "threads": 1, "method": "denoise", "settings": repr(method_of("denoise", preset, None)),
        "input": 20.0, "last": psnr, "average": psnr + 1, "ssim": 0.8, "rules": rules,
        "kept": {"at 1800": {"raw": 29.0, "average": 30.5}},
        "peak": {"raw": 31.0, "average": 31.5}, "peak_at": {"raw": 1200, "average": 1300}, "stopped_by_itself": ["wmv"],
    }  # fmt: skip
    path = report.RUNS / "denoising" / f"{preset}-0" / f"{image}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(row))
    return path


def rows(report):
    return {row["image"]: row for row in report.rows_of("denoising").to_dict("records")}


def test_rows_are_the_same_when_the_runs_are_gone(report):
    paths = [ran(report, "F16"), ran(report, "lena", psnr=31.0)]
    before = rows(report)
    report.flat().to_csv(report.OUT / "rows.csv", index=False)
    paths[0].unlink()
    after = rows(report)
    assert after.keys() == before.keys() == {"F16", "lena"}
    shared = before["F16"].keys() - {"settings"}
    assert {k: after["F16"][k] for k in shared} == {k: before["F16"][k] for k in shared}


def test_a_new_run_replaces_its_row(report):
    ran(report, "F16", psnr=30.0)
    report.flat().to_csv(report.OUT / "rows.csv", index=False)
    ran(report, "F16", psnr=33.0)
    found = rows(report)
    assert list(found) == ["F16"]
    assert found["F16"]["last"] == 33.0


def test_the_published_luminance_is_that_of_the_published_images(data, report):
    from restoration_study.part import opened
    from restoration_study.quality import luminance_psnr

    site = data / "restoration" / "dip_site" / "sr_set5_x4"
    for name, published in {"baby": 31.49, "bird": 31.80, "butterfly": 26.23}.items():
        found, truth = (opened(site / f"{name}_{kind}.png")[:, :3] for kind in ("deep_prior", "GT"))
        assert luminance_psnr(found, truth) == pytest.approx(published, abs=0.05)


def test_similarity_is_that_of_the_mask(report):
    from restoration_study.quality import ssim

    truth = torch.rand(1, 3, 40, 48, generator=torch.Generator().manual_seed(1))
    mask = torch.zeros(1, 1, 40, 48)
    mask[..., :20, :] = 1
    image = torch.where(mask.bool(), truth, 1 - truth)
    assert ssim(image, truth, 1 - mask) < ssim(image, truth) < ssim(image, truth, mask)
