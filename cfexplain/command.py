"""What the commands do, without printing: find classifiers, data sets and methods by name, run, describe."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cfexplain import images as files
from cfexplain import plot
from cfexplain.classifier import check_classifier, class_index
from cfexplain.evidence import draw, evidence
from cfexplain.explanation import explain
from cfexplain.inversion import invert
from cfexplain.methods import INVERSIONS, METHODS, at_confidence
from cfexplain.result import Counterfactual
from cfexplain.solve import Method
from cfexplain.stop import Step
from cfexplain.types import Classifier, Image
from cfexplain.version import versions

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

    def prepare(self, pictures: Sequence[Path]) -> Prepared:
        """Check all that can be checked before the first picture is read, and load the classifier."""
        method = load_method(self.method)
        method = method if self.confidence is None else at_confidence(method, self.confidence)
        make_folder(self.out)
        classifier = load_classifier(self.classifier, self.device)
        check_classifier(classifier)
        named = self.target
        target = named if named == "auto" else class_index(classifier, int(named) if named.isdigit() else named)
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
            name, number = path.stem, 1
            while name in taken:
                number += 1
                name = f"{path.stem}-{number}"
            taken.add(name)
            yield path, self.job.out / name

    def explain(self, path: Path, folder: Path, show: Show | None) -> dict[str, Any]:
        """Explain one picture, save it, and return its record."""
        picture = files.load_picture(path)
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
                watch=self._watch(path, show),
            )
            for k in range(self.job.seeds)
        )
        said = evidence(result, self.classifier, self.oracles, others=others)
        make_folder(folder)
        if self.job.path or others:
            draw(result, self.classifier, folder, others)
        result.save(folder, image=str(path), picture=picture, extra=said)
        return result.records([str(path)])[0] | said

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
                watch=self._watch(path, show),
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
        write_json(folder / f"{method}-layers.json", {"image": str(path), "method": method, "layers": rows})

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

    def _watch(self, path: Path, show: Show | None) -> Callable[[int, str, Step], object] | None:
        if show is None:
            return None

        def watch(index: int, stage: str, step: Step) -> None:
            steps = self.method.anchor.steps if stage == "anchor" and self.method.anchor else self.method.edit.steps
            show(f"{path.name}: {stage}", step.index, steps, {"objective": float(step.value.sum())})

        return watch


def load_classifier(name: str, device: str = "auto") -> Classifier:
    """A classifier by shipped name, run, .safetensors file or module:function, on its device, in evaluation mode."""
    if ":" in name and not Path(name).exists():
        found: Classifier = load_object(name)()
        if not callable(found) or not hasattr(found, "classes") or not hasattr(found, "image_size"):
            raise ValueError(
                f"{name} gave {type(found).__name__}, not a classifier: return cfexplain.wrap(model, ...) from it"
            )
        return found
    ours = import_module("cfexplain_classifiers")
    moved: Classifier = ours.folded(ours.load(name)).to(device_of(device))
    return moved


def load_oracles(names: Sequence[str], explained: str, classifier: Classifier) -> dict[str, Classifier]:
    """Independent classifiers for the verdict; by default the shipped witness, where it knows the same classes."""
    if not names:
        described = import_module("cfexplain_classifiers.checkpoint")
        known = described.describe(described.locate("witness"))["architecture"]["classes"]
        names = ("witness",) if explained != "witness" and list(known) == list(classifier.classes) else ()
    device = str(next(iter(getattr(classifier, "parameters", lambda: iter(()))()), torch.empty(0)).device)
    return {name: load_classifier(name, device) for name in names if name != "none"}


def load_method(name: str) -> Method:
    """A method by name, or module:NAME of your own."""
    if name in METHODS:
        return METHODS[name]
    if ":" not in name:
        raise ValueError(f"there is no method {name}: use {', '.join(METHODS)}, or module:NAME")
    found = load_object(name)
    if not isinstance(found, Method):
        raise ValueError(f"{name} is {type(found).__name__}, not a cfexplain.Method")
    return found


def load_object(name: str) -> Any:
    """What module:name stands for; modules in the working folder are found."""
    import sys

    module, _, attribute = name.partition(":")
    if "" not in sys.path:
        sys.path.insert(0, "")
    try:
        return getattr(import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"{name} cannot be imported ({error})") from None


def device_of(name: str) -> torch.device:
    """A torch device by name; auto is a GPU where there is one."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"the device {name} cannot be used here ({str(error).splitlines()[0]})") from None
    return device


