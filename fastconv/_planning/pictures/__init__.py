"""Plans of convolutions from pixels to pixels, of windows, of magnitudes, and of pyramids."""
