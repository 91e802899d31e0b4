"""Safetensors read and written in pieces, so that memory is that of a piece and not of the file.

Format: eight bytes that say how long the header is, the header as JSON (name -> type, shape, place), the tensors end to
end. Source: the format's description in the safetensors repository. Read by `pread`, not by mapping the file: what a
mapping touches counts as memory of the process.
"""

import ctypes
import json
import os
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from stages.errors import DataError
from stages.modelling.models import weight_files

TYPES = {
    "F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16, "I64": torch.int64,
    "I32": torch.int32, "I16": torch.int16, "I8": torch.int8, "U8": torch.uint8, "BOOL": torch.bool,
}  # fmt: skip
NAMES = {dtype: name for name, dtype in TYPES.items()}
M_MMAP_THRESHOLD = -3  # malloc.h
PIECE_BYTES = 2**19  # copied at once: little enough to stay in a core's own cache between reading and writing
LARGEST_HEADER = 100_000_000  # bytes; what the safetensors library reads at most


def give_memory_back() -> None:
    """From here on, blocks of a MiB and more go back to the system when they are freed.

    glibc otherwise keeps ever larger ones for itself, and between small allocations they cannot be used again: five
    layers of 2,048 read one after the other cost 190 MiB instead of 70.
    """
    library = ctypes.CDLL(None)
    if hasattr(library, "mallopt"):
        library.mallopt(M_MMAP_THRESHOLD, 2**20)


def bytes_of(tensor: Tensor) -> memoryview:
    """The memory of a tensor whose numbers lie in order; of another one, that of a copy."""
    return memoryview(tensor.contiguous().flatten().view(torch.uint8).numpy().data)


class Place(NamedTuple):
    """Where a tensor lies."""

    dtype: str  # as the format calls it
    shape: tuple[int, ...]
    start: int  # byte in the file
    end: int

    @property
    def row_bytes(self) -> int:
        return (self.end - self.start) // self.shape[0] if self.shape and self.shape[0] else 0


class TensorFile:
    """One safetensors file; threads may read it at the same time."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor = os.open(path, os.O_RDONLY)
        weakref.finalize(self, os.close, self._descriptor)
        self.places, self.metadata = self._read_header()

    def _read_header(self) -> tuple[dict[str, Place], dict[str, str]]:
        try:
            length = int.from_bytes(os.pread(self._descriptor, 8, 0), "little")
            if not 2 <= length <= min(LARGEST_HEADER, self.path.stat().st_size):
                raise ValueError("the header is cut")
            header: dict[str, Any] = json.loads(os.pread(self._descriptor, length, 8))
            metadata = header.pop("__metadata__", None) or {}
            places = {}
            for name, facts in header.items():
                start, end = facts["data_offsets"]
                places[name] = Place(facts["dtype"], tuple(facts["shape"]), start + 8 + length, end + 8 + length)
            if max((place.end for place in places.values()), default=0) > self.path.stat().st_size:
                raise ValueError("the last tensors are cut")
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise DataError(f"{self.path} is damaged ({error}); copy the folder again") from error
        return dict(sorted(places.items(), key=lambda item: item[1].start)), metadata

    def rows(self, name: str, start: int = 0, stop: int | None = None) -> Tensor:
        """Rows of the tensor from `start` to before `stop`, in memory of their own; all of a tensor without dimensions."""
        place = self.places[name]
        if place.dtype not in TYPES:
            raise DataError(f"{self.path}: {name} is of type {place.dtype}, which is not known here; convert the model")
        stop = place.shape[0] if stop is None and place.shape else stop
        shape = (stop - start, *place.shape[1:]) if place.shape and stop is not None else place.shape
        rows = torch.empty(shape, dtype=TYPES[place.dtype])
        self.fill(rows, name, start)
        return rows

    def fill(self, rows: Tensor, name: str, start: int) -> None:
        """Reads as many rows as there are in `rows`, from `start` on."""
        place = self.places[name]
        self.read_into(bytes_of(rows), place.start + start * place.row_bytes)

    def read_into(self, buffer: memoryview, at: int) -> None:
        """Fills the buffer from that byte on."""
        done = 0
        while done < len(buffer):
            count = os.preadv(self._descriptor, [buffer[done:]], at + done)
            if not count:
                raise DataError(f"{self.path} ends at byte {at + done}; copy the folder again")
            done += count


class TensorFolder:
    """The weight files of a model, or one file, as one mapping from names to tensors."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self.files = [TensorFile(path) for path in paths]
        self.file_of = {name: file for file in self.files for name in file.places}

    @classmethod
    def of_model(cls, folder: Path) -> "TensorFolder":
        return cls(weight_files(folder))

    def __contains__(self, name: object) -> bool:
        return name in self.file_of

    def place(self, name: str) -> Place:
        return self.file_of[name].places[name]

    def rows(self, name: str, start: int = 0, stop: int | None = None) -> Tensor:
        return self.file_of[name].rows(name, start, stop)


