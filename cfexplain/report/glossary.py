"""Plain words for the names in a result: classes, measures, columns, verdicts."""

from collections.abc import Mapping

CLASSES: Mapping[str, str] = {  # The abbreviations of ISIC and HAM10000.
    "akiec": "actinic keratosis, Bowen's disease",
    "bcc": "basal cell carcinoma",
    "bkl": "benign keratosis",
    "df": "dermatofibroma",
    "mel": "melanoma",
    "nv": "melanocytic nevus",
    "scc": "squamous cell carcinoma",
    "vasc": "vascular lesion",
}

# A sign for each verdict and each outcome of a rule, so that colour is never the only cue.
VERDICTS: Mapping[str, str] = {"semantic": "✓", "unconfirmed": "?", "fragile": "≈", "adversarial": "✕", "none": "∅"}
SIGNS: Mapping[str, str] = {**VERDICTS, "pass": "✓", "warn": "!", "fail": "✕"}

APPEARANCE = {  # Name and unit of each measure of a lesion, by letter and criterion of the ABCD rule.
    ("A", "Asymmetry"): {
        "asymmetry": ("Outline", "share of the area outside the mirrored outline; 0 is symmetric"),
        "colour_asymmetry": ("Colour", "mean colour difference of mirrored points, CIELAB"),
    },
    ("B", "Border"): {
        "irregularity": ("Irregularity", "1 is as smooth as an ellipse"),
        "abruptness": ("Abruptness", "how steeply the border falls off to the skin"),
    },
    ("C", "Colours"): {
        "white": ("White", ""),
        "red": ("Red", ""),
        "light_brown": ("Light brown", ""),
        "dark_brown": ("Dark brown", ""),
        "blue_grey": ("Blue-grey", ""),
        "black": ("Black", ""),
    },
    ("D", "Diameter"): {"diameter": ("Diameter", "of the disc of equal area, share of the image's side")},
    ("", "Pigment"): {
        "darkness": ("Darkness", "0 is white, 1 is black"),
        "contrast": ("Contrast to skin", "mean colour difference, CIELAB"),
        "inhomogeneity": ("Unevenness", "standard deviation of lightness"),
    },
}

CORRUPTIONS: Mapping[str, str] = {
    "shift": "a one-pixel shift",
    "blur": "slight blur",
    "noise": "slight noise",
    "resize": "resizing down and back up",
    "jpeg": "JPEG compression",
    "together": "shift, blur, resizing and JPEG compression together",
}

TITLES: Mapping[str, str] = {  # Columns and measures that read better under another name.
    "image_id": "image",
    "source": "predicted",
    "label": "true class",
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
    "words": "description",
    "dx_type": "diagnosis by",
    "age_approx": "age",
    "low": "from",
    "high": "to",
}


def title(name: str) -> str:
    """A column or measure in words."""
    head, _, rest = name.partition(".")
    if name in TITLES or not rest:
        return TITLES.get(name, name.replace("_", " "))
    if head in ("metric", "meta"):
        return title(rest)
    if head in ("before", "after"):
        return f"{title(rest)} {head}"
    return name.replace(".", " ").replace("_", " ")


def spelled(name: str) -> str:
    """What a class's abbreviation stands for; empty where it is unknown."""
    return CLASSES.get(name.lower(), "")
