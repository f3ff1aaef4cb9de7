"""Everything that is known about one counterfactual, computed once and handed to every renderer."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec
import torch
from jaxtyping import Float
from torch import Tensor

from cfexplain.explanation import plot
from cfexplain.explanation.metrics import evaluate
from cfexplain.explanation.metrics.seeds import agreement_map, noise_floor, seed_agreement
from cfexplain.explanation.readout import Readout, readout
from cfexplain.explanation.record import Provenance, Record, Seeds, parse
from cfexplain.explanation.verdict import Verdict, judge
from cfexplain.search.edit import Edit
from cfexplain.types import Classifier, Prediction, Status

# Decibels from anchor to query below which a change is cautioned against; the methods reach 30. Source: ours.
ROUGH = 25.0
IMAGES = ("query", "anchor", "painted", "image", "spread", "region", "mask", "target")
# Predictions of an edit, and the images that they are of.
STAGES = {"before": "query", "at_anchor": "anchor", "after": "counterfactual"}


@dataclass(frozen=True, eq=False)
class SeedAgreement:
    """How far explanations of one image with different seeds agree; see `cfexplain.explanation.metrics.seeds`.

    Attributes:
        overlap: of the strongest tenths of the change, over pairs of seeds; .05 is chance.
        agreement: share of the seeds whose strongest tenth holds a pixel, shape (h, w).
        floor: the anchors' noise floor, shape (h, w); None where all seeds have one anchor.
    """

    overlap: float
    agreement: Float[Tensor, "h w"]
    floor: Float[Tensor, "h w"] | None

    @property
    def noise_floor(self) -> float | None:
        """Mean of `floor`: a change below it is no finding."""
        return None if self.floor is None else float(self.floor.mean())


@dataclass(frozen=True, eq=False)
class Explanation:
    """One counterfactual with everything that is said about it.

    Attributes:
        edit: the images and predictions, of one image.
        metrics: by name, see `cfexplain.METRICS`; None where a metric does not apply.
        verdict: what the counterfactual is worth, and why.
        readout: the lesion's ABCD before and after; None where the query is the target already.
        seeds: agreement with other seeds; None where none were asked for.
        provenance: where it comes from.
        figures: further pictures by file name (PNG or GIF): `fullsize.png`, `path.gif`, `path.png`, `seeds.png`.

    Example:
        >>> import cfexplain, cfexplain_classifiers
        >>> classifier = cfexplain_classifiers.load("synthetic")
        >>> edit = cfexplain.explain(classifier, torch.full((1, 3, 64, 64), 0.6), method=cfexplain.PIXELS)
        >>> explanation = cfexplain.describe(edit, classifier)
        >>> explanation.status.value, explanation.verdict.kind.value in ("unconfirmed", "adversarial")
        ('found', True)
    """

    edit: Edit
    metrics: Mapping[str, float | None]
    verdict: Verdict
    readout: Readout | None = None
    seeds: SeedAgreement | None = None
    provenance: Provenance = field(default_factory=Provenance)
    figures: Mapping[str, bytes] = field(default_factory=dict)

    @property
    def source(self) -> str:
        """Class predicted for the query."""
        return self.edit.classes[int(self.edit.source)]

    @property
    def target(self) -> str:
        """Class asked for."""
        return self.edit.classes[int(self.edit.target)]

    @property
    def status(self) -> Status:
        """How the search ended."""
        return self.edit.status[0]

    @property
    def caution(self) -> str | None:
        """What to keep in mind when reading a change that starts from a poor anchor."""
        psnr = self.metrics.get("anchor_psnr")
        if self.status is not Status.FOUND or psnr is None or psnr >= ROUGH:
            return None
        return (
            f"The anchor reconstructs the query only at {psnr:.0f} dB, below {ROUGH:.0f}: the change consists of "
            "coarse patches of colour, so do not read it as a change of the lesion. Raise the budget or the anchor's "
            "steps."
        )

    @property
    def sentences(self) -> tuple[str, str]:
        """The finding in one sentence, and what qualifies it."""
        if self.readout is None:
            return f"{self.source} → {self.target}: {self.status.value.replace('_', ' ')}.", self.status.advice
        finding = self.readout.finding(self.source, self.target, flipped=self.status is Status.FOUND)
        return finding, self.readout.qualification

    @property
    def words(self) -> str:
        """Both sentences as one text."""
        return " ".join(part for part in self.sentences if part)

    def probabilities(self, of: str = "counterfactual") -> dict[str, float]:
        """Class probabilities of the `query`, the `anchor` or the `counterfactual`."""
        at = {"query": self.edit.before, "anchor": self.edit.at_anchor, "counterfactual": self.edit.after}[of]
        return dict(zip(self.edit.classes, (round(p, 6) for p in at.probabilities[0].tolist()), strict=True))

    @property
    def record(self) -> Record:
        """What result.json holds of it."""
        edit, seeds = self.edit, self.seeds
        finding, qualification = self.sentences
        losses = {name: getattr(edit, part).loss for part, name in STAGES.items()}
        return Record(
            classes=list(edit.classes),
            source=self.source,
            target=self.target,
            status=self.status,
            advice=self.status.advice,
            caution=self.caution,
            finding=finding,
            qualification=qualification,
            probabilities={name: self.probabilities(name) for name in STAGES.values()},
            estimated_loss={name: None if loss is None else finite(float(loss[0])) for name, loss in losses.items()},
            metrics=dict(self.metrics),
            verdict=self.verdict,
            readout=self.readout,
            seeds=None if seeds is None else Seeds(seeds.overlap, seeds.noise_floor),
            alpha=round(edit.alpha[0], 6),
            steps=edit.steps[0],
            seconds=round(edit.seconds[0], 3),
            seed=edit.seed,
            method=dict(edit.settings) or {"name": edit.method},
            history=[{name: finite(value) for name, value in row.items()} for row in edit.history[0]],
            provenance=self.provenance,
        )

    def to_json(self) -> dict[str, Any]:
        """The record as plain values; the images are kept apart, see `tensors`."""
        return msgspec.to_builtins(self.record, str_keys=True)  # type: ignore[no-any-return]

    def tensors(self) -> dict[str, Tensor]:
        """The images, logits and maps, by name, on the CPU."""
        edit, seeds = self.edit, self.seeds
        found = {name: getattr(edit, name) for name in IMAGES}
        for part in STAGES:
            prediction = getattr(edit, part)
            found |= {f"{part}.logits": prediction.logits, f"{part}.loss": prediction.loss}
        if seeds is not None:
            found |= {"seeds.agreement": seeds.agreement, "seeds.floor": seeds.floor}
        return {name: value.detach().cpu().contiguous() for name, value in found.items() if value is not None}

    @classmethod
    def from_json(cls, values: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> "Explanation":
        """An explanation from its record, of this format or an earlier one, and its tensors; else a ValueError."""
        kept = parse(values)
        try:
            edit = _edit(kept, tensors)
        except (KeyError, RuntimeError, IndexError) as error:
            raise ValueError(f"the tensors are incomplete ({error})") from None
        seeds = None
        if kept.seeds is not None and "seeds.agreement" in tensors:
            seeds = SeedAgreement(kept.seeds.overlap, tensors["seeds.agreement"], tensors.get("seeds.floor"))
        return cls(edit, kept.metrics, kept.verdict, kept.readout, seeds, kept.provenance)

    def __repr__(self) -> str:
        return f"Explanation({self.source} -> {self.target}: {self.status.value}, {self.verdict.kind.value})"

    def _repr_png_(self) -> bytes:
        return plot.png(plot.panel(self.edit, caption=caption(self)))


def describe(
    edit: Edit,
    classifier: Classifier,
    oracles: Mapping[str, Classifier] | None = None,
    *,
    others: Sequence[Edit] = (),
    provenance: Provenance | None = None,
) -> Explanation:
    """Judge and measure the counterfactual of one image: metrics, verdict, readout and agreement of seeds.

    Args:
        edit: the result of `explain` for one image; of a batch, `edit[i]`.
        classifier: the explained one.
        oracles: independent classifiers by name, for the verdict.
        others: results for the same image and target with other seeds.
        provenance: names of image and classifier, for the record.

    Raises:
        ValueError: the edit holds several images.
    """
    if len(edit) != 1:
        raise ValueError(f"an explanation is of one image: this result holds {len(edit)}, give result[i]")
    edited = edit.status[0] is not Status.ALREADY_TARGET
    mask = None if edit.mask is None else edit.mask[0].cpu()
    measured = evaluate(edit).iloc[0]
    return Explanation(
        edit=edit,
        metrics={str(name): finite(None if value is None else float(value)) for name, value in measured.items()},
        verdict=judge(edit, classifier, oracles),
        readout=readout(edit.query[0].cpu(), edit.image[0].cpu(), mask) if edited else None,
        seeds=_compare([edit, *others]) if others and edited else None,
        provenance=replace(provenance or Provenance(), device=str(edit.query.device)),
    )


def _compare(edits: Sequence[Edit]) -> SeedAgreement:
    anchors = [edit.anchor for edit in edits]
    floor = None if all(torch.equal(anchors[0], a) for a in anchors) else noise_floor(anchors)[0, 0]
    return SeedAgreement(float(seed_agreement(edits)), agreement_map(edits)[0, 0], floor)


def caption(explanation: Explanation) -> str:
    """Verdict and sentences, for below a panel."""
    return f"{explanation.verdict.kind.value.capitalize()}. {explanation.words}"


def finite(value: float | None) -> float | None:
    """Six decimals of a finite number; None of any other, which JSON has no word for."""
    return round(value, 6) if value is not None and math.isfinite(value) else None


def _edit(kept: Record, tensors: Mapping[str, Tensor]) -> Edit:
    parts: dict[str, Any] = {name: tensors[name] for name in ("query", "anchor", "painted", "image")}
    parts |= {name: Prediction(tensors[f"{name}.logits"], (), tensors.get(f"{name}.loss")) for name in STAGES}
    return Edit(
        **parts,
        spread=tensors.get("spread"),
        region=tensors.get("region"),
        mask=tensors.get("mask"),
        target=tensors["target"],
        classes=tuple(kept.classes),
        status=(kept.status,),
        alpha=(kept.alpha,),
        steps=(kept.steps,),
        seconds=(kept.seconds,),
        history=([{k: v for k, v in row.items() if v is not None} for row in kept.history],),
        method=str(kept.method.get("name", "")),
        settings=kept.method,
        seed=kept.seed,
    )