class Float32Rows:
    """Rows of tensors in float32, in memory that is used again: what was given last is lost with the next.

    New memory for each block costs more time than what is done with it: the system clears every page first.
    """

    def __init__(self, files: TensorFile | TensorFolder) -> None:
        self.files = files
        self._stored, self._exact = torch.empty(0, dtype=torch.uint8), torch.empty(0)

    def place(self, name: str) -> Place:
        return self._file(name).places[name]

    def _file(self, name: str) -> TensorFile:
        return self.files.file_of[name] if isinstance(self.files, TensorFolder) else self.files

    def read(self, name: str, start: int, stop: int) -> tuple[Tensor, Tensor]:
        """The rows as they are stored, and in float32; of a tensor in float32 both are one."""
        file, place = self._file(name), self.place(name)
        shape, dtype = (stop - start, *place.shape[1:]), TYPES[place.dtype]
        if self._stored.numel() < (needed := prod(shape) * dtype.itemsize):
            self._stored = torch.empty(needed, dtype=torch.uint8)
        stored = self._stored[:needed].view(dtype).view(shape)
        file.fill(stored, name, start)
        if dtype == torch.float32:
            return stored, stored
        if self._exact.numel() < prod(shape):
            self._exact = torch.empty(prod(shape))
        return stored, self._exact[: prod(shape)].view(shape).copy_(stored)


Pieces = Callable[[], Iterator[Tensor | memoryview]]


class NewTensor(NamedTuple):
    """A tensor to be written. `pieces` gives its bytes in order."""

    dtype: str
    shape: tuple[int, ...]
    pieces: Pieces

    @property
    def size(self) -> int:
        widths = {"F8_E4M3": 1, "F8_E5M2": 1, "F8_E8M0": 1, "U16": 2, "U32": 4, "U64": 8}
        known = TYPES[self.dtype].itemsize if self.dtype in TYPES else widths[self.dtype]
        return prod(self.shape) * known


def copied(file: TensorFile, name: str) -> NewTensor:
    """The tensor as it is."""
    place = file.places[name]

    def pieces() -> Iterator[memoryview]:
        buffer = memoryview(bytearray(min(PIECE_BYTES, place.end - place.start)))
        for at in range(place.start, place.end, PIECE_BYTES):
            piece = buffer[: min(PIECE_BYTES, place.end - at)]
            file.read_into(piece, at)
            yield piece

    return NewTensor(place.dtype, place.shape, pieces)


def write_tensors(
    path: Path,
    tensors: Mapping[str, NewTensor],
    metadata: Mapping[str, str],
    *,
    threads: int,
    wrote: Callable[[], object] = lambda: None,
) -> int:
    """Writes a safetensors file, tensors side by side on threads; the same bytes however many. Gives the tensors' bytes.

    `wrote` is called after each tensor.

    Wide types stand first, as the library has it, so that every tensor starts at a multiple of its type's width.
    """
    ordered = sorted(tensors.items(), key=lambda item: -item[1].size // max(prod(item[1].shape), 1))
    header: dict[str, Any] = {"__metadata__": dict(metadata)} if metadata else {}
    at = 0
    for name, tensor in ordered:
        header[name] = {"dtype": tensor.dtype, "shape": list(tensor.shape), "data_offsets": [at, at + tensor.size]}
        at += tensor.size
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb", buffering=0) as file:
        file.write(len(text).to_bytes(8, "little") + text)
        os.truncate(file.fileno(), 8 + len(text) + at)
        # Each thread computes alone, so that no sum depends on how many there are.
        with _torch_threads(), ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            starts = {name: 8 + len(text) + header[name]["data_offsets"][0] for name, _ in ordered}
            for done in [pool.submit(_write, file.fileno(), tensor, starts[name]) for name, tensor in ordered]:
                done.result()
                wrote()
        os.fsync(file.fileno())
    return at


@contextmanager
def _torch_threads() -> Iterator[None]:
    """Puts the number back that the threads of a pool change."""
    before = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _write(file: int, tensor: NewTensor, at: int) -> None:
    start = at
    for piece in tensor.pieces():
        data = piece if isinstance(piece, memoryview) else bytes_of(piece)
        while data:
            count = os.pwrite(file, data, at)
            at, data = at + count, data[count:]
    if at - start != tensor.size:
        raise DataError(f"a tensor of {tensor.size:,} bytes was written with {at - start:,}; report this as a fault")
