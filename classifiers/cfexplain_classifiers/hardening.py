"""Perturbed training images: adversarial, corrupted and out of distribution; most are for the loss estimator only."""

import io
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from PIL import Image as PIL
from torch import Tensor

from cfexplain.images import to_uint8
from cfexplain.types import Images
from cfexplain_classifiers.network import LesionClassifier

# (a batch of training images, rng) -> out-of-distribution images, any number of them
Hardening = Callable[[Images, torch.Generator], Images]


def attack(
    network: LesionClassifier,
    images: Images,
    labels: Int[Tensor, " n"],
    epsilon: float | Tensor,
    rng: torch.Generator,
    *,
    steps: int = 1,
) -> Images:
    """Perturb images within an L-infinity ball so that their cross entropy increases.

    From x + U(-epsilon, epsilon), each step adds a * sign(gradient of the cross entropy) and clips the result to
    [x - epsilon, x + epsilon] and to [0, 1]; a = 1.25 epsilon for one step, 2.5 epsilon / steps for more. The radius
    epsilon is in intensity, one for all images or of shape (n, 1, 1, 1).

    The network is attacked in evaluation mode, so that no statistics change and the attacked function is the deployed
    one. Its mode is restored afterwards; no parameter's `.grad` is touched.

    Source: one step: Wong, Rice and Kolter, "Fast is better than free", ICLR 2020, algorithm 3 (random start,
    a = 1.25 epsilon); more steps: Madry et al., ICLR 2018. Evaluation mode is ours.
    """
    radius = torch.as_tensor(epsilon, device=images.device, dtype=images.dtype)
    size = (1.25 if steps == 1 else 2.5 / steps) * radius
    change = (2 * torch.rand(images.shape, generator=rng).to(images) - 1) * radius
    was_training = network.training
    network.eval()
    for _ in range(steps):
        perturbed = (images + change).clamp(0, 1).requires_grad_()
        with torch.enable_grad():
            loss = F.cross_entropy(network.taps(perturbed)[0].float(), labels, reduction="sum")
        (gradient,) = torch.autograd.grad(loss, perturbed)
        change = torch.minimum(torch.maximum(change + size * gradient.sign(), -radius), radius)
    network.train(was_training)
    return (images + change).clamp(0, 1)


def off_distribution(images: Images, rng: torch.Generator) -> Images:
    """Out-of-distribution images made from a batch, one per image, each by a random one of five transforms.

    White noise, inverted colours and photographs are left for evaluation (see `judgement.strangers_from`).

    Source: ours.
    """
    transforms = (_shuffled_patches, _mixed_channels, _coloured_noise, _pasted_rectangles, _contrast)
    drawn = torch.randint(len(transforms), (len(images),), generator=rng)
    return torch.stack([transforms[int(k)](image, rng) for k, image in zip(drawn, images, strict=True)]).clamp(0, 1)


def disturbed(
    network: LesionClassifier, images: Images, labels: Int[Tensor, " n"], epsilon: float, rng: torch.Generator
) -> tuple[Images, Int[Tensor, " m"]]:
    """Clean, attacked and corrupted versions of a batch with their labels, m = 3 n.

    The attack takes three steps within a radius of U(0, epsilon) drawn per image, so that losses differ. The clean
    images keep the estimator from recognising attacked ones by the batch norm in evaluation mode.

    Source: ours.
    """
    radius = epsilon * torch.rand(len(images), 1, 1, 1, generator=rng).to(images)
    attacked = attack(network, images, labels, radius, rng, steps=3)
    return torch.cat([images, attacked, corrupted(images.cpu(), rng).to(images)]), labels.repeat(3)


def true_loss(logits: Float[Tensor, "n k"], labels: Int[Tensor, " n"]) -> Float[Tensor, " n"]:
    """Cross entropy of each image; with the label -1, which stands for none of the classes, its mean over all labels.

    That mean (ours) is ln(k) for a uniform prediction and grows with misplaced confidence.
    """
    no_class = -logits.log_softmax(dim=1).mean(dim=1)
    return torch.where(labels < 0, no_class, F.cross_entropy(logits, labels.clamp_min(0), reduction="none"))


