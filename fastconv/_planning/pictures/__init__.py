"""Plans of convolutions from pixels to pixels, of windows, magnitudes and pyramids, and of the matching of templates."""
