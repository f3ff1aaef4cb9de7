"""Whether a change of structure left every result as it was: the code of two commits side by side.

    git worktree add ../before COMMIT
    PYTHONPATH=../before:../before/classifiers:../before/datasets python experiments/same_results.py run out/before
    python experiments/same_results.py run out/after
    python experiments/same_results.py compare out/before out/after

Six HAM10000 test lesions by every method, two restorations, one comparison of attribution maps, an audit of eight.
One thread, one machine, one torch: tensors must be equal bit by bit, and so must the values of rows.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

ROOT = Path(__file__).resolve().parents[1]
DATA = Path(os.environ.get("CFEXPLAIN_DATA", ROOT.parent / "shared" / "data"))

TENSORS = ("query", "anchor", "painted", "image", "target")


def lesions(count: int) -> Any:
    """The first test lesions by the digest of their names, one image a lesion."""
    import hashlib

    from cfexplain_datasets import open_dataset

    test = open_dataset("ham10000", DATA / "isic" / "ham10000_200x150").subset("test")
    table = test.table.assign(digest=[hashlib.sha256(str(i).encode()).hexdigest() for i in test.table.index])
    return test.select(list(table.sort_values("digest").drop_duplicates("lesion_id").index[:count]))


def explanations(classifier: Any, images: torch.Tensor, methods: list[str], out: Path) -> None:
    """Every image by every method; a file of tensors and a file of numbers each."""
    from cfexplain import evaluate, explain
    from cfexplain.method.presets import METHODS

    for name in methods:
        for k, image in enumerate(images.split(1)):
            kept = out / f"{name}-{k}"
            if kept.with_suffix(".json").exists():
                continue
            found = explain(classifier, image, method=METHODS[name])
            tensors = {part: getattr(found, part) for part in TENSORS}
            tensors |= {part: getattr(found, part).logits for part in ("before", "at_anchor", "after")}
            tensors |= {f"{part}.loss": getattr(found, part).loss for part in ("before", "at_anchor", "after")}
            save_file({n: t.contiguous().clone() for n, t in tensors.items()}, kept.with_suffix(".safetensors"))
            row = evaluate(found).iloc[0].to_dict()
            row |= {"status": found.status[0].value, "alpha": found.alpha[0], "steps": found.steps[0]}
            write(kept.with_suffix(".json"), {"row": row, "history": found.history[0]})
            print(kept.name, row["status"], f"{found.seconds[0]:.1f} s", flush=True)


def restorations(out: Path) -> None:
    """A denoised and an inpainted crop, with settings that take seconds."""
    from cfexplain.images import load_picture
    from cfexplain.restore import DENOISE, INPAINT, denoise, fast, inpaint

    picture = load_picture(next((DATA / "restoration" / "set5").rglob("*.png")))[None, :, :96, :96]
    noise = 0.1 * torch.randn(picture.shape, generator=torch.Generator().manual_seed(0))
    hole = torch.zeros(1, 1, 96, 96)
    hole[..., 30:50, 40:60] = 1
    found = {
        "denoise": denoise((picture + noise).clamp(0, 1), method=fast(DENOISE, widths=(16, 16, 16), share=0.1)),
        "inpaint": inpaint(picture, hole, method=fast(INPAINT, widths=(16, 16, 16), share=0.05)),
    }
    for name, one in found.items():
        save_file({"image": one.image.clone(), "painted": one.painted.clone()}, out / f"{name}.safetensors")
        write(out / f"{name}.json", {"row": {"steps": one.steps[0]}, "history": list(one.history)})


def comparison(classifier: Any, image: torch.Tensor, out: Path) -> None:
    """Three maps beside the change of free pixels."""
    import cfexplain

    found = cfexplain.explain(classifier, image, method=cfexplain.TV)
    maps = {name: cfexplain.attribute(classifier, image, using=name) for name in ("saliency", "gradcam", "occlusion")}
    rows = cfexplain.compare(found, maps, classifier=classifier).rows
    save_file({name: values.contiguous() for name, values in maps.items()}, out / "comparison.safetensors")
    write(out / "comparison.json", {"row": {"rows": rows.astype(object).where(rows.notna(), None).to_dict("records")}})


def audited(classifier: Any, samples: Any, out: Path) -> None:
    """Eight rows of an audit, by the quicker method, judged by the shipped oracle."""
    from cfexplain import NATURAL_WARM
    from cfexplain.audit import audit
    from cfexplain_classifiers import load

    oracles = {"witness": load("witness")}
    found = audit({"ham10000": classifier}, samples, out / "audit", method=NATURAL_WARM, oracles=oracles)
    rows = found.rows.astype(object).where(found.rows.notna(), None)
    write(out / "audit.json", {"row": {"rows": rows.to_dict("records")}})


def write(path: Path, content: dict[str, Any]) -> None:
    """As JSON, floats in full."""
    path.write_text(json.dumps(content, default=str, indent=1))


def run(out: Path, count: int, methods: list[str]) -> None:
    """All of it by the code that Python finds."""
    import cfexplain
    from cfexplain.images import square
    from cfexplain.method.presets import METHODS
    from cfexplain_classifiers import load

    torch.set_num_threads(1)
    out.mkdir(parents=True, exist_ok=True)
    print("code of", Path(cfexplain.__file__).parent, flush=True)
    classifier, samples = load("ham10000"), lesions(8)
    images = torch.stack([square(samples[k].image, classifier.image_size) for k in range(count)])
    restorations(out)
    comparison(classifier, images[:1], out)
    explanations(classifier, images, methods or list(METHODS), out)
    if not methods:
        audited(classifier, samples, out)


UNLIKE = ("seconds", "search_seconds", "versions")
"""What may differ between two runs."""


def differences(before: Any, after: Any, where: str = "") -> list[str]:
    """Where two plain values differ."""
    if isinstance(before, dict) and isinstance(after, dict):
        lost = [f"{where}.{key}: is only in one" for key in sorted(before.keys() ^ after.keys()) if key not in UNLIKE]
        shared = sorted(before.keys() & after.keys() - set(UNLIKE))
        return lost + [d for key in shared for d in differences(before[key], after[key], f"{where}.{key}")]
    if isinstance(before, list) and isinstance(after, list):
        if len(before) != len(after):
            return [f"{where}: {len(before)} and {len(after)} values"]
        return [
            d for k, pair in enumerate(zip(before, after, strict=True)) for d in differences(*pair, f"{where}[{k}]")
        ]
    both_nan = isinstance(before, float) and isinstance(after, float) and math.isnan(before) and math.isnan(after)
    return [] if before == after or both_nan else [f"{where}: {before!r} and {after!r}"]


def compare(before: Path, after: Path) -> list[str]:
    """Every difference between two runs."""
    found = []
    for path in sorted(before.glob("*.safetensors")):
        other = after / path.name
        if not other.exists():
            found.append(f"{path.name}: is only in {before}")
            continue
        ours, theirs = load_file(path), load_file(other)
        found += [
            f"{path.name}.{name}: differs"
            for name in ours
            if not torch.equal(ours[name], theirs.get(name, torch.zeros(0)))
        ]
    for path in sorted(before.glob("*.json")):
        if (after / path.name).exists():
            found += differences(json.loads(path.read_text()), json.loads((after / path.name).read_text()), path.stem)
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=("run", "compare"))
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--lesions", type=int, default=6)
    parser.add_argument("--methods", nargs="*", default=[])
    given = parser.parse_args()
    if given.command == "run":
        run(given.folders[0], given.lesions, given.methods)
    else:
        found = compare(*given.folders)
        print("\n".join(found) or "no difference")
        sys.exit(bool(found))
