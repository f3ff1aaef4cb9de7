"""The founding papers' restoration tables, ours beside the published numbers; writes results/restoration/.

    python experiments/restoration.py run --part superresolution --images butterfly      40 minutes on a core
    python experiments/restoration.py run --part denoising --device cuda
    python experiments/restoration.py run --part classic                                 BM3D, NLM, bicubic: minutes
    python experiments/restoration.py table

A run an image, kept under runs/restoration/; finished ones are skipped. Inputs are the
authors' own noisy and masked pictures, and Set5 and Set14 reduced by Pillow's Lanczos filter, cropped to multiples of 32.
What is handed over is chosen by rules that do not see the truth: the published steps, the average, ES-WMV and ES-EMV, and
pixels held out (2 % of them, in `denoising-middle` alone); the peak is written beside them only to measure the rules. Rows
of results/restoration/rows.csv whose runs are elsewhere are kept.
"""

from __future__ import annotations

import torch
from restoration_study.classic import classic
from restoration_study.part import OUT, PARTS
from restoration_study.report import report
from restoration_study.run import Case, run
from shared import command

from cfexplain.restore import reuse_memory


def main() -> None:
    parser = command(__doc__)
    parser.add_argument("what", choices=["run", "table"])
    parser.add_argument("--part", choices=[*PARTS, "classic"], default="denoising")
    parser.add_argument("--images", default="", help="with commas; all of the part by default")
    parser.add_argument("--preset", choices=["paper", "paper16", "paper16-ones", "fast"], default="paper")
    parser.add_argument("--steps", type=int, default=None, help="in place of the preset's")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--every", type=int, default=10, help="steps between two looks at the truth")
    args = parser.parse_args()
    OUT.mkdir(parents=True, exist_ok=True)
    reuse_memory()
    chosen = [i for i in args.images.split(",") if i]
    if args.what == "run" and args.part == "classic":
        classic()
    elif args.what == "run":
        for image in chosen or PARTS[args.part].images:
            run(Case(args.part, image, args.preset, args.steps, args.seed), args.device, args.every)
    report()


if __name__ == "__main__":
    main()
