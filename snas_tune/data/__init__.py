"""The data room: labelled images from anywhere, as NumPy arrays, without torch.

=====================  =============================================================================
:func:`load`           the training images of a spec: a named source, a path, or ``module:function``
:func:`load_test`      its test images
:func:`check`          raises the errors that can be found before a sweep starts
:class:`ImageSet`      their result: images (N, C, H, W) uint8, labels (N,) int64, class names
:func:`split`          indices of a training and a validation part, stratified
:func:`split_rows`     the same for a source that may name its validation images itself
:func:`subset`         indices of a stratified subset
:data:`SOURCES`        the named sources, one entry each
:class:`Request`       spec and form of the images that are wanted
:class:`Source`        the methods that a source has
:class:`NoTestImages`  a ValueError: a source has training images only
:func:`silent`         a progress callback that says nothing
=====================  =============================================================================

Modules: ``images`` (the set, and one image's form), ``depth`` (samples of more than 8 bits),
``listing`` (the list of files as a hash), ``gather`` (many images into one array), ``tree`` (class
folders), ``folder`` and ``archives`` (where these are), ``digits``, ``cifar``, ``fashion`` and
``module`` (the other sources), ``download``, ``progress``, ``cache``, ``split``, ``request``,
``sources``.
"""

from snas_tune.data.images import ImageSet
from snas_tune.data.progress import Progress, StderrProgress, silent
from snas_tune.data.request import NoTestImages, Request, Source
from snas_tune.data.sources import SOURCES, check, load, load_test, resolve
from snas_tune.data.split import split, split_rows, subset

__all__ = [
    "SOURCES",
    "ImageSet",
    "NoTestImages",
    "Progress",
    "Request",
    "Source",
    "StderrProgress",
    "check",
    "load",
    "load_test",
    "resolve",
    "silent",
    "split",
    "split_rows",
    "subset",
]
