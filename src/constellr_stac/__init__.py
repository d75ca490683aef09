"""Constellr's land surface temperature scenes in the tools you already use."""
