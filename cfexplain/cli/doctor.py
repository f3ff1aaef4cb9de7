"""`cfexplain doctor` and `demo`: what is installed, and whether it works."""

from pathlib import Path

from cfexplain.cli import terminal
from cfexplain.cli.explain import explain


@terminal.command()
def doctor() -> terminal.Output:
    """Print versions, device and shipped classifiers, and explain one synthetic lesion as a check."""
    import torch

    import cfexplain
    from cfexplain.classifier.sources import device_of, load_classifier, synthetic_lesion
    from cfexplain.plugins import plugin
    from cfexplain.version import versions

    classifiers = plugin("classifiers")
    yield from (f"{name} {number}" for name, number in versions().items())
    yield f"device {device_of('auto')}, {torch.get_num_threads()} threads"
    for name in classifiers.NAMES:
        card = classifiers.card(name)
        size, classes = card["architecture"]["image_size"], ", ".join(card["architecture"]["classes"])
        yield f"classifier {name}: {classes}; {size} pixels, RGB in [0, 1]; {card['licence']}"
    yield "a classifier sees the central square of an image, resized with antialiasing"
    edit = cfexplain.explain(load_classifier("synthetic", "cpu"), synthetic_lesion(0).image[None], budget=30.0)
    yield f"check: {edit!r} in {edit.seconds[0]:.1f} s"


@terminal.command()
def demo(out: terminal.Out = Path("out/demo"), seed: terminal.Seed = 0) -> terminal.Output:
    """Explain a synthetic lesion with the shipped classifier `synthetic`: no data and no internet needed."""
    from cfexplain.classifier.sources import synthetic_lesion
    from cfexplain.images import save_png

    terminal.make_folder(out)
    lesion = synthetic_lesion(seed)
    image, folder = out / f"{lesion.id}.png", out / lesion.id
    save_png(image, lesion.image)
    yield from explain([image], "synthetic", seed=seed, out=out)
    yield f"look at {folder / 'report.html'}; the exact numbers are in {folder / 'result.json'}"
