"""`cfexplain compare`: attribution maps beside the counterfactual change."""

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
    budget: terminal.Budget = None,
    device: terminal.Device = "auto",
    out: terminal.Out = Path("out"),
) -> terminal.Output:
    """Compare attribution maps with the change that the counterfactual makes.

    Exit codes: 0: all explained, 1: a counterfactual was not found, 2: bad usage or input.
    """
    from cfexplain.attribution.report import Asked, Report, named, sentence
    from cfexplain.classifier.sources import class_of, device_of, load_classifier
    from cfexplain.method.presets import load_method

    terminal.make_folder(out)
    model = load_classifier(classifier, device)
    asked = Asked(class_of(target, model), load_method(method), seed, budget, device_of(device))
    report = Report(model, named(methods), asked, mask)
    for image, (folder,) in terminal.result_folders(images, out):
        try:
            yield sentence(report.compare(image, folder), str(image))
            yield terminal.exit_code(report.statuses[-1])
        except ValueError as error:
            yield error
    report.save(out)
