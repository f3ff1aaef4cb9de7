"""Plain words for the names in a result: classes, measures, columns, verdicts."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

CLASSES: Mapping[str, str] = MappingProxyType(
    {
        "akiec": "actinic keratosis, Bowen's disease",
        "bcc": "basal cell carcinoma",
        "bkl": "benign keratosis",
        "df": "dermatofibroma",
        "mel": "melanoma",
        "nv": "melanocytic nevus",
        "scc": "squamous cell carcinoma",
        "vasc": "vascular lesion",
    }
)
"""The abbreviations of ISIC and HAM10000."""

VERDICTS: Mapping[str, str] = MappingProxyType(
    {"semantic": "✓", "unconfirmed": "?", "fragile": "≈", "adversarial": "✕", "none": "∅"}
)
"""A sign for each verdict, so that none is told by its colour alone."""

OUTCOMES: Mapping[str, str] = MappingProxyType({"pass": "✓", "warn": "!", "fail": "✕"})
"""A sign for each outcome of a rule."""

APPEARANCE = (
    (
        "A",
        "Asymmetry",
        (
            ("asymmetry", "Outline", "share of the area that leaves the outline when mirrored; 0 is symmetric"),
            ("colour_asymmetry", "Colour", "mean colour difference of mirrored points, CIELAB"),
        ),
    ),
    (
        "B",
        "Border",
        (
            ("irregularity", "Irregularity", "1 is as smooth as an ellipse"),
            ("abruptness", "Abruptness", "how steeply the border falls to the skin"),
        ),
    ),
    (
        "C",
        "Colours",
        (
            ("white", "White", "share of the lesion"),
            ("red", "Red", "share of the lesion"),
            ("light_brown", "Light brown", "share of the lesion"),
            ("dark_brown", "Dark brown", "share of the lesion"),
            ("blue_grey", "Blue-grey", "share of the lesion"),
            ("black", "Black", "share of the lesion"),
        ),
    ),
    ("D", "Diameter", (("diameter", "Diameter", "of the disc of equal area, share of the picture's side"),)),
    (
        "",
        "Pigment",
        (
            ("darkness", "Darkness", "0 white to 1 black"),
            ("contrast", "Contrast to the skin", "mean colour difference, CIELAB"),
            ("inhomogeneity", "Unevenness", "standard deviation of the lightness"),
        ),
    ),
)
"""The measures of a lesion, by letter of the ABCD rule."""

CORRUPTIONS: Mapping[str, str] = MappingProxyType(
    {
        "shift": "a shift by one pixel",
        "blur": "a slight blur",
        "noise": "slight noise",
        "resize": "resizing there and back",
        "jpeg": "JPEG",
        "together": "shift, blur, resizing and JPEG together",
    }
)

TITLES: Mapping[str, str] = MappingProxyType(
    {
        "image_id": "image",
        "source": "predicted",
        "label": "true class",
        "case": "page",
        "source_before": "p(predicted) before",
        "source_after": "p(predicted) after",
        "target_before": "p(target) before",
        "target_after": "p(target) after",
        "oracle_agreement": "oracles that agree",
        "high_frequency_share": "high-frequency share",
        "robust.together": "robust",
        "ita": "skin tone (ITA)",
        "tone": "skin tone",
        "place.lesion": "change on lesion",
        "place.border": "change on border",
        "place.skin": "change on skin",
        "words": "in words",
        "seconds": "seconds",
        "dx_type": "diagnosis by",
        "age_approx": "age",
        "mean": "mean",
        "low": "from",
        "high": "to",
        "n": "n",
    }
)
"""Columns that are better known by another name."""


def title(name: str) -> str:
    """A column or measure in words.

    Example:
        >>> title("place.lesion"), title("metric.mean_change"), title("meta.anatom_site")
        ('change on lesion', 'mean change', 'anatom site')
    """
    if name in TITLES:
        return TITLES[name]
    head, dot, rest = name.partition(".")
    if dot and head in ("metric", "meta"):
        return title(rest)
    if dot and head in ("before", "after"):
        return f"{title(rest)} {head}"
    return name.replace(".", " ").replace("_", " ")


def spelled(name: str) -> str:
    """What a class's abbreviation stands for; empty where it is no abbreviation that is known."""
    return CLASSES.get(name.lower(), "")
