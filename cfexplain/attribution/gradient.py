"""Attribution by gradients of the input: one function a method, each as captum computes it."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor, nn

from cfexplain.attribution.question import Question, black, blurred

STEPS = 32
"""Points of the path of integrated gradients. From a blur completeness holds to a few hundredths of the logit's change;
from black, far from all that the network has seen, it may be missed by as much as that change, also with 128 points."""
SAMPLES = 24
"""Noisy copies of smoothed gradients and of gradient SHAP."""
INCOMPLETE = 0.05
"""Share of the logit's change by which the sum of DeepLIFT's map may miss it."""
NOISE = 0.1
"""Their standard deviation (intensity in [0, 1]): within the 10 to 20 % of the range that Smilkov et al. advise."""


def saliency(asked: Question) -> Tensor:
    """|d logit / d pixel|. Source: Simonyan et al. 2014, section 3."""
    from captum.attr import Saliency

    found: Tensor = Saliency(asked.model).attribute(asked.fresh(), target=asked.target)
    return found


def input_x_gradient(asked: Question) -> Tensor:
    """Pixel times gradient. Source: Shrikumar et al. 2016."""
    from captum.attr import InputXGradient

    found: Tensor = InputXGradient(asked.model).attribute(asked.fresh(), target=asked.target)
    return found


def integrated_gradients(asked: Question, baseline: Tensor | None = None) -> Tensor:
    """(pixel - baseline) times the mean gradient on the way from a baseline, black by default.

    Source: Sundararajan, Taly, Yan, "Axiomatic attribution for deep networks", ICML 2017, equation 1.
    """
    from captum.attr import IntegratedGradients

    found: Tensor = IntegratedGradients(asked.model).attribute(
        asked.fresh(),
        baselines=black(asked.image) if baseline is None else baseline,
        target=asked.target,
        n_steps=STEPS,
        internal_batch_size=asked.batch,
    )
    return found


def integrated_gradients_blurred(asked: Question) -> Tensor:
    """Integrated gradients from the blurred image, which is no dark lesion as the black one is."""
    return integrated_gradients(asked, blurred(asked.image))


def integrated_gradients_counterfactual(asked: Question) -> Tensor:
    """Integrated gradients from the counterfactual: the difference from the nearest image of another class.

    The map holds the change as a factor, so that its agreement with the change is in part given, not found.
    """
    if asked.counterfactual is None:
        raise ValueError("integrated-gradients-counterfactual needs the counterfactual's image: give `counterfactual`")
    return integrated_gradients(asked, asked.counterfactual)


def smoothgrad(asked: Question) -> Tensor:
    """Mean gradient of noisy copies. Source: Smilkov et al. 2017, equation in section 3."""
    from captum.attr import NoiseTunnel, Saliency

    with asked.randomness():
        found: Tensor = NoiseTunnel(Saliency(asked.model)).attribute(
            asked.fresh(),
            nt_type="smoothgrad",
            nt_samples=SAMPLES,
            nt_samples_batch_size=asked.batch,
            stdevs=NOISE,
            target=asked.target,
            abs=False,
        )
    return found.detach()


def gradient_shap(asked: Question) -> Tensor:
    """Expected gradients from black, from blurred and from the image's mean colour.

    Source: Lundberg and Lee, NeurIPS 2017, as captum's GradientShap; the baselines are ours.
    """
    from captum.attr import GradientShap

    mean = asked.image.mean(dim=(2, 3), keepdim=True).expand_as(asked.image)
    baselines = torch.cat([black(asked.image), blurred(asked.image), mean])
    total, left = torch.zeros_like(asked.image), SAMPLES
    with asked.randomness():
        while left > 0:
            count = min(left, asked.batch)
            part = GradientShap(asked.model).attribute(
                asked.fresh(), baselines=baselines, n_samples=count, stdevs=NOISE / 2, target=asked.target
            )
            total, left = total + count * part.detach(), left - count
    return total / SAMPLES


def deep_lift(asked: Question) -> Tensor:
    """Differences from black passed down layer by layer, where captum's rules know every activation.

    Source: Shrikumar, Greenside, Kundaje, "Learning important features ...", ICML 2017, the rescale rule.

    Raises:
        ValueError: the network uses an activation twice, or one that the rule does not know.
    """
    from captum.attr import DeepLift

    twin = asked.model.rectified()
    unknown = {type(m).__name__ for m in twin.modules() if isinstance(m, nn.ReLU) and type(m) is not nn.ReLU}
    try:
        if unknown:
            raise AssertionError("it has activations other than ReLU")
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="(?s).*hooks.*", category=UserWarning)
            found: Tensor = DeepLift(twin).attribute(asked.fresh(), baselines=black(asked.image), target=asked.target)
    except (AssertionError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ValueError(f"deep-lift cannot read this network ({reason}): use gradient-shap") from None
    with torch.no_grad():
        fall = float((twin(asked.image) - twin(black(asked.image)))[0, asked.target])
    if abs(float(found.detach().sum()) - fall) > INCOMPLETE * max(abs(fall), INCOMPLETE):
        raise ValueError(
            "deep-lift cannot read this network (its differences do not add up to the logit's, so it uses functions "
            "that no layer stands for): use gradient-shap"
        )
    return found.detach()
