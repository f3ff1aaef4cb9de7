"""One explanation as a folder: result.json, exact tensors, pictures; the only place that writes and reads one."""

from dataclasses import replace
from pathlib import Path

import msgspec
from safetensors import SafetensorError
from safetensors.torch import load_file
from safetensors.torch import save as pack

from cfexplain.explanation import plot
from cfexplain.explanation.explanation import Explanation, caption
from cfexplain.images import png_bytes, write_whole

# Pictures that only some explanations have; those of an earlier explanation must not stay in the folder.
FIGURES = ("fullsize.png", "path.gif", "path.png", "seeds.png")


def save(explanation: Explanation, out: str | Path, *, figures: bool = True) -> Path:
    """Write one explanation to a folder: pictures, panel, exact tensors, and result.json last, as a seal.

    Args:
        explanation: of one image.
        out: the folder; it is made where it does not exist.
        figures: draw panel.png, and change.png with its scale; otherwise change.png is the bare coloured change.
    """
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    for name in ("result.json", *FIGURES):
        (out / name).unlink(missing_ok=True)
    for name, content in files(explanation, figures=figures).items():
        write_whole(out / name, content)
    return out


def load(folder: str | Path) -> Explanation:
    """Read what `save` wrote; tensors are bit-identical, features of the classifier are not kept.

    Raises:
        ValueError: the folder holds no complete explanation; the message says what is wrong.
    """
    folder = Path(folder)
    for name in ("result.json", "tensors.safetensors"):
        if not (folder / name).is_file():
            raise ValueError(f"{folder} holds no explanation: it has no {name}")
    try:
        record = msgspec.json.decode((folder / "result.json").read_bytes())
        found = Explanation.from_json(record, load_file(folder / "tensors.safetensors"))
    except (SafetensorError, msgspec.DecodeError, ValueError, OSError) as error:
        raise ValueError(f"{folder} is damaged ({error}): explain the picture again") from None
    kept = {name: (folder / name).read_bytes() for name in FIGURES if (folder / name).is_file()}
    return replace(found, figures=kept)


def files(explanation: Explanation, *, figures: bool = True) -> dict[str, bytes]:
    """What `save` writes, by name, result.json last."""
    edit = explanation.edit
    made = {"query": edit.query[0], "anchor": edit.anchor[0], "counterfactual": edit.image[0]}
    if not figures:
        made["change"] = plot.change_image(edit.difference[0])
    found = {f"{name}.png": png_bytes(content) for name, content in made.items()} | dict(explanation.figures)
    if figures:
        found["change.png"] = plot.png(plot.change_figure(edit))
        found["panel.png"] = plot.png(plot.panel(edit, caption=caption(explanation)))
    found["tensors.safetensors"] = pack(explanation.tensors())
    record = msgspec.json.format(msgspec.json.encode(explanation.record), indent=2) + b"\n"
    return found | {"result.json": record}
