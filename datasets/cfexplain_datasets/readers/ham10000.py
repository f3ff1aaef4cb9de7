"""HAM10000, which is also the training set of ISIC 2018 task 3: 10,015 images of seven diagnoses."""

from pathlib import Path

import pandas as pd

from cfexplain_datasets.layout import Layout, load_table, one_hot

CLASSES = ("akiec", "bcc", "bkl", "df", "mel", "nv", "vasc")
CHALLENGE = "ISIC2018_Task3_*GroundTruth*.csv"  # with one-hot labels
# The archive's present names, as `isic image download` writes them to metadata.csv.
DIAGNOSES = {
    "Nevus": "nv",
    "Melanoma, NOS": "mel",
    "Pigmented benign keratosis": "bkl",
    "Basal cell carcinoma": "bcc",
    "Squamous cell carcinoma, NOS": "akiec",
    "Solar or actinic keratosis": "akiec",
    "Dermatofibroma": "df",
    "Benign soft tissue proliferations - Vascular": "vasc",
}


def _load(path: Path, folder: Path) -> pd.DataFrame:
    rows = load_table(path)
    if "dx" in rows:
        rows = rows.assign(label=rows["dx"].str.lower())
    elif "diagnosis_3" in rows:
        known = rows.filter(["diagnosis_3", "diagnosis_2"]).map(DIAGNOSES.get).bfill(axis=1)
        rows = rows.assign(label=known["diagnosis_3"].fillna(rows["diagnosis_3"]))
    else:
        rows = one_hot(rows, CLASSES)
    return rows.drop(columns=["dx", "file", "mask_file", "diagnosis_confirm_type"], errors="ignore")


read = Layout(
    name="ham10000",
    classes=CLASSES,
    fetch="isic image download --collections 212 HAM10000/",
    load=_load,
    challenge=CHALLENGE,
    details="ISIC2018_Task3_*LesionGroupings*.csv",
    tables=("labels.csv", "HAM10000_metadata*", CHALLENGE, "metadata.csv"),
)
