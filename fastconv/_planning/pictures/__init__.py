"""Plans of convolutions from pixels to pixels, of windows, magnitudes, pyramids, and of the matching of templates."""
