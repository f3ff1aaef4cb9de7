from .comparison import Comparison as Comparison
from .comparison import compare as compare
from .counterfactual import CounterfactualAttribution as CounterfactualAttribution
from .heatmap import attribute as attribute
from .logits import Logits as Logits
from .methods import HEATMAPS as HEATMAPS
