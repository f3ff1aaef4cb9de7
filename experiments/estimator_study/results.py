"""Where the study keeps what takes long, and what it found."""

from __future__ import annotations

import json
from typing import Any

from isic_comparison import RESULTS, ROOT

RUN, OUT = ROOT / "runs" / "estimator", RESULTS / "estimator"


def write(name: str, found: dict[str, Any]) -> None:
    """A part's numbers, rounded to five digits."""
    OUT.mkdir(parents=True, exist_ok=True)
    text = json.dumps(json.loads(json.dumps(found), parse_float=lambda x: float(f"{float(x):.5g}")), indent=1)
    (OUT / f"{name}.json").write_text(text + "\n")
    print("wrote", name, flush=True)
