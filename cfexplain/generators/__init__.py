"""Generators: differentiable ways to paint one image, one idea a file."""

from cfexplain.generators.dip import DeepImagePrior as DeepImagePrior
from cfexplain.generators.generator import Generator as Generator
from cfexplain.generators.implicit import FourierNetwork as FourierNetwork
from cfexplain.generators.implicit import Siren as Siren
from cfexplain.generators.noise import Noise as Noise
from cfexplain.generators.pixels import Pixels as Pixels
from cfexplain.generators.unet import UNet as UNet

__all__ = ["DeepImagePrior", "FourierNetwork", "Generator", "Noise", "Pixels", "Siren", "UNet"]