def make_folder(folder: Path) -> None:
    """Make a folder that can be written to, or say why not."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        files.write_whole(folder / ".writable", b"")
        (folder / ".writable").unlink()
    except OSError as error:
        raise ValueError(
            f"the output folder {folder} cannot be written to ({error.strerror}): name another with --out"
        ) from None


def write_json(path: Path, value: Any) -> None:
    """Write plain values as JSON, whole or not at all."""
    import json

    files.write_whole(path, (json.dumps(value, indent=2) + "\n").encode())


def sentence(record: Mapping[str, Any], folder: Path | None = None) -> str:
    """One explanation in a sentence."""
    p, target, source = record["probabilities"], record["target"], record["source"]
    where = "" if folder is None else f" Pictures in {folder}."
    if record["status"] != "found":
        status, advice = record["status"].replace("_", " "), record["advice"].rstrip(".")
        return f"{record['image']}: {source} -> {target} {status}. {advice}.{where}"
    m = record["metrics"]
    return (
        f"{record['image']}: {source} becomes {target} (p {p['query'][target]:.2f} -> "
        f"{p['counterfactual'][target]:.2f}) when {m['changed_share']:.0%} of the pixels change visibly, by "
        f"{m['mean_change']:.3f} on average and {m['largest_change']:.2f} at most; "
        f"{record['steps']} steps, {record['seconds']:.1f} s. {record['verdict']['kind'].capitalize()}: "
        f"{_seen(record['verdict'])}. {record['words']}{where}"
    )


def _seen(verdict: Mapping[str, Any]) -> str:
    """What others make of it."""
    counted = {name: o["flipped"] for name, o in verdict["oracles"].items() if o["counted"]}
    others = ", ".join(f"{name} {'agrees' if flipped else 'disagrees'}" for name, flipped in counted.items())
    holds = "survives" if verdict["survives"]["together"] else "does not survive"
    return f"{holds} shift, blur, resizing and JPEG; {others or 'no independent classifier could be asked'}"


def train(
    dataset: str,
    data: Path,
    out: Path,
    recipe: Mapping[str, Any],
    weights: Path | None,
    pretrained: bool,
    device: str,
    progress: Callable[[str], None],
    drop_leaks: bool = False,
) -> Path:
    """Open and check a data set, split it where it has no splits, and train on it."""
    classifiers, datasets = import_module("cfexplain_classifiers"), import_module("cfexplain_datasets")
    splits = import_module("cfexplain_datasets.splits")
    make_folder(out)
    whole = splits.with_splits(datasets.open_dataset(dataset, data)).readable()
    if drop_leaks:
        whole = splits.without_leaks(whole)
    progress(str(whole.report))
    splits.refuse_leaks(whole)
    training, validation = whole.subset("train"), whole.subset("val")
    plan = classifiers.Recipe(**recipe)
    path: Path = classifiers.train(
        plan,
        training,
        validation,
        out,
        labels=training.labels,
        augment=import_module("cfexplain_datasets.augment").training_augmentation(plan.image_size),
        hardening=import_module("cfexplain_classifiers.hardening").off_distribution,
        weights=weights,
        pretrained=pretrained,
        device=device_of(device),
        card=classifiers.Card(data=f"{dataset} training split, {len(training)} images", licence="that of the data"),
        progress=progress,
    )
    return path


def judge(classifier: str, dataset: str, data: Path, split: str, device: str, out: Path | None) -> dict[str, Any]:
    """Judge a classifier on a split of a data set; also on images that are no lesions."""
    classifiers, batches = import_module("cfexplain_classifiers"), import_module("cfexplain_classifiers.batches")
    network = classifiers.load(classifier).to(device_of(device))
    whole = import_module("cfexplain_datasets.splits").with_splits(
        import_module("cfexplain_datasets").open_dataset(dataset, data)
    )
    samples = whole.subset(split)
    if len(samples) == 0:
        raise ValueError(f"the data set has no images in the split {split}")
    if list(whole.classes) != list(network.classes):
        raise ValueError(f"the classifier knows {', '.join(network.classes)}, the data set {', '.join(whole.classes)}")
    shown = list(batches.evaluation_batches(samples, network.image_size))
    some = torch.cat([images for images, _ in shown])[:: max(1, len(samples) // 300)][:300]
    strangers = import_module("cfexplain_classifiers.judgement").strangers_from(some)
    judgement: dict[str, Any] = classifiers.judge(network, shown, strangers=strangers).to_dict()
    if out is not None:
        make_folder(out)
        write_json(out / "judgement.json", judgement)
        plot.save(plot.reliability_figure(judgement["reliability"]), out / "reliability.png")
    return judgement


def judgement_text(judgement: Mapping[str, Any]) -> str:
    """The numbers of a judgement, a line each."""

    def lines(values: Mapping[str, Any], indent: str) -> Iterator[str]:
        for key, value in values.items():
            name = key.replace("_", " ")
            if isinstance(value, Mapping):
                yield f"{indent}{name}"
                yield from lines(value, indent + "  ")
            elif isinstance(value, list):
                yield f"{indent}{name}: " + " ".join(f"{v:.3f}" for v in value)
            else:
                yield f"{indent}{name}: {value:.4g}"

    return "\n".join(lines(judgement, ""))


def check_data(dataset: str, folder: Path) -> Any:
    """The report on a data set."""
    datasets = import_module("cfexplain_datasets")
    return import_module("cfexplain_datasets.check").check(datasets.open_dataset(dataset, folder))


def demonstrate(out: Path, seed: int, show: Show | None) -> dict[str, Any]:
    """Explain a synthetic lesion, painted here, with the shipped `synthetic` classifier."""
    lesion = synthetic_lesion(seed)
    make_folder(out)
    path = out / f"{lesion.id}.png"
    files.save_png(path, lesion.image)
    prepared = Job("synthetic", "auto", "natural", None, seed, None, "auto", out).prepare([path])
    return prepared.explain(path, out / lesion.id, show)


def synthetic_lesion(seed: int) -> Any:
    """A malignant synthetic lesion of the test split."""
    lesions = import_module("cfexplain_datasets.synthetic").SyntheticLesions(40, size=64, split="test")
    return [lesion for lesion in lesions if lesion.label == 1][seed % 20]


def doctor() -> Iterator[str]:
    """Versions, devices, what is shipped, and a check that the main job works."""
    yield from (f"{name} {number}" for name, number in versions().items())
    yield f"device {device_of('auto')}, {torch.get_num_threads()} threads"
    checkpoints = import_module("cfexplain_classifiers.checkpoint")
    for name in checkpoints.SHIPPED:
        try:
            described = checkpoints.describe(checkpoints.locate(name))
        except ValueError as error:
            yield f"classifier {name}: {error}"
            continue
        size, classes = described["architecture"]["image_size"], described["architecture"]["classes"]
        yield f"classifier {name}: {', '.join(classes)}; {size} pixels, RGB in [0, 1]; {described['licence']}"
    yield "a picture becomes the classifier's square by cropping the longer side equally and resizing with antialiasing"
    lesion = synthetic_lesion(0)
    result: Counterfactual = explain(load_classifier("synthetic", "cpu"), lesion.image[None], budget=30.0)
    yield f"check: {result!r} in {result.seconds[0]:.1f} s"
