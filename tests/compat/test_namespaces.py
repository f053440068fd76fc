"""The namespaces of the drop-in replacements are whole: what they do not have is the original's."""

import importlib
import pickle

import pytest

from tests.sample_calls import succeed

LIBRARIES = {"numpy": "numpy", "signal": "scipy.signal", "ndimage": "scipy.ndimage", "cv2": "cv2"}
LIBRARIES |= {"astropy": "astropy.convolution", "dask_image": "dask_image.ndfilters"}


@pytest.fixture(params=LIBRARIES)
def pair(request):
    original = pytest.importorskip(LIBRARIES[request.param])
    return importlib.import_module(f"fastconv.compat.{request.param}"), original


def test_each_name_of_the_original_is_native_or_the_original(pair):
    ours, theirs = pair
    names = [name for name in dir(theirs) if not name.startswith("__")]
    assert {name for name in dir(ours) if not name.startswith("__")} == {"is_native", *ours.__all__, *names}
    for name in names:
        if ours.is_native(name):
            assert name in ours.__all__
            continue
        assert getattr(ours, name) is getattr(theirs, name), name


def test_unknown_names_are_attribute_errors(pair):
    ours, theirs = pair
    assert not hasattr(ours, "median_philtre")
    message = f"module '{ours.__name__}' has no attribute 'median_philtre', nor has {theirs.__name__}"
    for find in (lambda: ours.median_philtre, lambda: ours.is_native("median_philtre")):
        with pytest.raises(AttributeError) as caught:
            find()
        assert str(caught.value) == message
    assert not hasattr(ours, "__path_of_nothing__")


def test_a_program_can_take_all_names_from_the_replacement():
    from fastconv.compat import ndimage as ndi
    from fastconv.compat.ndimage import gaussian_filter, median_filter

    assert ndi.is_native("gaussian_filter")
    assert not ndi.is_native("median_filter")
    assert pickle.loads(pickle.dumps(median_filter)) is median_filter
    assert gaussian_filter is ndi.gaussian_filter


def test_native_names_need_no_original():
    code = """
import sys
sys.modules["scipy"] = sys.modules["scipy.ndimage"] = None  # as if not installed
from fastconv.compat import ndimage
print(ndimage.sobel([1.0, 2.0, 4.0]).tolist(), "sobel" in dir(ndimage), hasattr(ndimage, "median_filter"))
try:
    ndimage.median_filter
except AttributeError as error:
    print(str(error).partition("(")[0])
"""
    printed = " ".join(succeed(code))
    message = "module 'fastconv.compat.ndimage' has no attribute 'median_filter', and scipy.ndimage cannot be imported"
    assert printed == f"[1.0, 3.0, 2.0] True False {message}"


def test_import_of_a_replacement_does_not_import_the_original():
    code = (
        "import sys, fastconv.compat.cv2, fastconv.compat.signal; print('cv2' in sys.modules, 'scipy' in sys.modules)"
    )
    assert succeed(code) == ["False", "False"]
