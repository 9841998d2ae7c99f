"""Pickles of arrays are read; whatever else is in them is neither run nor believed."""

import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from motions import save_pickle, twist
from twist_cmg.pickles import read_arrays


class Call:
    """Calls a function when it is unpickled."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


@pytest.mark.parametrize("protocol", [0, 2, pickle.HIGHEST_PROTOCOL])
def test_a_hostile_pickle_runs_nothing(tmp_path: Path, protocol: int) -> None:
    trap = tmp_path / "trap"
    for function in (os.mkdir, eval, np.fromfile):
        hidden = {**twist(), "extra": [Call(function, str(trap))]}
        file = save_pickle(tmp_path / "bad.pkl", hidden, protocol)
        with pytest.raises(
            ValueError, match=r"bad\.pkl is not a motion file: it asks for"
        ) as error:
            read_arrays(file)
        assert function.__name__ in str(error.value) and "\n" not in str(error.value)
    assert not trap.exists()


def test_objects_in_arrays_are_refused(tmp_path: Path) -> None:
    data = {**twist(), "extra": np.array([{}, None], dtype=object)}
    with pytest.raises(ValueError, match="it holds an array of type object"):
        read_arrays(save_pickle(tmp_path / "bad.pkl", data))


def test_damaged_pickles_are_refused(tmp_path: Path) -> None:
    file = save_pickle(tmp_path / "bad.pkl", twist())
    content = file.read_bytes()
    for damaged in (b"", b"hello", b"\x80\x04.", content[:50], content[: len(content) // 2]):
        file.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"bad\.pkl is not a"):
            read_arrays(file)
