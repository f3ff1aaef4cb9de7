"""`cfexplain compare`: attribution maps beside the counterfactual change."""

import math
from functools import partial
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

    import cfexplain
    from cfexplain.attribution.comparison import save_comparison, save_summary, sentence
    from cfexplain.attribution.methods import named
    from cfexplain.classifier.sources import class_of, load_classifier
    from cfexplain.cli.explain import read
    from cfexplain.images import readable
    from cfexplain.method.presets import load_method

    terminal.make_folder(out)
    model = load_classifier(classifier, device)
    wanted, chosen, names, rows = class_of(target, model), load_method(method), named(methods), []
    for image, (folder,) in terminal.result_folders(images, out):
        try:
            _, query, lesion = read(image, mask, model.image_size, device)
            edit = cfexplain.explain(model, query, wanted, method=chosen, seed=seed, budget=budget, mask=lesion)
            attribute = partial(cfexplain.attribute, model, edit.query, edit.source)
            maps = {name: attribute(name, counterfactual=edit.image, seed=seed) for name in names}
            comparison = cfexplain.compare(edit, maps, classifier=model, seed=seed)
            save_comparison(comparison, folder, readable(str(image)))
            rows.append(comparison.rows.assign(image=readable(str(image))))
            yield sentence(comparison, str(image))
            yield terminal.exit_code(edit.status[0])
        except ValueError as error:
            yield error
    if rows:
        save_summary(pd.concat(rows, ignore_index=True), out)
