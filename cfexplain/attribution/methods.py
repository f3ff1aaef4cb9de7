"""The attribution methods by name: captum's, with baselines and settings for skin lesions."""

import inspect
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from captum import attr  # noqa: TID253 - only what computes maps imports this file
from jaxtyping import Int
from torch import Tensor, nn

from cfexplain.attribution.logits import Logits
from cfexplain.generators.noise import generator_for, seeded
from cfexplain.types import Image, Images

# Points on the path of integrated gradients. From a blurred baseline the map sums to the logit's change within a few
# hundredths; from black, far from the training data, the sum can be off by as much as the change, with 128 points too.
STEPS = 32
# Noisy copies for SmoothGrad and GradientSHAP, and the standard deviation of the noise (intensity in [0, 1]);
# Smilkov et al. recommend 10 to 20 % of the range.
SAMPLES, NOISE = 24, 0.1
# Occlusion windows along the shorter side; the stride is half a window.
WINDOWS = 8
# Largest error of the sum of a DeepLIFT map, as a share of the logit's change.
INCOMPLETE = 0.05
# captum's names for the number of images in one forward pass; most methods accept one of them.
LIMITS = ("internal_batch_size", "perturbations_per_eval", "nt_samples_batch_size")


@dataclass(frozen=True, eq=False)
class Item:
    """The input of an attribution method: one image and the logit to attribute to its pixels."""

    model: Logits
    image: Images
    target: int  # Index of the logit.
    counterfactual: Images | None  # A baseline, for the methods that use one.
    layer: str | None  # For Grad-CAM; None selects one, see `Logits.layer`.
    batch: int  # Largest number of images in one forward pass.
    seed: int  # Of methods that draw noise.

    def run(self, attribute: Callable[..., Any], **options: Any) -> Tensor:
        """Call `attribute(image, target=..., **options)` with this item's seed and memory limit."""
        image = self.image.detach().clone().requires_grad_()
        try:
            with _seeded(self.image, self.seed), warnings.catch_warnings():
                warnings.filterwarnings("ignore", message="(?s).*hooks.*", category=UserWarning)
                result = attribute(image, target=self.target, **memory_limits(attribute, self.batch), **options)
        except RuntimeError as error:
            if "not have been used" not in str(error):
                raise
            raise ValueError("the layer has no part in the logit: name another with `layer`") from None
        return result[0] if isinstance(result, tuple) else result  # type: ignore[no-any-return]


def memory_limits(attribute: Callable[..., Any], batch: int) -> dict[str, int]:
    """The arguments that limit a method to `batch` images in one forward pass, except those a `partial` has set."""
    method, preset = (attribute.func, attribute.keywords) if isinstance(attribute, partial) else (attribute, {})
    accepted = set(inspect.signature(method).parameters)
    if isinstance(tunnel := getattr(method, "__self__", None), attr.NoiseTunnel):
        # A NoiseTunnel passes its other arguments on. Without a limit, integrated gradients of 16 samples would need
        # 16 * n_steps images at once. Ablations keep captum's default of one perturbation per sample.
        accepted |= set(inspect.signature(tunnel.attribution_method.attribute).parameters) & {"internal_batch_size"}
    return {name: batch for name in LIMITS if name in accepted and name not in preset}


@contextmanager
def _seeded(image: Images, seed: int) -> Iterator[None]:
    """Seed the global generators of torch and numpy from the seed and the image; restore their states afterwards."""
    rng, state = generator_for(image, seed, "attribution"), np.random.get_state()
    np.random.seed(int(torch.randint(2**31, (), generator=rng)))
    try:
        with seeded(rng), torch.random.fork_rng(devices=[image.device] if image.is_cuda else []):
            torch.manual_seed(int(torch.randint(2**31, (), generator=rng)))
            yield
    finally:
        np.random.set_state(state)


