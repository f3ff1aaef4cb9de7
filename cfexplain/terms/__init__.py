"""Terms: one wish about a candidate image each."""

from cfexplain.terms.change import CompactChange as CompactChange
from cfexplain.terms.change import SameColour as SameColour
from cfexplain.terms.change import SparseChange as SparseChange
from cfexplain.terms.change import Unlike as Unlike
from cfexplain.terms.features import PerceptualDistance as PerceptualDistance
from cfexplain.terms.features import SameFeatures as SameFeatures
from cfexplain.terms.pixels import KnownPixels as KnownPixels
from cfexplain.terms.pixels import LowResolution as LowResolution
from cfexplain.terms.pixels import SamePixels as SamePixels
from cfexplain.terms.pixels import TotalVariation as TotalVariation
from cfexplain.terms.prediction import EstimatedLoss as EstimatedLoss
from cfexplain.terms.prediction import TargetClass as TargetClass
