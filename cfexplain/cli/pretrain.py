"""`cfexplain pretrain`: a prior of the user's own images, for `explain --prior`."""

from pathlib import Path
from typing import Annotated

import typer

from cfexplain.cli import terminal

SIDE = 96  # Pixels of the images kept: crops of two thirds of them are the 64 pixels that are learned.


@terminal.command()
def pretrain(
    data: terminal.Dataset,
    out: Annotated[Path, typer.Option(help="File of the weights (safetensors).")],
    dataset: terminal.Reader = "folder",
    limit: Annotated[int, typer.Option(min=1, help="Images, at most.")] = 5000,
    steps: Annotated[int, typer.Option(min=1, help="Steps of 12 images: 2700 take 8 minutes on a core.")] = 2700,
    seed: terminal.Seed = 0,
) -> terminal.Output:
    """Pretrain the prior on images of your own, without labels, so that searches start close to them."""
    import torch
    from safetensors.torch import save

    from cfexplain.generators.pretrained import AUTOENCODER
    from cfexplain.generators.pretraining import pretrain as learn
    from cfexplain.images import square, to_uint8, write_whole
    from cfexplain.plugins import plugin

    samples = plugin("datasets").open_dataset(dataset, data).readable()
    if not len(samples):
        raise ValueError(f"{data} holds no readable image")
    typer.echo(str(samples.report), err=True)
    some = (samples[i].image for i in range(min(limit, len(samples))))
    images = torch.stack([torch.from_numpy(to_uint8(square(image, SIDE))).permute(2, 0, 1) for image in some])
    with terminal.progress("pretrain") as show:
        network = learn(
            AUTOENCODER, images, steps=steps, seed=seed,
            callback=show and (lambda step, loss: show(completed=step + 1, total=steps, state=f"loss {loss:.4f}")),
        )  # fmt: skip
    write_whole(out, save({name: value.half().contiguous() for name, value in network.state_dict().items()}))
    yield f"{out} has learned {len(images)} images: cfexplain explain --prior {out}"
