"""The loss estimator under study: joint or fitted afterwards, hardened or not, and what edits do to it.

    python experiments/estimator.py posthoc       10 minutes on one core; joint against post hoc heads of `ham10000`
    python experiments/estimator.py hardened      6 minutes; small `synthetic` classifiers, a seed of each recipe
    python experiments/estimator.py attacked      5 minutes, 10 more without the comparison's rows; 40 test lesions
    python experiments/estimator.py table         1 second; writes results/estimator/table.md from the three

Every number reported is of test images; heads are fitted on training or validation images, standardised on
validation images, and nothing is chosen on the test split. What takes long is kept in runs/estimator/;
the parts of the study are modules in estimator_study/.
"""

from __future__ import annotations

import torch
from estimator_study.attacked import attacked
from estimator_study.seen import OUT
from estimator_study.table import table
from estimator_study.trained import hardened, posthoc
from shared import command


def main() -> None:
    parser = command(__doc__)
    parser.add_argument("part", choices=["posthoc", "hardened", "attacked", "table"])
    parser.add_argument("--count", type=int, default=40, help="lesions of the list to attack and explain")
    parser.add_argument("--seeds", type=int, default=1, help="of the synthetic classifiers")
    args = parser.parse_args()
    torch.set_num_threads(1)
    OUT.mkdir(parents=True, exist_ok=True)
    parts = {"posthoc": posthoc, "hardened": lambda: hardened(args.seeds), "attacked": lambda: attacked(args.count)}
    (parts | {"table": table})[args.part]()


if __name__ == "__main__":
    main()
