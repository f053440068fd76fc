"""Plans of convolutions of samples of which some are missing."""
