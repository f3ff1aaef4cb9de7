"""The algorithm: descend, anchor, compose, explain, invert."""
