"""Lesion data sets: readers, splits without leaks, checks, training augmentation, synthetic lesions.

Names are imported on first use (`__init__.pyi` lists them), which keeps the command line fast.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
