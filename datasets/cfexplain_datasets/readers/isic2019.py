"""ISIC 2019 challenge: 25,331 training images of eight diagnoses; those of the ninth column, `UNK`, are unlabelled."""

from cfexplain_datasets.layout import Layout, load_table, one_hot

CLASSES = ("MEL", "NV", "BCC", "AK", "BKL", "DF", "VASC", "SCC")

read = Layout(
    name="isic2019",
    classes=CLASSES,
    fetch="isic image download --collections 65 ISIC2019/",
    challenge="ISIC_2019_*GroundTruth*.csv",
    details="ISIC_2019_*Metadata*.csv",
    load=lambda path, folder: one_hot(load_table(path), CLASSES),
)
