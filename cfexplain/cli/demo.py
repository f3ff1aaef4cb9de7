"""`cfexplain demo`: explain a synthetic lesion."""

from pathlib import Path

from cfexplain.cli import terminal
from cfexplain.cli.explain import explain


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
