"""`cfexplain explain`: a counterfactual of each image's prediction, with its record, figures and page."""

import json
import math
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cfexplain.cli import terminal

if TYPE_CHECKING:
    from torch import Tensor

    from cfexplain import Explanation

METHODS = "natural, fast, without-estimator, regularised-dip, dip, disc, tv, pixels, or module:NAME."
MASK = "White where the image may change: a file, or a folder with STEM.png for each image."


@terminal.command()
def explain(
    images: terminal.Images,
    classifier: terminal.Classifier,
    target: terminal.Target = "auto",
    method: Annotated[str, typer.Option(help=METHODS)] = "natural",
    mask: Annotated[Path | None, typer.Option(help=MASK)] = None,
    prior: terminal.Prior = None,
    seed: terminal.Seed = 0,
    seeds: Annotated[int, typer.Option(min=1, help="Repeat with this many seeds and show where they agree.")] = 1,
    diverse: Annotated[int, typer.Option(min=1, help="Different counterfactuals, saved as STEM, STEM-2, ...")] = 1,
    confidence: Annotated[float | None, typer.Option(help="Probability of the target to reach.")] = None,
    oracle: terminal.Oracles = None,
    path: Annotated[bool, typer.Option("--path", help="Also write path.gif and path.png, the way there.")] = False,
    dehair: Annotated[str, typer.Option(help="Remove hair first (may remove texture): prior, dullrazor, opencv.")] = "",
    budget: terminal.Budget = math.inf,
    device: terminal.Device = "auto",
    out: terminal.Out = Path("out"),
    as_json: terminal.Json = False,
) -> terminal.Output:
    """Explain the prediction for each image by a counterfactual.

    Exit codes: 0: all explained, 1: a counterfactual was not found, 2: bad usage or input.
    """
    from cfexplain import describe, explain_diverse, save
    from cfexplain.classifier.sources import class_of, licence_of, load_classifier, load_oracles
    from cfexplain.explanation.figures import fullsize_figure, path_figures, seed_figures
    from cfexplain.explanation.record import Provenance
    from cfexplain.images import readable
    from cfexplain.method.presets import at_confidence, load_method
    from cfexplain.report import render, render_explanation

    chosen = load_method(method, prior)
    chosen = chosen if confidence is None else at_confidence(chosen, confidence)
    terminal.make_folder(out)
    model = load_classifier(classifier, device)
    search = partial(explain_diverse, model, target=class_of(target, model), method=chosen, budget=budget)
    oracles = load_oracles(oracle or (), classifier, model)
    explained = 0
    for image, folders in terminal.result_folders(images, out, diverse):
        try:
            picture, query, region = read(image, mask, model.image_size, device, dehair)
            origin = Provenance(readable(str(image)), classifier, licence_of(classifier), dehair)
            with terminal.watching(image, chosen) as watch:
                search_image = partial(search, query, region=region, callback=watch)
                edits = search_image(count=diverse, seed=seed)
                repeats = [search_image(count=1, seed=seed + k)[0] for k in range(1, seeds)]
            for edit, folder in zip(edits, folders, strict=True):
                others = repeats if edit is edits[0] else []
                explanation = describe(edit, model, oracles, others=others, provenance=origin)
                figures = fullsize_figure(edit, picture) | seed_figures([edit, *others], explanation.seeds)
                figures |= path_figures(edit, model) if path or others else {}
                explanation = replace(explanation, figures=figures)
                render_explanation(explanation, save(explanation, folder))
                explained += 1
                yield json.dumps(explanation.to_json()) if as_json else sentence(explanation, folder)
                yield terminal.exit_code(explanation.status)
        except ValueError as error:
            yield error
    if explained > 1:
        render(out)


def read(
    path: Path, mask: Path | None, size: int, device: str, dehair: str = ""
) -> "tuple[Tensor, Tensor, Tensor | None]":
    """An image at its own resolution, its square for the classifier, and the mask of that square if one is given."""
    from cfexplain.classifier.sources import device_of
    from cfexplain.images import load_mask, load_picture, square, square_mask
    from cfexplain.restore import hair

    image = load_picture(path)
    image = hair.dehair(image, method=dehair).image[0] if dehair else image
    query = square(image, size)[None].to(device_of(device))
    if mask is None:
        return image, query, None
    return image, query, square_mask(load_mask(mask / f"{path.stem}.png" if mask.is_dir() else mask), image, size)[None]


def sentence(explanation: "Explanation", folder: Path) -> str:
    """One explanation in words."""
    edit, metrics, verdict = explanation.edit, explanation.metrics, explanation.verdict
    source, target, status = explanation.source, explanation.target, explanation.status
    start, end = f"{explanation.provenance.image}: {source}", f"Pictures in {folder}."
    if status.value != "found":
        return f"{start} -> {target} {status.value.replace('_', ' ')}. {status.advice} {end}"
    before, after = (explanation.probabilities(of)[target] for of in ("query", "counterfactual"))
    robust = "survives" if verdict.robustness["together"] else "does not survive"
    answers = {name: answer.flipped for name, answer in verdict.oracles.items() if answer.counted}
    oracles = ", ".join(f"{name} {'agrees' if flipped else 'disagrees'}" for name, flipped in answers.items())
    return (
        f"{start} becomes {target} (p {before:.2f} -> {after:.2f}) when {metrics['changed_share']:.0%} of the pixels "
        f"change visibly, by {metrics['mean_change']:.3f} on average and {metrics['largest_change']:.2f} at most; "
        f"{edit.steps[0]} steps, {edit.seconds[0]:.1f} s. {verdict.kind.value.capitalize()}: {robust} shift, blur, "
        f"resizing and JPEG; {oracles or 'no independent classifier could be asked'}. {explanation.words}"
        f"{f' Caution: {explanation.caution}' if explanation.caution else ''} {end}"
    )
