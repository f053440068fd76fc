"""Plans of convolutions from pixels to pixels, of windows, magnitudes, pyramids, and matches of templates."""
