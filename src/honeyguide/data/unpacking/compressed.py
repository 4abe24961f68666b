"""Takes one file out of a gzip file or a zip archive, piece by piece."""

from __future__ import annotations

import gzip
import lzma
import shutil
import struct
import zipfile
import zlib
from pathlib import Path
from typing import IO

from honeyguide.errors import InvalidFile

GZIP, ZIP = b"\x1f\x8b", (b"PK\x03\x04", b"PK\x05\x06")
_PIECE = 1 << 20
_SHEET = "[Content_Types].xml"  # every archive of an office program has it
_NOISE = ("__MACOSX/", ".DS_Store", "Thumbs.db", "desktop.ini")
_DAMAGE = (zipfile.BadZipFile, gzip.BadGzipFile, zlib.error, lzma.LZMAError, struct.error, ValueError)


def gunzip(path: Path, target: Path) -> Path:
    """Write what is in a gzip file to `target`; InvalidFile where it is cut off or damaged."""
    try:
        with gzip.open(path, "rb") as packed:
            return _copy(packed, target)
    except EOFError:
        raise _cut_off(path) from None
    except _DAMAGE as error:
        raise InvalidFile(path, f"is damaged: {_words(error)}", "Download or export it again") from None


def unzip(path: Path, target: Path) -> Path:
    """Write the one file in a zip archive to `target`; InvalidFile where it holds none or several."""
    try:
        with zipfile.ZipFile(path) as archive, archive.open(_only_one(path, archive)) as packed:
            return _copy(packed, target)
    except InvalidFile:
        raise
    except EOFError:
        raise _cut_off(path) from None
    except NotImplementedError as error:  # how zipfile says that it does not know this way of compressing
        raise InvalidFile(path, f"cannot be unpacked: {error}", "Unpack it yourself") from None
    except RuntimeError:
        raise InvalidFile(path, "is locked by a password", "Unpack it, and name the file in it") from None
    except _DAMAGE as error:
        problem = f"is a damaged archive or spreadsheet: {_words(error)}"
        raise InvalidFile(path, problem, "Download it again, or export the sheet as CSV") from None


def _only_one(path: Path, archive: zipfile.ZipFile) -> zipfile.ZipInfo:
    found = [entry for entry in archive.infolist() if not entry.is_dir() and not _is_noise(entry.filename)]
    if any(entry.filename == _SHEET for entry in found):
        raise InvalidFile(path, "is a spreadsheet or another office file", "Export the sheet as CSV")
    if not found:
        raise InvalidFile(path, "is an archive without files", "Pack it again, or leave it out")
    if len(found) > 1:
        names = ", ".join(entry.filename[:64] for entry in found[:5]) + (", ..." if len(found) > 5 else "")
        raise InvalidFile(
            path,
            f"is an archive of {len(found):,} files: {names}",
            "Unpack it, and name those of them to import",
        )
    return found[0]


def _is_noise(name: str) -> bool:
    """Whether a file is only there because a desktop put it there."""
    return name.startswith(_NOISE[0]) or name.rpartition("/")[2] in _NOISE[1:]


def _copy(packed: IO[bytes] | gzip.GzipFile, target: Path) -> Path:
    with target.open("wb") as out:
        shutil.copyfileobj(packed, out, _PIECE)
    return target


def _cut_off(path: Path) -> InvalidFile:
    return InvalidFile(path, "is cut off before its end", "Download or export it again")


def _words(error: Exception) -> str:
    return str(error).split("\n", 1)[0][:200] or type(error).__name__
