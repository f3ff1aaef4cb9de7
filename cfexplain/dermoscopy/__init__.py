"""Dermoscopy: lesion outlines, ABCD criteria, skin tone, artefacts."""
