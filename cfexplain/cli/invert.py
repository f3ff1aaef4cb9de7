"""`cfexplain invert`: pre-images of the classifier's features, layer by layer."""

from typing import Annotated

import typer

from cfexplain.cli import terminal

LAYERS = "Layers, 0 the shallowest, each inverted on its own, such as 0,2,4."


@terminal.command()
def invert(
    images: terminal.Images,
    classifier: terminal.Classifier,
    out: terminal.Out,
    layers: Annotated[str, typer.Option(help=LAYERS, show_default="all")] = "",
    method: Annotated[str, typer.Option(help="dip or tv.")] = "dip",
    seed: terminal.Seed = 0,
    device: terminal.Device = "auto",
) -> terminal.Output:
    """Show what the classifier's features retain of an image at each layer: their pre-images."""
    import cfexplain
    from cfexplain.classifier.checks import predict
    from cfexplain.classifier.sources import device_of, load_classifier
    from cfexplain.explanation import plot
    from cfexplain.images import load_images, readable, save_png, write_whole
    from cfexplain.method.presets import INVERSIONS

    if method not in INVERSIONS:
        raise ValueError(f"there is no inversion method {method}: use {' or '.join(INVERSIONS)}")
    terminal.make_folder(out)
    model, chosen = load_classifier(classifier, device), INVERSIONS[method]
    for path, (folder,) in terminal.result_folders(images, out):
        query = load_images(path, model.image_size).to(device_of(device))
        terminal.make_folder(folder)
        rows, titled = [], []
        for layer in layers_of(layers, len(predict(model, query).features)):
            with terminal.watching(path, chosen) as watch:
                inversion = cfexplain.invert(model, query, layers=[layer], method=chosen, seed=seed, callback=watch)
            image, psnr, error = inversion.image[0], inversion.psnr[0], float(inversion.feature_error[0, layer])
            before, after = inversion.predicted[0].tolist()
            save_png(folder / f"{method}-layer{layer}.png", image)
            rows.append({"layer": layer, "feature_error": error, "psnr": psnr, "class_kept": before == after})
            titled.append((f"layer {layer}: {psnr:.1f} dB", image))
            yield (
                f"{path} layer {layer}: feature error {error:.4f}, {psnr:.1f} dB, "
                f"class {'kept' if before == after else 'lost'}, {inversion.seconds[0]:.1f} s"
            )
        plot.save(plot.inversion_figure(query[0], [(method, titled)]), folder / f"{method}-layers.png")
        record = {"image": readable(str(path)), "method": method, "layers": rows}
        write_whole(folder / f"{method}-layers.json", f"{terminal.json_text(record, indent=2)}\n".encode())


def layers_of(text: str, count: int) -> list[int]:
    """The layers that a user lists, all `count` of them if none, or an error."""
    try:
        layers = [int(part) for part in text.split(",")] if text else list(range(count))
    except ValueError:
        raise ValueError(f"--layers takes numbers such as 0,2,4, got {text}") from None
    if not layers or not all(0 <= layer < count for layer in layers):
        raise ValueError(f"the classifier has the layers 0 to {count - 1}, got {text or 'none'}")
    return layers
