"""Parts of `experiments/estimator.py`, the study of the loss estimator."""
