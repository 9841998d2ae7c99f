"""Reads pickles of arrays and plain containers, and nothing else."""

import io
import pickle
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy._core import multiarray, numeric


def read_arrays(path: Path) -> Any:
    """The content of a pickle file; ValueError in one sentence if it holds more than data."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror or error}") from error
    try:
        return _ArrayUnpickler(io.BytesIO(content)).load()
    except _BROKEN as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(f"{path} is not a motion file: {reason}") from error


class _ArrayUnpickler(pickle.Unpickler):
    """Knows what NumPy needs to rebuild an array of numbers; everything else is refused by name."""

    def find_class(self, module: str, name: str) -> Any:
        known = _KNOWN.get(name)
        if known is None or module not in known[0]:
            raise pickle.UnpicklingError(
                f"it asks for {module}.{name}, but only arrays, numbers, strings, lists and "
                "dictionaries may be in it"
            )
        return known[1]

    def persistent_load(self, pid: Any) -> Any:
        raise pickle.UnpicklingError("it refers to objects outside the file")


def _number_type(code: Any, *_: Any) -> np.dtype[Any]:
    """numpy.dtype without object arrays (which can hold anything); always a copy of our own."""
    result = np.dtype(code, align=False, copy=True)
    if result.kind not in "biufUS":
        raise pickle.UnpicklingError(f"it holds an array of type {result}")
    return result


def _latin1(text: str, encoding: str = "latin1") -> bytes:
    """_codecs.encode as old protocols use it for bytes."""
    if not isinstance(text, str) or encoding != "latin1":
        raise pickle.UnpicklingError("it encodes something other than bytes")
    return text.encode("latin1")


_ARRAYS = ("numpy.core.multiarray", "numpy._core.multiarray")
_KNOWN: dict[str, tuple[tuple[str, ...], Callable[..., Any]]] = {
    "ndarray": (("numpy",), np.ndarray),
    "dtype": (("numpy",), _number_type),
    "_reconstruct": (_ARRAYS, multiarray._reconstruct),  # type: ignore[attr-defined]
    "scalar": (_ARRAYS, multiarray.scalar),  # type: ignore[attr-defined]
    "_frombuffer": (("numpy.core.numeric", "numpy._core.numeric"), numeric._frombuffer),  # type: ignore[attr-defined]
    "encode": (("_codecs",), _latin1),
}

# what a malformed pickle makes the unpickler raise
_BROKEN = (
    pickle.UnpicklingError,
    ArithmeticError,
    AttributeError,
    EOFError,
    ImportError,
    LookupError,
    MemoryError,
    TypeError,
    UnicodeError,
    ValueError,
    struct.error,
)
