"""Classifiers: wrapping a network, and checking that it can be explained."""
