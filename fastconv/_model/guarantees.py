"""What is guaranteed of the error of results that come by way of a spectrum."""

# Bounds of the error of results that come by way of a spectrum. RAW: relative to all of a tile. FOOTPRINT: relative to
# the samples under the kernel; along one axis, as RELATIVE. RELATIVE: relative to the result where the kernel and the
# samples of a tile have one sign, and else as FOOTPRINT.
RAW, FOOTPRINT, RELATIVE = range(3)
