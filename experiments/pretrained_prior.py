"""The pretrained prior of `fast`: learned on lesions without labels, and measured beside the default.

    python experiments/pretrained_prior.py learn       8 minutes on one core; writes the shipped weights
    python experiments/pretrained_prior.py measure     15 minutes; writes results/pretrained_prior.*

It learns the ISIC 2017 training images (CC0), and is measured on the validation lesions of `natural.py`, each with two
seeds, by the tuning oracle. Agreement is the overlap (intersection over union) of the strongest tenths of two changes:
of two seeds of a lesion, and of two lesions.
"""

from itertools import combinations

import pandas as pd
import torch
from natural import lesions, row
from safetensors.torch import save as pack
from shared import DATA, RESULTS, command, markdown, sheet
from torch import Tensor

import cfexplain
from cfexplain import FAST, NATURAL
from cfexplain.explanation.plot import change_values
from cfexplain.generators.pretrained import AUTOENCODER, WEIGHTS
from cfexplain.generators.pretraining import pretrain
from cfexplain.images import square, to_uint8
from cfexplain.search.edit import Edit
from cfexplain_classifiers import folded, load
from cfexplain_datasets import open_dataset
from cfexplain_datasets.splits import without_leaks

COLUMNS = ("found", "p_target", "witness_flip", "inside_lesion", "lpips", "mean_change", "seconds")


def learn() -> None:
    """Pretrain, and keep the weights in half precision in the package."""
    images = without_leaks(open_dataset("isic2017", DATA / "isic" / "isic2017_256")).subset("train")
    small = torch.stack([torch.from_numpy(to_uint8(square(image.image, 96))).permute(2, 0, 1) for image in images])
    network = pretrain(AUTOENCODER, small, callback=lambda step, loss: step % 100 or print(step, loss, flush=True))
    state = {name: value.half().contiguous() for name, value in network.state_dict().items()}
    (WEIGHTS / "isic2017.safetensors").write_bytes(pack(state))


def strongest(edit: Edit) -> Tensor:
    """Which tenth of the pixels has changed most."""
    change = edit.difference[0].abs().mean(0).flatten()
    return change >= change.topk(len(change) // 10).values[-1]


def overlap(a: Edit, b: Edit) -> float:
    return float((strongest(a) & strongest(b)).sum() / (strongest(a) | strongest(b)).sum())


def measure(count: int) -> None:
    """Rows, means and a sheet of both methods."""
    classifier, witness = folded(load("ham10000")), load("witness")
    chosen, rows, lines = lesions(count, classifier), [], []
    for method in (NATURAL, FAST):
        found = [
            [cfexplain.explain(classifier, q, t, method=method, mask=m, seed=s) for s in (0, 1)]
            for _, t, q, m in chosen
        ]
        own = pd.DataFrame([row(c[0], e, witness) for c, pair in zip(chosen, found, strict=True) for e in pair])
        own["witness_flip"] = own["witness_flip"].where(own["witness_counted"].astype(bool))
        seeds = [overlap(*pair) for pair in found]
        others = [overlap(a[0], b[0]) for a, b in combinations(found, 2)]
        means = [f"{own[c].astype(float).mean():.3f}" for c in COLUMNS]
        lines.append([method.name, len(chosen), *means, *(f"{sum(x) / len(x):.3f}" for x in (seeds, others))])
        rows.append(own)
        first = [pair[0] for pair in found]
        pictures = [
            [e.query[0] for e in first],
            [e.image[0] for e in first],
            [change_values(e.difference[0]) for e in first],
        ]
        titles = [f"{e.classes[int(e.source)]}→{e.classes[int(e.target)]}" for e in first]
        sheet(pictures, RESULTS / f"pretrained_prior_{method.name}.png", titles=titles)
        print(lines[-1], flush=True)
    names = [c.replace("_", " ") for c in COLUMNS]
    head = ["method", "lesions", *names, "agreement of seeds", "of different lesions"]
    (RESULTS / "pretrained_prior.md").write_text(markdown(head, lines))
    pd.concat(rows).to_csv(RESULTS / "pretrained_prior_rows.csv", index=False, float_format="%.5g")


def main() -> None:
    parser = command(__doc__)
    parser.add_argument("what", choices=["learn", "measure"])
    parser.add_argument("--count", type=int, default=16, help="lesions to measure on")
    args = parser.parse_args()
    learn() if args.what == "learn" else measure(args.count)


if __name__ == "__main__":
    main()
