"""Pieces of the page as HTML: the report's words and signs, filled with what a visit knows."""

from __future__ import annotations

import base64
import io
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image as PIL
from torch import Tensor

from cfexplain.app.shelf import Known
from cfexplain.app.sight import Growing, Grown
from cfexplain.app.visit import Visit
from cfexplain.explanation.record import NOTICE
from cfexplain.images import to_uint8
from cfexplain.report.lesion import appearance, probabilities
from cfexplain.report.page import LICENCE, environment
from cfexplain.report.picture import Picture, change_map, picture
from cfexplain.report.reasons import evidence
from cfexplain.types import Image

if TYPE_CHECKING:
    from jinja2 import Environment

TEMPLATES = Path(__file__).parent / "templates"

STAGES = (("anchor", "Paint the lesion"), ("edit", "Move it"), ("judge", "Judge it"))
DOING = {
    "anchor": "Learning to paint the lesion",
    "edit": "Moving it towards {target}",
    "judge": "Asking others, and writing the record",
}
SHARPEST = 640
"""Pixels a side of the pictures that are slid over each other."""

BOARD = 256
"""Pixels a side of what is painted on."""

MOST_PAINTED = 2**20
"""Characters."""


def banner(known: Known) -> str:
    """Notice, the chosen classifier's licence, and what this page is for."""
    told = f"Classifier {known.name}: {known.licence}. Pictures keep the licence of the data they come from."
    return _filled("banner.html", notice=NOTICE, licence=told if known.licence else LICENCE)


def message(words: str, kind: str = "status") -> str:
    """A sentence for the visitor; `kind` is status or alert, for those who listen to the page."""
    from markupsafe import escape

    return f'<p class="message {kind}" role="{kind}">{escape(words)}</p>' if words else ""


def seen(visit: Visit, classifier: str) -> str:
    """The picture as the classifier sees it, and its probabilities."""
    query = visit.query
    assert query is not None
    return _filled(
        "query.html",
        picture=_drawn(query[0]),
        name=visit.name,
        classifier=classifier,
        size=query.shape[-1],
        chances=visit.chances(),
    )


def growing(sight: Growing, query: Image, source: str, target: str) -> str:
    """A sight of the search."""
    names = [key for key, _ in STAGES]
    return _filled(
        "live.html",
        stages=STAGES,
        stage=sight.stage,
        at=names.index(sight.stage),
        share=sight.step / sight.steps if sight.stage != "judge" else 1,
        doing=doing(sight.stage, target),
        query=_drawn(query),
        picture=_drawn(sight.image),
        source=source,
        target=target,
        trail=sight.trail,
        step=sight.step,
        steps=sight.steps,
        seconds=sight.seconds,
        points=_line(sight),
    )


def doing(stage: str, target: str) -> str:
    """What happens in a stage."""
    return DOING[stage].format(target=target)


def verdict(grown: Grown) -> str:
    """The finding, the verdict and its meaning."""
    finding, rest = grown.explanation.sentences
    record = grown.explanation.record
    return _filled("verdict.html", name=grown.explanation.provenance.image, record=record, finding=finding, rest=rest)


def bars(grown: Grown) -> str:
    """Probabilities before and after."""
    return _filled("bars.html", record=grown.explanation.record, probabilities=probabilities(grown.explanation))


def changed(grown: Grown) -> str:
    """The map of the change."""
    return _filled(
        "change.html", record=grown.explanation.record, change=change_map(grown.explanation.edit.difference[0])
    )


def reasons(grown: Grown) -> str:
    """Evidence and ABCD."""
    explanation = grown.explanation
    return _filled("evidence.html", evidence=list(evidence(explanation)), abcd=appearance(explanation.readout))


def slides(grown: Grown) -> tuple[str, str]:
    """Query and counterfactual as files beside the record, enlarged smoothly."""
    edit = grown.explanation.edit
    return _enlarged(edit.query[0], grown, "before"), _enlarged(edit.image[0], grown, "after")


def within(visit: Visit) -> str:
    """The picture with everything dimmed that may not change."""
    assert visit.query is not None
    query, region = visit.query[0].cpu(), visit.outline().cpu()
    dimmed = query * (0.3 + 0.7 * region)
    return _filled("outline.html", picture=_drawn(dimmed), share=float(region.mean()))


def painter(visit: Visit) -> str:
    """The picture to paint the region on."""
    assert visit.query is not None
    return _filled("painter.html", picture=_drawn(visit.query[0]), side=BOARD)


def painted(drawn: str) -> Float[Tensor, "1 s s"]:
    """What was painted, of the page's PNG as a data URI: 1 where the brush was, 0 elsewhere.

    Raises:
        ValueError: it is none of this page's pictures.
    """
    start, _, content = drawn.partition("base64,")
    if start != "data:image/png;" or len(content) > MOST_PAINTED:
        raise ValueError("what was painted did not arrive: reload the page and paint it again")
    try:
        with PIL.open(io.BytesIO(base64.b64decode(content, validate=True)), formats=["PNG"]) as opened:
            if opened.size != (BOARD, BOARD):
                raise ValueError
            alpha = np.array(opened.convert("RGBA").getchannel("A"))
    except (ValueError, OSError, SyntaxError):
        raise ValueError("what was painted did not arrive: reload the page and paint it again") from None
    return torch.from_numpy((alpha > 127).astype(np.float32))[None]


def head() -> str:
    """What the page's head holds: its style, and arrow keys for the slider between before and after."""
    style, script = ((TEMPLATES / name).read_text(encoding="utf-8") for name in ("app.css", "app.js"))
    return f"<style>{style}</style><script>{script}</script>"


def _enlarged(image: Image, grown: Grown, name: str) -> str:
    path = grown.archive.with_name(f"{name}.png")
    _large(image).save(path)
    return str(path)


def _large(image: Image) -> PIL.Image:
    drawn = PIL.fromarray(to_uint8(image))
    if max(drawn.size) >= SHARPEST:
        return drawn
    return drawn.resize((SHARPEST, SHARPEST), PIL.Resampling.BICUBIC)


def _drawn(image: Image) -> Picture:
    return picture(PIL.fromarray(to_uint8(image)))


def _line(sight: Growing, width: float = 100, height: float = 30) -> str:
    """The probabilities so far as points of a line across the steps there may be."""
    if len(sight.trail) < 2:
        return ""
    last = max(sight.steps if sight.stage == "edit" else 0, len(sight.trail)) - 1
    return " ".join(f"{width * k / last:.2f},{height * (1 - p):.2f}" for k, p in enumerate(sight.trail))


def _filled(template: str, **values: Any) -> str:
    return _environment().get_template(template).render(values)


@cache
def _environment() -> Environment:
    """The report's templates and filters, and the templates of this page."""
    from jinja2 import ChoiceLoader, FileSystemLoader

    theirs = environment()
    both = theirs.overlay(loader=ChoiceLoader([FileSystemLoader(TEMPLATES), theirs.loader or FileSystemLoader([])]))
    both.globals = {**theirs.globals}
    both.globals["show"] = theirs.get_template("macros.html").module
    return both
