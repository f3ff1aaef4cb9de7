"""`cfexplain doctor`: what is installed, and whether it works."""

from cfexplain.cli import terminal


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
