"""Classifiers with loss estimators: train, evaluate, save and load them, or fit an estimator to a classifier you have.

Names are imported on first use (`__init__.pyi` lists them), which keeps `import cfexplain_classifiers` fast.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