def corrupted(images: Images, rng: torch.Generator) -> Images:
    """Apply one random corruption of random severity to each image of a batch; the label stays valid.

    JPEG of quality 3 to 40, blur with a standard deviation of 0.5 to 3 % of the side, noise with one of 0.02 to 0.2,
    or a colour cast (gain and gamma of each channel up to 40 % off).

    Source: four of the kinds of Hendrycks and Dietterich, ICLR 2019; the severities are ours.

    Example:
        >>> corrupted(torch.full((2, 3, 32, 32), 0.5), torch.Generator().manual_seed(0)).shape
        torch.Size([2, 3, 32, 32])
    """
    drawn = torch.randint(len(CORRUPTIONS), (len(images),), generator=rng).tolist()
    severities = torch.rand(len(images), generator=rng).tolist()
    results = [CORRUPTIONS[k](image, s, rng) for k, s, image in zip(drawn, severities, images, strict=True)]
    return torch.stack(results).clamp(0, 1)


def _shuffled_patches(image: Tensor, rng: torch.Generator) -> Tensor:
    cells = int(torch.randint(2, 6, (), generator=rng))
    side, result = image.shape[-1] // cells, image.clone()
    cut = result[:, : side * cells, : side * cells]
    patches = F.unfold(cut[None], side, stride=side)[..., torch.randperm(cells * cells, generator=rng)]
    cut.copy_(F.fold(patches, cut.shape[1:], side, stride=side)[0])
    return result


def _mixed_channels(image: Tensor, rng: torch.Generator) -> Tensor:
    mixing = torch.randn(3, 3, generator=rng).softmax(dim=1)
    swapped = image[torch.tensor([[2, 1, 0], [1, 2, 0], [2, 0, 1], [1, 0, 2]])[torch.randint(4, (), generator=rng)]]
    return torch.matmul(mixing, swapped.flatten(1)).view_as(image)


def _coloured_noise(image: Tensor, rng: torch.Generator) -> Tensor:
    side = image.shape[-1]
    frequency = torch.fft.fftfreq(side)[:, None].square() + torch.fft.rfftfreq(side)[None].square()
    power = 0.3 + 1.2 * torch.rand((), generator=rng)
    spectrum = torch.fft.rfft2(torch.randn(3, side, side, generator=rng)) / frequency.clamp_min(1 / side**2) ** power
    spectrum[:, 0, 0] = 0
    noise: Tensor = torch.fft.irfft2(spectrum, s=(side, side))
    return torch.rand(3, 1, 1, generator=rng) + 0.25 * noise / noise.std()


def _pasted_rectangles(image: Tensor, rng: torch.Generator) -> Tensor:
    result = image.flip(0).clone()
    for _ in range(int(torch.randint(2, 6, (), generator=rng))):
        top, left = torch.randint(image.shape[-1] - 8, (2,), generator=rng).tolist()
        height, width = torch.randint(8, image.shape[-1], (2,), generator=rng).tolist()
        result[:, top : top + height, left : left + width] = torch.rand(3, 1, 1, generator=rng)
    return result


def _contrast(image: Tensor, rng: torch.Generator) -> Tensor:
    gain = 2.5 + 4 * torch.rand((), generator=rng)
    return (image - image.mean()) * gain + torch.rand(3, 1, 1, generator=rng)


def _jpeg(image: Tensor, severity: float, rng: torch.Generator) -> Tensor:
    file = io.BytesIO()
    PIL.fromarray(to_uint8(image)).save(file, "JPEG", quality=round(40 - 37 * severity))
    return torch.from_numpy(np.array(PIL.open(file))).permute(2, 0, 1).to(image) / 255


def _blur(image: Tensor, severity: float, rng: torch.Generator) -> Tensor:
    deviation = (0.005 + 0.025 * severity) * image.shape[-1]
    reach = min(int(3 * deviation) + 1, image.shape[-1] - 1)
    bell = torch.exp(-0.5 * (torch.arange(-reach, reach + 1).to(image) / deviation).square())
    kernel = (bell / bell.sum()).expand(3, 1, 1, -1)
    padded = F.pad(image[None], (reach,) * 4, mode="reflect")
    return F.conv2d(F.conv2d(padded, kernel, groups=3), kernel.transpose(2, 3), groups=3)[0]


def _noise(image: Tensor, severity: float, rng: torch.Generator) -> Tensor:
    return image + (0.02 + 0.18 * severity) * torch.randn(image.shape, generator=rng).to(image)


def _colour_cast(image: Tensor, severity: float, rng: torch.Generator) -> Tensor:
    gain, gamma = 1 + 0.4 * severity * (2 * torch.rand(2, 3, 1, 1, generator=rng).to(image) - 1)
    return torch.mul(gain, image.clamp_min(1e-4) ** gamma)


CORRUPTIONS = (_jpeg, _blur, _noise, _colour_cast)  # of (image, severity in [0, 1], rng)
