"""Attribution maps by captum's methods, with baselines and settings for skin lesions, one image at a time."""

import inspect
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from captum import attr  # noqa: TID253 - only what computes maps imports this file
from jaxtyping import Float, Int
from torch import Tensor, nn

from cfexplain.attribution.logits import Logits
from cfexplain.classifier.checks import check_classifier, class_index, predict
from cfexplain.generators.noise import generator_for, seeded
from cfexplain.images import check_images
from cfexplain.types import Classifier, Image, Images

# Points on the path of integrated gradients. From a blurred baseline the map sums to the logit's change within a few
# hundredths; from black, far from the training data, it can be off by as much as the change, with 128 points too.
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
    """Differences from a black baseline, propagated layer by layer; only for networks of ReLU modules, each used once.

    Source: Shrikumar, Greenside, Kundaje, "Learning important features ...", ICML 2017, the rescale rule.
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
    """ReLU of a layer's channels weighted by mean gradients. Source: Selvaraju et al., ICCV 2017, equations 1-2."""
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
    """Drop of the logit when a superpixel is replaced by its blur. Source: segments as in LIME, Ribeiro et al. 2016."""
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
    """Methods from a comma-separated list; `all` is all that read any network, and an empty list is `EIGHT`."""
    if text == "all":
        return tuple(name for name in HEATMAPS if name != "deep-lift")
    listed = tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip())) or EIGHT
    unknown = [name for name in listed if name not in HEATMAPS]
    if unknown:
        raise ValueError(f"there is no attribution method {unknown[0]}: use {', '.join(HEATMAPS)}")
    return listed


def attribute(
    classifier: Classifier,
    images: Images,
    target: int | str | Sequence[int | str] | Tensor = "predicted",
    using: Any = "integrated-gradients",
    *,
    counterfactual: Images | None = None,
    layer: str | None = None,
    seed: int = 0,
    internal_batch_size: int = 16,
) -> Float[Tensor, "n h w"]:
    """Attribute a class's logit to the pixels by one of captum's methods; signed values are summed over channels.

    Images are processed one by one. No gradients, hooks or random states are left behind.

    Args:
        classifier: in evaluation mode; it is not changed.
        images: RGB in [0, 1].
        target: the class, by name or index, one for all images or one per image; "predicted" is the predicted one.
        using: a name in `HEATMAPS`; a captum object, whose `attribute(images, target=...)` is called; or a function
            with these arguments, such as `functools.partial(Occlusion(model).attribute, strides=2, ...)`.
        counterfactual: images of the same shape, the baselines of `integrated-gradients-counterfactual`.
        layer: the layer for Grad-CAM, as in `named_modules()`; None selects one, see `Logits.layer`.
        seed: of the methods that draw noise, those given included. A map depends only on the seed and the image.
        internal_batch_size: largest number of images in one forward pass, passed to `using` under captum's name for it
            unless a `partial` has set it; some, such as captum's GradientShap, accept none.

    Returns:
        Maps in units of the logit (logit per intensity for saliency and smoothgrad); those of layers are enlarged.

    Raises:
        ValueError: there is no such method, class or layer, or the method cannot read this network.

    Example:
        >>> import cfexplain_classifiers
        >>> classifier = cfexplain_classifiers.load("synthetic")
        >>> attribute(classifier, torch.rand(2, 3, 64, 64), "malignant", using="gradcam").shape
        torch.Size([2, 64, 64])

    Source: captum (Kokhlikyan et al. 2020); the source of each method is in its docstring.
    """
    check_images(images)
    check_classifier(classifier)
    if internal_batch_size < 1:
        raise ValueError(f"internal_batch_size must be at least 1, got {internal_batch_size}")
    if counterfactual is not None and counterfactual.shape != images.shape:
        raise ValueError(f"counterfactual must have the images' shape {tuple(images.shape)}")
    function = HEATMAPS.get(using) if isinstance(using, str) else getattr(using, "attribute", using)
    if function is None:
        raise ValueError(f"there is no attribution method {using}: use {', '.join(HEATMAPS)}")
    if not callable(function):
        raise TypeError(f"using must be a name, a captum object or a function, got {type(using).__name__}")
    model, maps = Logits(classifier), []
    for i, index in enumerate(class_indices(classifier, images, target)):
        baseline = None if counterfactual is None else counterfactual[i : i + 1]
        item = Item(model, images[i : i + 1], index, baseline, layer, internal_batch_size, seed)
        with torch.enable_grad():
            found = function(item) if isinstance(using, str) else item.run(function)
        maps.append(_flat(found, images.shape[-2:]))
    return torch.cat(maps)


def _flat(values: Tensor, size: torch.Size) -> Float[Tensor, "1 h w"]:
    """Check a method's map, resize it to the image and sum its channels."""
    if not isinstance(values, Tensor) or values.ndim != 4 or len(values) != 1:
        shape = tuple(getattr(values, "shape", ())) or type(values).__name__
        raise ValueError(f"an attribution method must answer with maps of shape (n, c, h, w), got {shape}")
    if not bool(values.isfinite().all()):
        raise ValueError("the attribution method answers with infinite or undefined values")
    return nn.functional.interpolate(values.detach(), size, mode="bilinear", align_corners=False).sum(1)


def class_indices(classifier: Classifier, images: Images, target: Any) -> list[int]:
    """One class index per image, from names or indices, one for all or one per image, or "predicted"."""
    if isinstance(target, str) and target == "predicted":
        return [int(predict(classifier, image).logits.argmax(1)) for image in images.split(1)]
    target = target.tolist() if isinstance(target, Tensor) else target
    listed = [target] * len(images) if isinstance(target, int | str) else list(target)
    if len(listed) != len(images):
        raise ValueError(f"give one target for all images or one for each: got {len(listed)} for {len(images)} images")
    return [class_index(classifier, one) for one in listed]


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