def integrated_gradients(item: Item, baseline: Images | None = None) -> Tensor:
    """(pixel - baseline) times the mean gradient on the straight path from a baseline, black by default.

    Source: Sundararajan, Taly, Yan, "Axiomatic attribution for deep networks", ICML 2017, equation 1.
    """
    return item.run(attr.IntegratedGradients(item.model).attribute, baselines=baseline, n_steps=STEPS)


def from_counterfactual(item: Item) -> Tensor:
    """Integrated gradients from the counterfactual; the map has the change as a factor, so in part they must agree."""
    if item.counterfactual is None:
        raise ValueError("integrated-gradients-counterfactual needs the counterfactual's image: give `counterfactual`")
    return integrated_gradients(item, item.counterfactual)


def smoothgrad(item: Item) -> Tensor:
    """Mean gradient over noisy copies. Source: Smilkov et al. 2017, equation in section 3."""
    tunnel = attr.NoiseTunnel(attr.Saliency(item.model))
    return item.run(tunnel.attribute, nt_type="smoothgrad", nt_samples=SAMPLES, stdevs=NOISE, abs=False)


def gradient_shap(item: Item) -> Tensor:
    """Expected gradients over three baselines: black, the blurred image and its mean colour.

    Source: Lundberg and Lee, NeurIPS 2017, as captum's GradientShap; the baselines are ours.
    """
    black, mean = torch.zeros_like(item.image), item.image.mean(dim=(2, 3), keepdim=True).expand_as(item.image)
    baselines, method = torch.cat([black, blurred(item.image), mean]), attr.GradientShap(item.model)

    def in_batches(image: Images, target: int, internal_batch_size: int) -> Tensor:
        total = torch.zeros_like(black)
        for start in range(0, SAMPLES, internal_batch_size):
            count = min(SAMPLES - start, internal_batch_size)
            part = method.attribute(image, baselines=baselines, n_samples=count, stdevs=NOISE / 2, target=target)
            total += count * part.detach()
        return total / SAMPLES

    return item.run(in_batches)


