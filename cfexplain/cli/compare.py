"""`cfexplain compare`: attribution maps beside the counterfactual change."""

import math
from pathlib import Path
from typing import Annotated

import typer

from cfexplain.cli import terminal

MAPS = (
    "All, or separated by commas: saliency, input-x-gradient, integrated-gradients (also with -blurred and "
    "-counterfactual), smoothgrad, gradcam, guided-gradcam, gradient-shap, deep-lift, occlusion, superpixels."
)
MASK = "White on the lesion: a file, or a folder with STEM.png for each image."


@terminal.command()
def compare(
    images: terminal.Images,
    classifier: terminal.Classifier,
    methods: Annotated[str, typer.Option("--with", help=MAPS, show_default="eight")] = "",
    target: terminal.Target = "auto",
    method: Annotated[str, typer.Option(help="Method of the counterfactual, as in explain.")] = "natural",
    mask: Annotated[Path | None, typer.Option(help=MASK)] = None,
    seed: terminal.Seed = 0,
    budget: terminal.Budget = math.inf,
    device: terminal.Device = "auto",
    out: terminal.Out = Path("out"),
) -> terminal.Output:
    """Compare attribution maps with the change that the counterfactual makes.

    Exit codes: 0: all explained, 1: a counterfactual was not found, 2: bad usage or input.
    """
    import pandas as pd

    from cfexplain.attribution import attribute
    from cfexplain.attribution import compare as compare_maps
    from cfexplain.attribution.comparison import save_comparison, save_summary, sentence
    from cfexplain.attribution.methods import named
    from cfexplain.classifier.sources import class_of, device_of, load_classifier
    from cfexplain.cli.explain import read
    from cfexplain.images import readable, square
    from cfexplain.method.presets import load_method
    from cfexplain.search.explain import explain

    terminal.make_folder(out)
    model = load_classifier(classifier, device)
    place, wanted, chosen, names = device_of(device), class_of(target, model), load_method(method), named(methods)
    rows = []
    for image, (folder,) in terminal.result_folders(images, out):
        try:
            picture, lesion = read(image, mask, "", model.image_size)
            query = square(picture, model.image_size)[None].to(place)
            edit = explain(model, query, wanted, method=chosen, seed=seed, budget=budget, mask=lesion)
            maps = {
                name: attribute(model, edit.query, edit.source, name, counterfactual=edit.image, seed=seed)
                for name in names
            }
            comparison = compare_maps(edit, maps, classifier=model, seed=seed)
            save_comparison(comparison, folder, readable(str(image)))
            rows.append(comparison.rows.assign(image=readable(str(image))))
            yield sentence(comparison, str(image))
            yield terminal.exit_code(edit.status[0])
        except ValueError as error:
            yield error
    if rows:
        save_summary(pd.concat(rows, ignore_index=True), out)
