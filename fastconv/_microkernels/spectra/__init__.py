"""Overlap-save: transforms of tiles, the loops over them, and the checks of their results."""
