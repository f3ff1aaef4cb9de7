"""Attribution maps: captum's methods, counterfactuals as a captum method, and how well the two agree.

Names are imported on first use (`__init__.pyi` lists them), because captum takes long to import.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
