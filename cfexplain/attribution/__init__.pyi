from .comparison import Comparison as Comparison
from .comparison import compare as compare
from .counterfactual import CounterfactualAttribution as CounterfactualAttribution
from .logits import Logits as Logits
from .methods import HEATMAPS as HEATMAPS
from .methods import attribute as attribute
