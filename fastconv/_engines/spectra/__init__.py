"""Engines that multiply spectra: overlap-save."""
