"""How long one waits before anything happens.

    python experiments/benchmarks/start_up.py            1 minute; writes results/benchmarks/start_up.*

Median of processes of their own, after one that fills the disk's cache.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

from machine import keep
from shared import command

COMMANDS = {
    "cfexplain --help": "import sys; sys.argv = ['cfexplain', '--help']; from cfexplain.cli import main; main()",
    "import torch": "import torch",
    "import cfexplain": "import cfexplain",
    "import cfexplain; cfexplain.explain": "import cfexplain; cfexplain.explain",
    "load('ham10000')": "import cfexplain_classifiers; cfexplain_classifiers.load('ham10000')",
}


def seconds(code: str, repeats: int) -> float:
    """Median wall time of a fresh interpreter that runs this."""
    spent = []
    for _ in range(repeats + 1):
        began = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)
        spent.append(time.perf_counter() - began)
    return statistics.median(spent[1:])


def main() -> None:
    parser = command(__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    repeats = parser.parse_args().repeats
    keep("start_up", [{"what": name, "seconds": round(seconds(code, repeats), 2)} for name, code in COMMANDS.items()])


if __name__ == "__main__":
    main()
