"""Folders to report on: explanations of synthetic lesions by a cheap method, and audits made of them."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

import cfexplain
import cfexplain_classifiers
from cfexplain.audit.section import Check, Section, Summary
from cfexplain.explanation.explanation import describe
from cfexplain.explanation.folder import save
from cfexplain.explanation.record import Provenance
from cfexplain_datasets.synthetic import SyntheticLesions

VERDICTS = ("semantic", "unconfirmed", "fragile", "adversarial")


@pytest.fixture(scope="session")
def lesions(tmp_path_factory) -> Path:
    """A folder of three explanations; the first also has the figures of path, seeds and compare."""
    out = tmp_path_factory.mktemp("lesions")
    classifier = cfexplain_classifiers.load("synthetic")
    drawn = list(SyntheticLesions(3, size=64, split="test"))
    method = replace(cfexplain.PIXELS, edit=replace(cfexplain.PIXELS.edit, steps=30))
    results = cfexplain.explain(classifier, torch.stack([lesion.image for lesion in drawn]), method=method)
    for k, (lesion, found) in enumerate(zip(drawn, results, strict=True)):
        explanation = describe(found, classifier, {"other": classifier}, provenance=Provenance(f"{lesion.id}.png"))
        save(explanation, out / f"lesion-{k}", figures=False)
    for name in ("path", "seeds", "comparison", "curves"):
        Image.new("RGB", (900, 300), "lightgrey").save(out / "lesion-0" / f"{name}.png")
    rows = [{"method": "gradcam", "image": 0, "rank_correlation": 0.4, "cout": None, "curves": None}]
    (out / "lesion-0" / "comparison.json").write_text(json.dumps({"rows": rows}))
    return out


@pytest.fixture(scope="session")
def lesion(lesions) -> Path:
    """The folder of one explanation."""
    return lesions / "lesion-0"


def make_audit(folder: Path, lesions: Path, count: int, cases: int) -> Path:
    """An audit of `count` rows; the first of them have cases, copies of three explanations."""
    (folder / "rows").mkdir(parents=True)
    (folder / "cases").mkdir()
    names = [f"case-{k:05d}" for k in range(cases)]
    for k, name in enumerate(names):
        (folder / "cases" / name).symlink_to(lesions / f"lesion-{k % 3}")
    rows = make_rows(count, names)
    half = count // 2
    rows[:half].to_parquet(folder / "rows" / f"part-{0:08d}-{half - 1:08d}.parquet")
    rows[half:].to_parquet(folder / "rows" / f"part-{half:08d}-{count - 1:08d}.parquet")
    make_summary(names).save(folder / "summary.json")
    (folder / "audit.json").write_text(json.dumps({}))
    return folder


def make_rows(count: int, cases: list[str]) -> pd.DataFrame:
    """Rows with every column of an audit, with random values."""
    rng = np.random.default_rng(0)
    share = rng.random(count)
    verdict = rng.choice(VERDICTS, count, p=(0.4, 0.2, 0.25, 0.15))
    status = np.where(rng.random(count) < 0.9, "found", "not_found")
    source = rng.choice(["nv", "bkl", "mel"], count, p=(0.7, 0.2, 0.1))
    rows = pd.DataFrame(
        {
            "image_id": [f"ISIC_{k:07d}" for k in range(count)],
            "target": np.where(source == "mel", "nv", "mel"),
            "classifier": rng.choice(["ham10000", "witness"], count),
            "asked": "auto",
            "case": [cases[k] if k < len(cases) else None for k in range(count)],
            "status": status,
            "label": rng.choice(["nv", "mel", "bkl"], count),
            "source": source,
            "source_before": 0.5 + share / 2,
            "target_before": 0.5 - share / 2,
            "target_after": np.where(status == "found", 0.9 + share / 10, 0.3),
            "margin": share,
            "verdict": np.where(status == "found", verdict, "none"),
            "words": "The prediction flips from nv to mel when the border becomes 12 % more irregular.",
            "oracle_agreement": rng.random(count),
            "robust.together": rng.random(count) < 0.8,
            "ita": rng.normal(40, 15, count),
            "tone": rng.choice(["light", "intermediate", "tan"], count),
            "meta.age_approx": [str(5 * (k % 18)) for k in range(count)],
            "meta.sex": rng.choice(["male", "female"], count),
            "seconds": 5 + 20 * rng.random(count),
        }
    )
    places, artefacts = ("lesion", "border", "skin"), ("hair", "ruler", "ink", "dark_corner", "bubbles")
    numbers = [f"metric.{name}" for name in sorted(cfexplain.METRICS)]
    numbers += [f"{side}.{k}" for side in ("before", "after") for k in ("asymmetry", "irregularity", "diameter")]
    numbers += [f"{side}.{k}" for side in ("place", "effect") for k in places]
    numbers += [f"{side}.{k}" for side in ("artefact", "on") for k in artefacts]
    drawn = pd.DataFrame(rng.random((count, len(numbers))) * 0.5, columns=numbers)
    rows = pd.concat([rows, drawn], axis=1)
    failed = rows.index % 100 == 99
    rows["error"] = np.where(failed, "ImageError: the image is damaged", None)
    rows.loc[failed, "status"] = "failed"
    rows.loc[failed, ["verdict", "margin", "target_after", "case", "words"]] = None
    return rows


def make_summary(cases: list[str]) -> Summary:
    """Rules and a section of each kind."""
    rng = np.random.default_rng(1)
    groups = [("found", g) for g in ("all", "male", "female")]
    groups += [("oracle_agreement", g) for g in ("all", "light", "tan")]
    intervals = [
        {"measure": m, "group": g, "n": 500, "mean": v, "low": v - 0.06, "high": v + 0.05}
        for (m, g), v in zip(groups, rng.uniform(0.3, 0.9, len(groups)), strict=True)
    ]
    pairs = [(a, b) for a in ("nv", "mel", "bkl") for b in ("nv", "mel", "bkl") if a != b]
    matrix = [{"from": a, "to": b, "n": 80, "mean": rng.random(), "low": 0.1, "high": 0.9} for a, b in pairs]
    table = [{"artefact": "hair", "n": 120, "share": 0.31}, {"artefact": "ruler", "n": 40, "share": None}]
    return Summary(
        {"classifiers": "ham10000, witness", "method": "natural", "images": "1500", "seconds": "3600"},
        (
            Check("found<0.9", "pass", 0.93, 0.91, 0.95, 1500),
            Check("oracle_agreement<0.5", "warn", 0.52, 0.48, 0.56, 900, "skin tone tan"),
            Check("artefact>0.2", "fail", 0.31, 0.25, 0.37, 120, "hair"),
        ),
        (
            Section("found", "How often is a counterfactual found?", "Shares.", "intervals", pd.DataFrame(intervals)),
            Section("flips", "Which classes flip to which?", "Share found.", "matrix", pd.DataFrame(matrix)),
            Section("artefacts", "Does the change lie on artefacts?", "", "table", pd.DataFrame(table)),
            Section("worst", "Where is it least robust?", "Least robust.", "cases", pd.DataFrame({"case": cases[:3]})),
            Section("nothing", "An empty section", "", "intervals", pd.DataFrame()),
        ),
    )


@pytest.fixture(scope="session")
def audit(lesions, tmp_path_factory) -> Path:
    """An audit of 130 rows, 10 of which have cases."""
    return make_audit(tmp_path_factory.mktemp("audit") / "run", lesions, 130, 10)


@pytest.fixture(scope="session")
def large_audit(lesions, tmp_path_factory) -> Path:
    """An audit of 1,500 rows, each with a case."""
    return make_audit(tmp_path_factory.mktemp("large") / "run", lesions, 1500, 1500)
