"""cfexplain: the smallest natural change to an image that would change a classifier's prediction.

The verbs are `explain`, `describe`, `invert`, `wrap` and `load_images`; methods are values such as `NATURAL` and `DIP`.
Names are imported on first use (`__init__.pyi` lists them), which keeps `import cfexplain` fast.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
