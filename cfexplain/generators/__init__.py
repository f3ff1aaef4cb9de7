"""Generators: differentiable parametrisations of one image, one idea a file."""

from cfexplain.generators.coarse import Coarse as Coarse
from cfexplain.generators.dip import DeepImagePrior as DeepImagePrior
from cfexplain.generators.generator import Generator as Generator
from cfexplain.generators.implicit import FourierNetwork as FourierNetwork
from cfexplain.generators.noise import Noise as Noise
from cfexplain.generators.pixels import Pixels as Pixels
from cfexplain.generators.pretrained import Pretrained as Pretrained
from cfexplain.generators.resnet import ResNet as ResNet
from cfexplain.generators.transposed import TransposedUNet as TransposedUNet
