"""The named sources, and from a spec to its images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from snas_tune.arguments import checked
from snas_tune.checks import FLAG, FUNCTION
from snas_tune.data.archives import SUFFIXES, Archive, is_archive
from snas_tune.data.beside import table_of
from snas_tune.data.cache import through_cache
from snas_tune.data.cifar import Cifar
from snas_tune.data.collect import with_found
from snas_tune.data.digits import Digits
from snas_tune.data.download import Remote
from snas_tune.data.entries import TABLES
from snas_tune.data.fashion import FashionMnist
from snas_tune.data.folder import Folder
from snas_tune.data.found import shown
from snas_tune.data.hub import PREFIX, Hub, is_saved
from snas_tune.data.images import ImageSet
from snas_tune.data.module import FORM, ModuleFunction
from snas_tune.data.progress import Progress, StderrProgress, silent
from snas_tune.data.request import Form, NoSuchData, Request, Source, answer
from snas_tune.data.table import Table, is_table
from snas_tune.files import first_line
from snas_tune.setting_checks import SETTINGS
from snas_tune.text_checks import PATH, TEXT_PATH

if TYPE_CHECKING:
    from typing import Unpack  # of Python 3.11

_KRIZ = "https://www.cs.toronto.edu/~kriz"
_ZALANDO = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com"

SOURCES: dict[str, Source] = {
    "digits": Digits(),
    "cifar10": Cifar(
        name="cifar10",
        remote=Remote(f"{_KRIZ}/cifar-10-python.tar.gz", "c58f30108f718f92721af3b95e74349a"),
        folder="cifar-10-batches-py",
        train=tuple(f"data_batch_{i}" for i in range(1, 6)),
        test=("test_batch",),
        meta="batches.meta",
        names=b"label_names",
        labels=b"labels",
    ),
    "cifar100": Cifar(
        name="cifar100",
        remote=Remote(f"{_KRIZ}/cifar-100-python.tar.gz", "eb9058c3a382ffc7106e4002c42a8d85"),
        folder="cifar-100-python",
        train=("train",),
        test=("test",),
        meta="meta",
        names=b"fine_label_names",
        labels=b"fine_labels",
    ),
    "fashion-mnist": FashionMnist(
        train=(
            Remote(f"{_ZALANDO}/train-images-idx3-ubyte.gz", "8d4fb7e6c68d591d4c3dfef9ec88bf0d"),
            Remote(f"{_ZALANDO}/train-labels-idx1-ubyte.gz", "25c81989df183df01b3e8a0aad5dffbe"),
        ),
        test=(
            Remote(f"{_ZALANDO}/t10k-images-idx3-ubyte.gz", "bef4ecab320f06d8554ea6380940ec79"),
            Remote(f"{_ZALANDO}/t10k-labels-idx1-ubyte.gz", "bb300cfdad3c16e7a12a480ee83cd310"),
        ),
    ),
}
"""The sources that have a name. A new one is one entry."""


@checked
def resolve(
    spec: Annotated[str, TEXT_PATH],
    root: Annotated[str | Path, PATH],
    sources: Annotated[Mapping[str, Source], SETTINGS] = SOURCES,
) -> Source:
    """The source that a spec means: by name, ``hf:...``, an existing path, ``module:function``.

    A relative path is looked for in the working directory and then below ``root``.

    Raises:
        NoSuchData: a ValueError, too: it is none of these.
    """
    if spec in sources:
        return sources[spec]
    if spec.startswith(PREFIX):
        return Hub(spec)
    if (there := _place(spec, root)) is not None:
        return there
    if FORM.fullmatch(spec):
        return ModuleFunction(spec)
    for kind, known in (("archive", is_archive), ("table", is_table)):
        if known(Path(spec)):
            raise NoSuchData(f"data {kind} {shown(spec)} does not exist")
    if "/" in spec or "\\" in spec:
        raise NoSuchData(f"data directory {shown(spec)} does not exist")
    raise NoSuchData(
        f"data must be a known name ({', '.join(sources)}), an existing folder or archive of class "
        f"folders or table of paths and labels, here or in {root}, module:function or hf:name, "
        f"got {shown(spec)}, which is none of these"
    )


@checked
def load(
    spec: Annotated[str, TEXT_PATH],
    *,
    root: Annotated[str | Path, PATH],
    cache_dir: Annotated[str | Path | None, PATH] = None,
    progress: Annotated[Progress | None, FUNCTION] = None,
    **form: Unpack[Form],
) -> ImageSet:
    """The training images of a source; its test images are never among them.

    Args:
        spec: ``digits``, ``cifar10``, ``cifar100`` or ``fashion-mnist``; the path of a folder or
            of a tar or zip file of class folders, see :func:`snas_tune.data.tree.grow`; or
            ``module:function``, see :class:`snas_tune.data.module.ModuleFunction`. A folder that
            is called like a named source is ``./digits``.
        root: where named sources and downloads are looked for and put; relative paths that are not
            in the working directory are looked for there too.
        cache_dir: decode once into ``cache_dir/<fingerprint>`` and map the images from there, so
            that all processes of a machine share them, see
            :func:`snas_tune.data.cache.through_cache`; None decodes into this process's memory.
        progress: called as a download or a decoding advances, None for stderr,
            :func:`~snas_tune.data.progress.silent` for nothing.
        form: ``image_size``, ``channels``, ``fit``, ``bits``, ``bad_images`` and ``download``, see
            :class:`~snas_tune.data.request.Request`.

    Raises:
        ValueError: the spec, the data or the cache is wrong; one line that names the fault.
    """
    return _read(_request(spec, root, progress, form), cache_dir)


@checked
def load_test(
    spec: Annotated[str, TEXT_PATH],
    *,
    root: Annotated[str | Path, PATH],
    cache_dir: Annotated[str | Path | None, PATH] = None,
    progress: Annotated[Progress | None, FUNCTION] = None,
    **form: Unpack[Form],
) -> ImageSet:
    """The test images of a source, for the same arguments as :func:`load`.

    For ``digits`` they are every fifth image of each class; for folders and archives the images in
    ``test/`` beside ``train/``.

    Raises:
        ValueError: as :func:`load`.
        NoTestImages: a ValueError, too: the source has no test images.
    """
    return _read(replace(_request(spec, root, progress, form), train=False), cache_dir)


@checked
def check(
    spec: Annotated[str, TEXT_PATH],
    *,
    root: Annotated[str | Path, PATH],
    train: Annotated[bool, FLAG] = True,
    **form: Unpack[Form],
) -> None:
    """Raise the errors of :func:`load` that can be found cheaply.

    Names of files are listed, headers and checksums (of an archive: all) read, one image of each
    class of a folder is decoded, a module is imported. The network is not used.

    Args:
        spec: as for :func:`load`.
        root: where named sources and relative paths are looked for.
        train: whether the training or the test images will be loaded.
        form: as for :func:`load`.

    Raises:
        ValueError: as :func:`load`.
    """
    request = replace(_request(spec, root, silent, form), train=train)
    resolve(spec, request.root).check(request)


def _request(spec: str, root: str | Path, progress: Progress | None, form: Form) -> Request:
    return Request(
        spec=spec,
        root=Path(root).expanduser(),
        progress=StderrProgress() if progress is None else progress,
        listed=spec not in SOURCES,
        **form,
    )


def _read(request: Request, cache_dir: str | Path | None) -> ImageSet:
    source = resolve(request.spec, request.root)
    if cache_dir is None:
        images = answer(source, request)
    else:
        images = through_cache(source, request, Path(cache_dir).expanduser())
    return with_found(images, request)


def _place(spec: str, root: str | Path) -> Source | None:
    """The source of the folder or file that lies at a path; None where nothing does."""
    try:
        for path in (Path(spec).expanduser(), Path(root) / spec):
            if path.is_dir():
                return _folder(path)
            if path.is_file():
                return _file(path)
    except (OSError, RuntimeError) as error:  # the latter of a home that nobody has
        raise ValueError(
            f"data must be readable, got {shown(spec)} ({first_line(error)})"
        ) from error
    return None


def _folder(path: Path) -> Source:
    if is_saved(path):
        return Hub(str(path))
    return table_of(path) or Folder(path)


def _file(path: Path) -> Source:
    if is_table(path):
        return Table(path, path.parent)
    if not is_archive(path):
        raise ValueError(
            f"an archive of images must end in {', '.join(SUFFIXES)}, a table in "
            f"{', '.join(TABLES)}, got {shown(path)}"
        )
    return Archive(path)
