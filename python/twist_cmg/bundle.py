"""Policy bundles for programs without torch: NumPy and onnxruntime are enough.

A bundle is a folder that `python -m twist_cmg.export` writes:

  contract.json   what the policy is made for and how its numbers are laid out
  policy.onnx     the network; policy.ts the same as TorchScript, weights.f32 as bare numbers
  golden.f32      observations and the answers to them
  config.yaml     the training's configuration, README.md the model card

This file may be copied to a robot as it is.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

FORMAT = 2
TOLERANCE = 1e-5  # of a golden answer
CONTRACT, ONNX, SCRIPT, WEIGHTS, GOLDEN = (
    "contract.json",
    "policy.onnx",
    "policy.ts",
    "weights.f32",
    "golden.f32",
)

Floats = NDArray[np.float32]


class Bundle:
    """An exported policy that has answered its golden observations.

    ValueError in one sentence if anything of it is missing, damaged or of another format.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.contract = read_contract(self.folder)
        check_files(self.folder, self.contract)
        self.tensors = read_tensors(self.folder, self.contract)
        try:
            self._session = onnxruntime.InferenceSession(
                str(self.folder / ONNX), _one_thread(), providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # onnxruntime has no common class of errors
            raise ValueError(f"{self.folder / ONNX} cannot be run: {error}") from error
        self._check_golden()

    def act(self, observation: Floats) -> Floats:
        """Raw observations (n, width) to outputs: actions, then estimates."""
        return self._session.run(None, {"observation": observation})[0]

    def check_joints(self, joints: Sequence[str]) -> None:
        """ValueError naming the first joint that another robot has elsewhere."""
        _compare("joints", self.contract["robot"]["joints"], joints)

    def _check_golden(self) -> None:
        observations, expected = read_golden(self.folder, self.contract)
        if self._session.get_inputs()[0].shape[1] != observations.shape[1]:
            raise ValueError(
                f"{self.folder / ONNX} sees {self._session.get_inputs()[0].shape[1]} numbers, its "
                f"contract says {observations.shape[1]}"
            )
        difference = np.abs(self.act(observations) - expected)
        if not (difference <= TOLERANCE).all():
            pair, number = np.argwhere(~(difference <= TOLERANCE))[0]
            raise ValueError(
                f"the policy {self.folder} answers golden observation {pair} differently by "
                f"{difference[pair, number]:.2g} at number {number}"
            )


def read_contract(folder: Path) -> dict[str, Any]:
    """What a bundle says about itself; ValueError if it is not one of this format."""
    file = folder / CONTRACT
    if not file.is_file():
        raise ValueError(f"{folder} is no policy: it has no {CONTRACT}")
    try:
        contract = json.loads(file.read_text())
        version = contract["format"]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{file} is damaged: {error}") from error
    if version != FORMAT:
        raise ValueError(f"{file} has format {version}, but this version reads format {FORMAT}")
    return contract


def check_files(folder: Path, contract: Mapping[str, Any]) -> None:
    """ValueError naming a file that is missing or is not what was exported."""
    for name, entry in contract["files"].items():
        file = folder / name
        if not file.is_file():
            raise ValueError(f"the policy {folder} lacks its file {name}")
        content = file.read_bytes()
        if len(content) != entry["bytes"]:
            raise ValueError(
                f"{file} has {len(content)} bytes, but its contract says {entry['bytes']}"
            )
        if hashlib.sha256(content).hexdigest() != entry["sha256"]:
            raise ValueError(f"{file} was changed: its SHA-256 is not that of the contract")


def read_tensors(folder: Path, contract: Mapping[str, Any]) -> dict[str, Floats]:
    """The weights by name; ValueError for a number that is not finite."""
    values = np.fromfile(folder / WEIGHTS, "<f4")
    tensors, begin = {}, 0
    for entry in contract["network"]["tensors"]:
        size = int(np.prod(entry["shape"]))
        tensor = values[begin : begin + size].reshape(entry["shape"])
        if not np.isfinite(tensor).all():
            bad = tensor[~np.isfinite(tensor)][0]
            raise ValueError(f"the tensor {entry['name']} of the policy {folder} holds {bad}")
        tensors[entry["name"]] = tensor
        begin += size
    if begin != len(values):
        raise ValueError(f"{folder / WEIGHTS} holds {len(values)} numbers, its contract {begin}")
    return tensors


def read_golden(folder: Path, contract: Mapping[str, Any]) -> tuple[Floats, Floats]:
    """Golden observations (pairs, width) and the answers to them (pairs, outputs)."""
    output, width = contract["output"], contract["observation"]["width"]
    outputs = len(output["actions"]) + output["estimates"]
    rows = np.fromfile(folder / GOLDEN, "<f4").reshape(contract["golden"]["pairs"], width + outputs)
    return np.ascontiguousarray(rows[:, :width]), np.ascontiguousarray(rows[:, width:])


def _compare(what: str, theirs: Sequence[str], ours: Sequence[str]) -> None:
    for index in range(max(len(theirs), len(ours))):
        their, our = (row[index] if index < len(row) else "none" for row in (theirs, ours))
        if their != our:
            raise ValueError(
                f"the policy is made for another robot: number {index} of its {what} is "
                f"{their!r}, here it is {our!r}"
            )


def _one_thread() -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return options
