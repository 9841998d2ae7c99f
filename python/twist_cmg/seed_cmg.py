"""Reads a CMG in the layout of the system this one descends from."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy._core import multiarray

from . import _C
from .checkpoints import Checkpoint

EXPERTS = 4
GATE = "gating.gating_network"
UNRAMPED = 1000.0  # per second: the seed ramps its commands elsewhere
_STATISTICS = ("motion_mean", "motion_std", "command_min", "command_max")


def is_seed_layout(values: object) -> bool:
    """Whether this is the content of cmg_final.pt, a numbered checkpoint, or a bare state."""
    return isinstance(values, Mapping) and (
        "model_state_dict" in values or f"{GATE}.0.weight" in values
    )


def read_seed_file(path: Path) -> Any:
    """Loads tensors, arrays and plain containers, and nothing else; ValueError otherwise."""
    dtypes = [type(np.dtype(kind)) for kind in (np.float32, np.float64, np.int32, np.int64)]
    rebuild = (multiarray._reconstruct, multiarray.scalar)  # type: ignore[attr-defined]
    allowed = [*rebuild, np.ndarray, np.dtype, *dtypes]
    try:
        with torch.serialization.safe_globals(allowed):
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise ValueError(f"{path} cannot be read: {str(error).splitlines()[0]}") from error


def from_seed(values: Mapping[str, Any], robot: _C.Robot, source: str) -> Checkpoint:
    """The same network in our layout, profile "joints"; ValueError if something does not fit.

    The seed multiplies with expert weights (in, out) and predicts the next features themselves;
    its joints are in G1 order.
    """
    statistics = values.get("stats")
    if not isinstance(statistics, Mapping) or any(key not in statistics for key in _STATISTICS):
        raise ValueError(
            f"{source} holds no statistics ({', '.join(_STATISTICS)}): use cmg_final.pt or a "
            "numbered checkpoint, not a bare state"
        )
    weights = values["model_state_dict"]
    try:
        network = _network(weights)
    except (KeyError, AttributeError, RuntimeError, TypeError) as error:
        raise ValueError(f"{source} is not a CMG of the original layout: {error}") from error
    state = {f"network.{name}": tensor.float().contiguous() for name, tensor in network.items()}
    state["network.carry"] = torch.zeros(1)
    state |= _statistics(statistics, robot, source)
    contract = {"joints": list(robot.joint_names)}
    return Checkpoint("cmg", {"cmg": {"profile": "joints"}}, policy=state, contract=contract)


def _network(weights: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    network = {}
    for layer in (0, 2):
        network[f"gate.{layer}.weight"] = weights[f"{GATE}.{layer}.weight"].T
        network[f"gate.{layer}.bias"] = weights[f"{GATE}.{layer}.bias"]
    for layer in range(3):
        for ours, theirs in (("weight", "expert_weights"), ("bias", "expert_biases")):
            experts = [weights[f"layers.{layer}.{theirs}.{k}"] for k in range(EXPERTS)]
            network[f"layers.{layer}.{ours}"] = torch.stack(experts)
    return network


def _statistics(given: Mapping[str, Any], robot: _C.Robot, source: str) -> dict[str, torch.Tensor]:
    mean, deviation, low, high = (
        torch.as_tensor(np.asarray(given[key], dtype=np.float32).reshape(-1)) for key in _STATISTICS
    )
    joints = robot.num_joints
    if len(mean) != 2 * joints or len(deviation) != 2 * joints or len(low) != 3 or len(high) != 3:
        raise ValueError(
            f"{source} has statistics of {len(mean)} features; a robot with {joints} joints "
            f"needs {2 * joints}"
        )
    start = mean.clone()
    start[joints:] = 0
    values = {
        "mean": mean,
        "deviation": deviation,
        "active": torch.ones_like(mean),
        "start": start,
        "lower": torch.tensor(robot.lower),
        "upper": torch.tensor(robot.upper),
        "command_low": low,
        "command_high": high,
        "command_rate": torch.full((3,), UNRAMPED),
        "calibration": torch.zeros(36),
    }
    return {f"statistics.{name}": value.float() for name, value in values.items()}