def deep_lift(item: Item) -> Tensor:
    """Differences from a black baseline, propagated layer by layer; only for networks of ReLU modules.

    Source: Shrikumar, Greenside, Kundaje, "Learning important features ...", ICML 2017, the rescale rule.

    Raises:
        ValueError: the network uses an activation twice, or one that the rule does not cover.
    """
    network, black = item.model.rectified(), torch.zeros_like(item.image)
    try:
        if any(isinstance(module, nn.ReLU) and type(module) is not nn.ReLU for module in network.modules()):
            raise AssertionError("it has activations other than ReLU")
        found = item.run(attr.DeepLift(network).attribute, baselines=black).detach()
        with torch.no_grad():
            change = float((network(item.image) - network(black))[0, item.target])
        if abs(float(found.sum()) - change) > INCOMPLETE * max(abs(change), INCOMPLETE):
            reason = "its differences do not add up to the logit's, so it uses functions that no layer stands for"
            raise AssertionError(reason)
    except (AssertionError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ValueError(f"deep-lift cannot read this network ({reason}): use gradient-shap") from None
    return found


def gradcam(item: Item) -> Tensor:
    """ReLU of a layer's channels weighted by their mean gradients.

    Source: Selvaraju et al., "Grad-CAM", ICCV 2017, equations 1 and 2.
    """
    layer = item.model.layer(item.layer, item.image)
    return item.run(attr.LayerGradCam(item.model, layer).attribute, relu_attributions=True)


def guided_gradcam(item: Item) -> Tensor:
    """Grad-CAM times guided backpropagation, on a copy of the network in which every activation counts as a ReLU.

    Source: Selvaraju et al. 2017, section 3.2; Springenberg et al. 2015; activations other than ReLU are ours.
    """
    network = item.model.rectified()
    method = attr.GuidedGradCam(network, network.layer(item.layer, item.image))
    return item.run(method.attribute, interpolate_mode="bilinear")


def occlusion(item: Item) -> Tensor:
    """Drop of the logit when a square is replaced by its blur, averaged over the squares that cover a pixel.

    Source: Zeiler and Fergus, ECCV 2014, section 4.2. Their grey squares look like a lesion on skin (blurred: ours).
    """
    side = max(2, min(item.image.shape[-2:]) // WINDOWS)
    window = {"sliding_window_shapes": (3, side, side), "strides": (3, side // 2, side // 2)}
    return _drop(item, attr.Occlusion(item.model), **window)


def superpixel_ablation(item: Item) -> Tensor:
    """Drop of the logit when a superpixel is replaced by its blur.

    Source: captum's FeatureAblation with SLIC segments, as in LIME (Ribeiro et al. 2016).
    """
    return _drop(item, attr.FeatureAblation(item.model), feature_mask=superpixels(item.image[0])[None, None])


def _drop(item: Item, method: Any, **parts: Any) -> Tensor:
    drop = item.run(method.attribute, baselines=blurred(item.image), **parts)
    return drop.mean(1, keepdim=True)  # captum repeats the drop in each channel


HEATMAPS: Mapping[str, Callable[[Item], Tensor]] = {
    "saliency": lambda item: item.run(attr.Saliency(item.model).attribute),  # Simonyan et al. 2014, section 3
    "input-x-gradient": lambda item: item.run(attr.InputXGradient(item.model).attribute),  # Shrikumar et al. 2016
    "integrated-gradients": integrated_gradients,
    # Unlike a black baseline, a blurred one does not look like a dark lesion.
    "integrated-gradients-blurred": lambda item: integrated_gradients(item, blurred(item.image)),
    "integrated-gradients-counterfactual": from_counterfactual,
    "smoothgrad": smoothgrad,
    "gradcam": gradcam,
    "guided-gradcam": guided_gradcam,
    "gradient-shap": gradient_shap,
    "deep-lift": deep_lift,
    "occlusion": occlusion,
    "superpixels": superpixel_ablation,
}
"""The methods by name. Each returns a signed map of shape (1, c, h, w), or a smaller one of a layer."""

# The methods of a comparison by default; each works on any convolutional network.
EIGHT = (
    "saliency", "integrated-gradients", "smoothgrad", "gradcam", "guided-gradcam", "gradient-shap", "occlusion",
    "superpixels",
)  # fmt: skip


def named(text: str) -> tuple[str, ...]:
    """Methods from a comma-separated list; `all` is all that read any network, and an empty list is `EIGHT`.

    Raises:
        ValueError: there is no such method.
    """
    if text == "all":
        return tuple(name for name in HEATMAPS if name != "deep-lift")
    listed = tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip())) or EIGHT
    unknown = [name for name in listed if name not in HEATMAPS]
    if unknown:
        raise ValueError(f"there is no attribution method {unknown[0]}: use {', '.join(HEATMAPS)}")
    return listed


def blurred(image: Images, share: float = 1 / 16) -> Images:
    """The image blurred by a Gaussian whose standard deviation is this share of the shorter side."""
    from torchvision.transforms.functional import gaussian_blur

    sigma = share * min(image.shape[-2:])
    reach = min(2 * round(2.5 * sigma) + 1, 2 * (min(image.shape[-2:]) // 2) - 1)
    return gaussian_blur(image, [reach, reach], [sigma, sigma])  # type: ignore[no-any-return]


def superpixels(image: Image, count: int = 64) -> Int[Tensor, "h w"]:
    """Segments of similar colour, numbered from 0, by SLIC (Achanta et al., PAMI 2012) of scikit-image."""
    from skimage.segmentation import slic

    labels = slic(image.detach().cpu().double().numpy(), n_segments=count, start_label=0, channel_axis=0)
    return torch.from_numpy(np.unique(labels, return_inverse=True)[1].reshape(labels.shape)).to(image.device)
