"""Plans of convolutions from pixels to pixels, of windows, and of magnitudes."""
