"""Files that are none of the forms that are read here, told from how they start: what they are, so that it can be mended."""

import re

from stages.raw_files.byte_stream import BZIP2, GZIP, XZ, ZSTD, Damage

LOOKED_AT_BYTES = 1 << 12
TAR_AT, TAR = 257, b"ustar"
GIT_LFS = re.compile(rb"version https://git-lfs\.github\.com/spec/")
HTML = re.compile(rb"\s*<(?:!doctype html|html)\b", re.IGNORECASE)
MAX_NUL_SHARE = 0.1  # more of them, and it is binary, or text in UTF-16
# Of NUL among the bytes of even and of odd places: UTF-16 of mostly Latin text.
MIN_SHARE_OF_HALF, MAX_SHARE_OF_OTHER = 0.3, 0.02


def refuse_foreign(head: bytes, *, is_prose: bool) -> None:
    """Raises Damage for what is no text of any form, for an archive, and for what stands in place of a file."""
    if head[TAR_AT : TAR_AT + len(TAR)] == TAR:
        raise Damage("archive", "a tar archive")
    if GIT_LFS.match(head):
        raise Damage("git_lfs_pointer", "a pointer to the file, as Git LFS leaves it where files were not fetched")
    if head.startswith((GZIP, BZIP2, XZ, *ZSTD)):
        raise Damage("unsupported_format", "compressed data inside of compressed data")
    if HTML.match(head) and not is_prose:
        raise Damage("unsupported_format", "a page of HTML, perhaps the error page of a download")
    if head.count(0) > len(head) * MAX_NUL_SHARE:
        if _is_utf16(head[:LOOKED_AT_BYTES]):
            raise Damage("unsupported_encoding", "text in UTF-16 without its byte order mark")
        raise Damage("unsupported_format", "binary data")


def _is_utf16(head: bytes) -> bool:
    shares = sorted(half.count(0) / max(1, len(half)) for half in (head[::2], head[1::2]))
    return shares[0] <= MAX_SHARE_OF_OTHER and shares[1] >= MIN_SHARE_OF_HALF
