"""Learns the default's prior from the ISIC 2017 training images (CC0), without labels: the shipped weights.

    python experiments/pretrained_prior.py        8 minutes on one core

results/pretrained_prior.md is what it brought when it was new, on the validation lesions of `natural.py` with two seeds:
the default of version 0.1, and one search of 60 steps by the pretrained prior through four quasi-random views.
"""

import torch
from safetensors.torch import save as pack
from shared import DATA, command

from cfexplain.generators.pretrained import AUTOENCODER, WEIGHTS
from cfexplain.generators.pretraining import pretrain
from cfexplain.images import square, to_uint8
from cfexplain_datasets import open_dataset
from cfexplain_datasets.splits import without_leaks


def main() -> None:
    command(__doc__).parse_args()
    images = without_leaks(open_dataset("isic2017", DATA / "isic" / "isic2017_256")).subset("train")
    small = torch.stack([torch.from_numpy(to_uint8(square(image.image, 96))).permute(2, 0, 1) for image in images])
    network = pretrain(AUTOENCODER, small, callback=lambda step, loss: step % 100 or print(step, loss, flush=True))
    state = {name: value.half().contiguous() for name, value in network.state_dict().items()}
    (WEIGHTS / "isic2017.safetensors").write_bytes(pack(state))


if __name__ == "__main__":
    main()
