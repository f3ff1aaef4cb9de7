"""What is not used is not imported; experiments/benchmarks/start_up.py measures the seconds."""

import json
import subprocess
import sys

import pytest

HEAVY = (
    "torch", "pandas", "matplotlib", "captum", "torchvision", "timm", "skimage", "sklearn", "scipy", "cv2", "ray",
    "gradio", "albumentations", "pyarrow", "jinja2",
)  # fmt: skip
HELP = """
import sys
sys.argv = ["cfexplain", "--help"]
from cfexplain.cli import main
try:
    main()
except SystemExit as end:
    assert not end.code
"""
EXPLANATION = """
import torch, cfexplain, cfexplain_classifiers
cfexplain.explain(cfexplain_classifiers.load("synthetic"), torch.rand(1, 3, 64, 64), budget=0.1)
"""


@pytest.mark.parametrize(
    ("code", "needed"),
    [
        (HELP, set()),
        ("import cfexplain", set()),
        ("import cfexplain; cfexplain.explain", {"torch"}),
        (EXPLANATION, {"torch", "torchvision", "timm"}),
    ],
    ids=["help", "import", "explain", "explanation"],
)
def test_only_what_is_used_is_imported(code, needed):
    loaded = f"import sys, json; print(json.dumps([m for m in {HEAVY} if m in sys.modules]))"
    done = subprocess.run([sys.executable, "-c", f"{code}\n{loaded}"], capture_output=True, text=True, check=True)
    assert set(json.loads(done.stdout.splitlines()[-1])) == needed
