"""Terms: one wish about a candidate image each, one idea a file."""

from cfexplain.terms.change import CompactChange as CompactChange
from cfexplain.terms.change import SameColour as SameColour
from cfexplain.terms.change import SparseChange as SparseChange
from cfexplain.terms.estimate import EstimatedLoss as EstimatedLoss
from cfexplain.terms.features import SameFeatures as SameFeatures
from cfexplain.terms.low_resolution import LowResolution as LowResolution
from cfexplain.terms.perceptual import PerceptualDistance as PerceptualDistance
from cfexplain.terms.pixels import KnownPixels as KnownPixels
from cfexplain.terms.pixels import SamePixels as SamePixels
from cfexplain.terms.target import TargetClass as TargetClass
from cfexplain.terms.unlike import Unlike as Unlike
from cfexplain.terms.variation import TotalVariation as TotalVariation
