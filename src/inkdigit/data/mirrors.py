"""The public mirrors of the named sets: their files, addresses and checksums, and how they are fetched.

In: a name. Out: a folder with the set's files, each checked against its published checksum, written aside and renamed.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import shutil
import sys
import zipfile
import zlib
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

from inkdigit.errors import ChecksumMismatch, MissingData, MissingExtra, OutputError, UsageError, reason_of
from inkdigit.types import Log, check_functions

CONNECT_S = 3.0  # then the next mirror is tried
READ_S = 30.0  # without a byte: a slow mirror is not a dead one

_CHUNK_BYTES = 2**16  # bytes that are copied in one step


@dataclass(frozen=True, slots=True)
class PublishedFile:
    """A file and its published checksum: of its raw bytes (`unpacked`), or of the file as it is served.

    A ZIP is replaced by its `members`.
    """

    name: str
    checksum: str  # "sha256:…" or "md5:…"
    unpacked: bool = False
    members: tuple[str, ...] = ()  # of a ZIP, with their folders in it

    @property
    def stored_names(self) -> tuple[str, ...]:
        """The names of the files in the folder afterwards."""
        return tuple(member.rpartition("/")[2] for member in self.members) or (self.name,)


@dataclass(frozen=True, slots=True)
class PublishedSet:
    """The files of a named set and the mirrors that serve them, in the order in which they are tried.

    `folder` is the name of their folder if it is not that of the set: sets of one archive share it.
    """

    files: tuple[PublishedFile, ...]
    mirrors: tuple[str, ...]
    folder: str | None = None

    def missing(self, folder: Path) -> list[PublishedFile]:
        """The files that are not in a folder, or not with all members."""
        return [file for file in self.files if not all((folder / name).is_file() for name in file.stored_names)]


def _idx_files(*checksums: str, unpacked: bool = False) -> tuple[PublishedFile, ...]:
    names = ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1")
    pairs = zip(names, checksums, strict=True)
    return tuple(PublishedFile(f"{name}-ubyte.gz", f"sha256:{checksum}", unpacked) for name, checksum in pairs)


def _emnist(*names: str) -> PublishedSet:
    """Sets of EMNIST: all are in one archive of 562 MB, of which only the files of these are stored."""
    files = [
        f"gzip/emnist-{name}-{part}-{kind}-ubyte.gz"
        for name in names
        for part in ("train", "test")
        for kind in ("images-idx3", "labels-idx1")
    ]
    checksum = "sha256:fb9bb67e33772a9cc0b895e4ecf36d2cf35be8b709693c3564cea2a019fcda8e"
    archive = PublishedFile("gzip.zip", checksum, members=tuple(files))
    return PublishedSet((archive,), ("https://biometrics.nist.gov/cs_links/EMNIST/",), folder="emnist")


_EMNIST = _emnist("digits", "letters")  # 100 MB

PUBLISHED = {
    "mnist": PublishedSet(
        _idx_files(
            "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
            "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
            "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
            "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
            unpacked=True,
        ),
        ("https://ossci-datasets.s3.amazonaws.com/mnist/", "https://storage.googleapis.com/cvdf-datasets/mnist/"),
    ),
    "usps": PublishedSet(
        (
            PublishedFile("usps.bz2", "md5:ec16c51db3855ca6c91edd34d0e9b197"),
            PublishedFile("usps.t.bz2", "md5:8ea070ee2aca1ac39742fdd1ef5ed118"),
        ),
        ("https://www.csie.ntu.edu.tw/~cjlin/libsvmtools/datasets/multiclass/",),
    ),
    "fashion-mnist": PublishedSet(
        _idx_files(
            "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
            "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
            "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
            "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
        ),
        (
            "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
            "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/",
        ),
    ),
    "kmnist": PublishedSet(
        _idx_files(
            "51467d22d8cc72929e2a028a0428f2086b092bb31cfb79c69cc0a90ce135fde4",
            "e38f9ebcd0f3ebcdec7fc8eabdcdaef93bb0df8ea12bee65224341c8183d8e17",
            "edd7a857845ad6bb1d0ba43fe7e794d164fe2dce499a1694695a792adfac43c5",
            "20bb9a0ef54c7db3efc55a92eef5582c109615df22683c380526788f98e42a1c",
        ),
        ("http://codh.rois.ac.jp/kmnist/dataset/kmnist/",),
    ),
    "emnist-digits": _EMNIST,
    "emnist-letters": _EMNIST,
    "emnist-balanced": _emnist("balanced"),
    "emnist-byclass": _emnist("byclass"),
    "emnist-bymerge": _emnist("bymerge"),
}


def fetch(
    name: str,
    *,
    to: Path | None = None,
    mirrors: Sequence[str] | None = None,
    timeouts_s: tuple[float, float] = (CONNECT_S, READ_S),
    log: Log,
) -> Path:
    """Fetch the files of a named set that are not yet in the folder `to` (else in the cache), and return the folder.

    The mirrors are tried in turn: `mirrors`, or the public ones by default. `timeouts_s` are seconds to connect and
    seconds to wait for a byte. Files that exist already are not fetched or checked again.

    Raises:
        UsageError: no set of this name is published.
        MissingData: no mirror serves a file; the message names the files, the folder to put them in and the mirrors.
        ChecksumMismatch: the mirrors serve other bytes than the published ones.
        OutputError: the folder cannot be written.
        MissingExtra: pooch is not installed.
    """
    check_functions(log=log)
    if name not in PUBLISHED:
        raise UsageError(f"No mirror is known for {name!r}", expected=" or ".join(PUBLISHED))
    published = PUBLISHED[name]
    if mirrors is not None:
        published = replace(published, mirrors=tuple(mirrors))
    return download(published, to or cache_folder() / folder_of(name), timeouts_s=timeouts_s, log=log)


def folder_of(name: str) -> str:
    """The name of the folder of a published set: that of the set, unless several share it."""
    return PUBLISHED[name].folder or name


def cache_folder() -> Path:
    """The folder of fetched sets: INKDIGIT_CACHE, else `inkdigit` in XDG_CACHE_HOME, else in `~/.cache`."""
    if own := os.environ.get("INKDIGIT_CACHE"):
        return Path(own).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "inkdigit"


def download(published: PublishedSet, to: Path, *, timeouts_s: tuple[float, float], log: Log) -> Path:
    """Download the files of a set that are missing in the folder `to`; see `fetch`."""
    try:
        to.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        raise OutputError(f"Cannot make the folder {to}: {reason_of(exc)}", hint="Name another folder.") from exc
    mirrors = list(published.mirrors)
    for file in published.missing(to):
        _try_mirrors(mirrors, file, to, timeouts_s, log, published)
    return to


def _try_mirrors(
    mirrors: list[str],
    file: PublishedFile,
    to: Path,
    timeouts_s: tuple[float, float],
    log: Log,
    published: PublishedSet,
) -> None:
    """Download one file from the first of `mirrors` that serves it; those that fail come last for the next file."""
    wrong: ChecksumMismatch | None = None
    for mirror in tuple(mirrors):
        url = f"{mirror.rstrip('/')}/{file.name}"
        log(f"Fetching {url}")
        try:
            _download_file(url, file, to / file.name, timeouts_s)
            return
        except (ChecksumMismatch, MissingData) as exc:
            log(str(exc))
            wrong = exc if isinstance(exc, ChecksumMismatch) else wrong
            mirrors.remove(mirror)
            mirrors.append(mirror)
    raise wrong or _not_served(published, to)


def _download_file(url: str, file: PublishedFile, target: Path, timeouts_s: tuple[float, float]) -> None:
    """Download one file beside `target`, check it, and rename it: `target` is never incomplete."""
    aside = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        _download_url(url, aside, timeouts_s)
        received = checksum(aside, file)
        if received != file.checksum:
            raise ChecksumMismatch(
                f"{url} does not serve the published {file.name}",
                expected=file.checksum,
                received=received,
                hint="It was deleted.",
            )
        if file.members:
            _unpack(aside, file, target.parent)
        else:
            aside.replace(target)
    except OSError as exc:  # of the disk: those of the network are translated already
        raise OutputError(f"Cannot write {target}: {reason_of(exc)}") from exc
    finally:
        aside.unlink(missing_ok=True)


def _unpack(archive: Path, file: PublishedFile, to: Path) -> None:
    """Unpack the `members` of a ZIP; each is written under another name and renamed."""
    try:
        with zipfile.ZipFile(archive) as packed:
            for member, name in zip(file.members, file.stored_names, strict=True):
                aside = to / f".{name}.{os.getpid()}.part"
                try:
                    with packed.open(member) as stream, aside.open("wb") as copy:
                        shutil.copyfileobj(stream, copy, _CHUNK_BYTES)
                    aside.replace(to / name)
                finally:
                    aside.unlink(missing_ok=True)
    except (zipfile.BadZipFile, KeyError) as exc:
        raise ChecksumMismatch(f"{file.name} is not the published archive", received=exc) from exc


def _download_url(url: str, path: Path, timeouts_s: tuple[float, float]) -> None:
    try:
        import pooch
        import requests
    except ImportError as exc:
        raise MissingExtra("Fetching a data set needs pooch", "report") from exc
    get = pooch.HTTPDownloader(progressbar=sys.stderr.isatty(), chunk_size=_CHUNK_BYTES, timeout=timeouts_s)
    try:
        get(url, str(path), None)
    except (requests.Timeout, requests.ConnectionError) as exc:
        raise MissingData(f"{url} does not answer") from exc
    except requests.RequestException as exc:  # 404 and other answers, a connection that breaks off
        raise MissingData(f"{url} cannot be fetched ({exc})") from exc


def checksum(path: Path, file: PublishedFile) -> str:
    """The checksum of a downloaded file, written like `file.checksum`; of its raw bytes if that one is.

    A server may have unpacked the gzip data itself; the raw bytes are the same then.
    """
    algorithm = file.checksum.partition(":")[0]
    digest = hashlib.new(algorithm)
    with path.open("rb") as plain:
        gzipped = file.unpacked and plain.read(2) == b"\x1f\x8b"
        plain.seek(0)
        try:
            with gzip.open(plain) if gzipped else nullcontext(plain) as stream:
                while chunk := stream.read(_CHUNK_BYTES):
                    digest.update(chunk)
        except (EOFError, gzip.BadGzipFile, zlib.error):
            return "damaged gzip data"
    return f"{algorithm}:{digest.hexdigest()}"


def _not_served(published: PublishedSet, to: Path) -> MissingData:
    missing = published.missing(to)
    put = "it" if len(missing) == 1 else "them"
    if members := [name for file in missing for name in file.stored_names if file.members]:
        put = f"its files ({', '.join(members)})"
    return MissingData(
        f"No mirror serves {', '.join(file.name for file in missing)}",
        hint=f"Put {put} into {to}, from {' or '.join(published.mirrors)}, or name the folder that has {put} in "
        "INKDIGIT_DATA. The data set sklearn-digits needs no download.",
    )
