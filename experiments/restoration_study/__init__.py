"""The parts of the study of restoration."""
