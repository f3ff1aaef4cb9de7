"""Two runs in one folder must share their settings: method, seed, images, weights."""

import copy

import pandas as pd
import pytest
import torch
from PIL import Image

import cfexplain
from cfexplain.audit import audit
from cfexplain.audit.settings import fingerprint, images_digest
from cfexplain.method.presets import PIXELS, TV


@pytest.mark.parametrize(
    ("changed", "word"),
    [({"seed": 1}, "seed"), ({"method": TV}, "method"), ({"limit": 3}, "images"), ({"target": "each"}, "target")],
)
def test_other_settings_in_the_same_folder_are_refused_with_a_sentence(finished, classifier, lesions, changed, word):
    with pytest.raises(ValueError, match=f"another {word}"):
        audit({"synthetic": classifier}, lesions, finished.folder, **({"method": PIXELS} | changed))


def test_other_weights_under_the_same_name_are_refused(finished, classifier, lesions):
    other = copy.deepcopy(classifier)
    with torch.no_grad():
        next(other.parameters()).add_(0.01)
    with pytest.raises(ValueError, match="another classifiers"):
        audit({"synthetic": other}, lesions, finished.folder, method=PIXELS)


def test_other_labels_under_the_same_names_are_refused(finished, classifier, lesions):
    class Relabelled:
        table = lesions.table.assign(label=lesions.table["label"].map({"benign": "malignant", "malignant": "benign"}))

        def __len__(self):
            return len(lesions)

        def __getitem__(self, index):
            return lesions[index]

    with pytest.raises(ValueError, match="another ids"):
        audit({"synthetic": classifier}, Relabelled(), finished.folder, method=PIXELS)


def test_another_image_of_the_same_size_is_another_and_a_copy_elsewhere_is_not(tmp_path):
    class Files:
        def __init__(self, folder):
            self.table = pd.DataFrame({"path": [str(folder / "a")]}, index=["a"])

    plain, dotted = Image.new("RGB", (200, 100)), Image.new("RGB", (200, 100))
    dotted.putpixel((3, 2), (1, 0, 0))
    contents = {"one": plain, "copy": plain, "other": dotted}
    for name, image in contents.items():
        (tmp_path / name).mkdir()
        image.save(tmp_path / name / "a", "png", compress_level=0)
    (tmp_path / "longer").mkdir()
    (tmp_path / "longer" / "a").write_bytes((tmp_path / "one" / "a").read_bytes() + b"1")
    names = ("one", "copy", "other", "longer")
    one, copied, other, longer = (images_digest(Files(tmp_path / name), [0]) for name in names)
    assert len((tmp_path / "other" / "a").read_bytes()) == len((tmp_path / "one" / "a").read_bytes()) > 4096
    assert one == copied
    assert len({one, other, longer}) == 3


def test_a_normalisation_is_part_of_the_fingerprint():
    model = torch.nn.Sequential(torch.nn.Conv2d(3, 2, 3), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten()).eval()
    one, other = (
        cfexplain.wrap(model, taps=["0"], classes=["a", "b"], image_size=32, mean=mean)
        for mean in ((0.5, 0.5, 0.5), (0.0, 0.0, 0.0))
    )
    assert fingerprint(one) != fingerprint(other)
    assert fingerprint(one) == fingerprint(copy.deepcopy(one))
