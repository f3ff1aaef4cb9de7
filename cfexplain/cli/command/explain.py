"""Explaining, inverting and demonstrating on pictures: prepare, run, describe."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cfexplain import images as files
from cfexplain.classifier.checks import check_classifier, class_index, device_of_weights, predict
from cfexplain.cli.command.lookup import (
    device_of,
    licence_of,
    load_classifier,
    load_method,
    load_oracles,
    make_folder,
    write_json,
)
from cfexplain.explanation import plot
from cfexplain.explanation.explanation import Explanation, describe
from cfexplain.explanation.figures import fullsize_figure, path_figures, seed_figures
from cfexplain.explanation.folder import save
from cfexplain.explanation.record import Provenance
from cfexplain.explanation.verdict import Verdict
from cfexplain.method.presets import INVERSIONS, at_confidence
from cfexplain.method.stage import Method
from cfexplain.method.stop import Step
from cfexplain.report import render_explanation
from cfexplain.restore.hair import WAYS
from cfexplain.search.explain import explain
from cfexplain.search.invert import invert
from cfexplain.types import Classifier, Image, Status

Show = Callable[[str, int, int, dict[str, float]], Any]


@dataclass(frozen=True)
class Job:
    """What the command line asks for."""

    classifier: str
    target: str
    method: str
    mask: Path | None
    seed: int
    budget: float | None
    device: str
    out: Path
    confidence: float | None = None
    oracles: tuple[str, ...] = ()
    path: bool = False
    seeds: int = 1
    dehair: str = ""

    def prepare(self, pictures: Sequence[Path]) -> Prepared:
        """Check all that can be checked before the first picture is read, and load the classifier."""
        method = load_method(self.method)
        if self.dehair and self.dehair not in WAYS:
            raise ValueError(f"there is no way {self.dehair} to take hair off: use {', '.join(WAYS)}")
        method = method if self.confidence is None else at_confidence(method, self.confidence)
        make_folder(self.out)
        classifier = load_classifier(self.classifier, self.device)
        check_classifier(classifier)
        named = self.target
        index = int(named) if named.isdecimal() and named not in classifier.classes else named
        target = named if named == "auto" else class_index(classifier, index)
        return Prepared(self, classifier, method, target, load_oracles(self.oracles, self.classifier, classifier))


@dataclass(frozen=True, eq=False)
class Prepared:
    """A job whose classifier is loaded."""

    job: Job
    classifier: Classifier
    method: Method
    target: int | str
    oracles: Mapping[str, Classifier]

    def folders(self, pictures: Sequence[Path]) -> Iterator[tuple[Path, Path]]:
        """Each picture with its folder, named by the stem; a stem seen before gets a number."""
        taken: set[str] = set()
        for path in pictures:
            stem = files.readable(path.stem)
            name, number = stem, 1
            while name in taken:
                number += 1
                name = f"{stem}-{number}"
            taken.add(name)
            yield path, self.job.out / name

    def explain(self, path: Path, folder: Path, show: Show | None) -> Explanation:
        """Explain one picture and save it."""
        picture = self._picture(path)
        size = self.classifier.image_size
        region = self._region(path, picture, size)
        result, *others = (
            explain(
                self.classifier,
                files.square(picture, size)[None].to(device_of(self.job.device)),
                self.target,
                method=self.method,
                seed=self.job.seed + k,
                budget=math.inf if self.job.budget is None else self.job.budget,
                region=None if region is None else region[None].to(device_of(self.job.device)),
                callback=self._watch(path, show, self.method),
            )
            for k in range(self.job.seeds)
        )
        name = files.readable(str(path))
        provenance = Provenance(name, self.job.classifier, licence_of(self.job.classifier), self.job.dehair)
        explanation = describe(result, self.classifier, self.oracles, others=others, provenance=provenance)
        figures = fullsize_figure(result, picture) | seed_figures([result, *others], explanation.seeds)
        if self.job.path or others:
            figures |= path_figures(result, self.classifier)
        explanation = replace(explanation, figures=figures)
        make_folder(folder)
        save(explanation, folder)
        render_explanation(explanation, folder)
        return explanation

    def invert(self, path: Path, folder: Path, layers: str, method: str, show: Show | None) -> Iterator[str]:
        """Invert each layer of one picture alone, save the pre-images, and describe them."""
        if method not in INVERSIONS:
            raise ValueError(f"there is no inversion method {method}: use {' or '.join(INVERSIONS)}")
        query = files.load_images(path, self.classifier.image_size).to(device_of(self.job.device))
        images, rows = [], []
        for layer in self._layers(query, layers):
            found = invert(
                self.classifier,
                query,
                layers=[layer],
                method=INVERSIONS[method],
                seed=self.job.seed,
                callback=self._watch(path, show, INVERSIONS[method]),
            )
            make_folder(folder)
            files.save_png(folder / f"{method}-layer{layer}.png", found.image[0])
            error, kept = float(found.feature_error[0, layer]), bool(found.predicted[0, 0] == found.predicted[0, 1])
            rows.append({"layer": layer, "feature_error": error, "psnr": found.psnr[0], "class_kept": kept})
            images.append((f"layer {layer}: {found.psnr[0]:.1f} dB", found.image[0]))
            yield (
                f"{path} layer {layer}: feature error {error:.4f}, {found.psnr[0]:.1f} dB, "
                f"class {'kept' if kept else 'lost'}, {found.seconds[0]:.1f} s"
            )
        plot.save(plot.inversion_figure(query[0], [(method, images)]), folder / f"{method}-layers.png")
        record = {"image": files.readable(str(path)), "method": method, "layers": rows}
        write_json(folder / f"{method}-layers.json", record)

    def _picture(self, path: Path) -> Image:
        """The picture, without hair where that is asked for."""
        picture = files.load_picture(path)
        if not self.job.dehair:
            return picture
        from cfexplain.restore.hair import bare

        return bare(picture, self.job.dehair)

    def _layers(self, query: Tensor, text: str) -> list[int]:
        with torch.no_grad():
            count = len(self.classifier(query).features)
        try:
            layers = [int(part) for part in text.split(",")] if text else list(range(count))
        except ValueError:
            raise ValueError(f"--layers takes numbers such as 0,2,4, got {text}") from None
        if not layers or not all(0 <= layer < count for layer in layers):
            raise ValueError(f"the classifier has the layers 0 to {count - 1}, got {text or 'none'}")
        return layers

    def _region(self, path: Path, picture: Image, size: int) -> Tensor | None:
        if self.job.mask is None:
            return None
        mask = self.job.mask / f"{path.stem}.png" if self.job.mask.is_dir() else self.job.mask
        return files.square_mask(files.load_mask(mask), picture, size)

    @staticmethod
    def _watch(path: Path, show: Show | None, method: Method) -> Callable[[int, str, Step], object] | None:
        if show is None:
            return None

        def watch(index: int, stage: str, step: Step) -> None:
            descent = method.anchor if stage == "anchor" and method.anchor else method.edit
            steps = descent.expected(step.index)
            show(f"{path.name}: {stage}", step.index, steps, {"objective": float(step.value.sum())})

        return watch


def sentence(explanation: Explanation, folder: Path | None = None) -> str:
    """One explanation in a sentence."""
    edit, target, source = explanation.edit, explanation.target, explanation.source
    image = explanation.provenance.image
    where = "" if folder is None else f" Pictures in {folder}."
    if explanation.status is not Status.FOUND:
        status, advice = explanation.status.value.replace("_", " "), explanation.status.advice.rstrip(".")
        return f"{image}: {source} -> {target} {status}. {advice}.{where}"
    m = explanation.metrics
    caution = f" Caution: {explanation.caution}" if explanation.caution else ""
    before, after = (explanation.probabilities(of)[target] for of in ("query", "counterfactual"))
    return (
        f"{image}: {source} becomes {target} (p {before:.2f} -> {after:.2f}) when {m['changed_share']:.0%} of the "
        f"pixels change visibly, by {m['mean_change']:.3f} on average and {m['largest_change']:.2f} at most; "
        f"{edit.steps[0]} steps, {edit.seconds[0]:.1f} s. {explanation.verdict.kind.value.capitalize()}: "
        f"{_seen(explanation.verdict)}. {explanation.words}{caution}{where}"
    )


def _seen(verdict: Verdict) -> str:
    """Robustness and independent classifiers, in a clause."""
    counted = {name: answer.flipped for name, answer in verdict.oracles.items() if answer.counted}
    others = ", ".join(f"{name} {'agrees' if flipped else 'disagrees'}" for name, flipped in counted.items())
    holds = "survives" if verdict.robustness["together"] else "does not survive"
    return f"{holds} shift, blur, resizing and JPEG; {others or 'no independent classifier could be asked'}"


def demonstrate(out: Path, seed: int, show: Show | None) -> Explanation:
    """Explain a synthetic lesion, painted here, with the shipped `synthetic` classifier."""
    make_folder(out)
    prepared = Job("synthetic", "auto", "natural", None, seed, None, "auto", out).prepare([])
    lesion = synthetic_lesion(seed, prepared.classifier)
    path = out / f"{lesion.id}.png"
    files.save_png(path, lesion.image)
    return prepared.explain(path, out / lesion.id, show)


def synthetic_lesion(seed: int, classifier: Classifier | None = None) -> Any:
    """A malignant synthetic lesion of the test split that the classifier, by default `synthetic`, takes for one."""
    classifier = classifier or load_classifier("synthetic", "cpu")
    lesions = import_module("cfexplain_datasets.synthetic").SyntheticLesions(40, size=64, split="test")
    device = device_of_weights(classifier)
    malignant = [lesion for lesion in lesions if lesion.label == 1]
    seen = predict(classifier, torch.stack([lesion.image for lesion in malignant]).to(device)).logits.argmax(1)
    known = [lesion for lesion, label in zip(malignant, seen.tolist(), strict=True) if label == 1]
    return known[seed % len(known)]
