"""The CMG as an ONNX graph that takes and gives raw frames.

Inputs `features` (batch, features), a frame row as motion/reference.h lays it out (in the profile
"joints" its first part, angles and velocities), and `command` (batch, 3) in m/s, m/s, rad/s; output
`next_features` (batch, features), the frame 20 ms later. Normalisation is inside. Not inside is
what the generator does afterwards: joints within their limits, gravity of unit length, load shares
in [0, 1], velocities from neighbouring frames, rest.
"""

import json
from collections.abc import Mapping, Sequence

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray

from . import _C
from .cmg_calibrate import calibrated
from .onnx_graph import Graph

FORMAT_VERSION = 1
MAX_ERROR = 1e-5  # standard deviations of a feature

Array = NDArray[np.float32]
Tensors = Mapping[str, Array]


def normalise_command(statistics: Tensors) -> tuple[Array, Array]:
    """Scale and offset that make the network's input of a command: -1 to 1 over its range."""
    low, high = statistics["command_low"], statistics["command_high"]
    scale = np.float32(2) / np.maximum(high - low, np.float32(1e-3))
    return scale, -scale * np.float32(0.5) * (low + high)


def combine(graph: Graph, carry: float, features: str, output: str) -> str:
    """The next normalised features: the network's output, added to the present ones or alone."""
    return graph.add("Add", features, output) if carry else output


def to_onnx(cmg: _C.Cmg, joint_names: Sequence[str]) -> bytes:
    """The model as a checked ONNX file."""
    state = {name: tensor.numpy() for name, tensor in cmg.state().items()}
    weights, statistics = _part(state, "network."), _part(state, "statistics.")
    graph = Graph()
    _build(graph, weights, statistics, float(state["network.carry"].item()))
    width = len(statistics["mean"])
    inputs, metadata = {"features": width, "command": 3}, _metadata(statistics, joint_names)
    return graph.model("cmg", inputs, {"next_features": width}, metadata)


def _build(graph: Graph, weights: Tensors, statistics: Tensors, carry: float) -> None:
    mean, deviation = graph.constant(statistics["mean"]), graph.constant(statistics["deviation"])
    active = graph.constant(statistics["active"])
    distance = graph.add("Div", graph.add("Sub", "features", mean), deviation)
    features = graph.add("Mul", distance, active)  # constant features stay at their mean
    scale, offset = normalise_command(statistics)
    seen = _calibrate(graph, statistics["calibration"])
    scaled = graph.add("Mul", seen, graph.constant(scale))
    command = graph.add("Add", scaled, graph.constant(offset))

    x = graph.add("Concat", features, command, axis=1)
    gate = _gate(graph, weights, x)
    for layer in range(3):
        x = _experts(graph, weights, f"layers.{layer}", x, gate)
        if layer < 2:
            x = graph.add("Elu", x)
    step = graph.add("Mul", combine(graph, carry, features, x), active)
    graph.add("Add", graph.add("Mul", step, deviation), mean, output="next_features")


def _calibrate(graph: Graph, calibration: Array) -> str:
    """command + terms(command) * calibration, as motion/cmg.h has it."""
    first, second = (
        graph.add("Gather", "command", graph.constant(columns, np.int64), axis=1)
        for columns in ([1, 0, 0], [2, 1, 2])
    )
    squares, products = graph.add("Mul", "command", "command"), graph.add("Mul", first, second)
    cubes = graph.add("Mul", squares, "command")
    terms = graph.add("Concat", "command", squares, cubes, products, axis=1)
    return graph.add(
        "Add", "command", graph.add("MatMul", terms, graph.constant(calibration.reshape(-1, 3)))
    )


def _gate(graph: Graph, weights: Tensors, x: str) -> str:
    """The weight of each expert, (experts, batch, 1)."""
    for layer in (0, 2):
        weight, bias = weights[f"gate.{layer}.weight"], weights[f"gate.{layer}.bias"]
        x = graph.add("Gemm", x, graph.constant(weight), graph.constant(bias))
        x = graph.add("Elu", x) if layer == 0 else graph.add("Softmax", x, axis=1)
    last = graph.constant([2], np.int64)
    return graph.add("Unsqueeze", graph.add("Transpose", x, perm=[1, 0]), last)


def _experts(graph: Graph, weights: Tensors, layer: str, x: str, gate: str) -> str:
    """Every expert's output (experts, batch, out), weighed and summed."""
    product = graph.add("MatMul", x, graph.constant(weights[f"{layer}.weight"]))
    bias = graph.constant(weights[f"{layer}.bias"][:, None, :])
    weighed = graph.add("Mul", graph.add("Add", product, bias), gate)
    return graph.add("ReduceSum", weighed, graph.constant([0], np.int64), keepdims=0)


def largest_error(content: bytes, cmg: _C.Cmg, rows: int = 512, seed: int = 0) -> float:
    """The largest difference from the C++ core at random frames and commands, in deviations."""
    statistics = cmg.statistics
    random = np.random.default_rng(seed)
    mean, deviation = np.float32(statistics.mean), np.float32(statistics.deviation)
    features = mean + deviation * random.standard_normal((rows, len(mean)), np.float32)
    low, high = np.float32(statistics.command_low), np.float32(statistics.command_high)
    commands = random.uniform(low, high, (rows, 3)).astype(np.float32)
    normalised = (features - mean) * np.float32(statistics.feature_factor)
    scale, offset = normalise_command({"command_low": low, "command_high": high})
    seen = np.float32(calibrated(np.float64(statistics.calibration), np.float64(commands)))
    conditions = torch.from_numpy(seen * scale + offset)
    expected = cmg.predict(torch.from_numpy(normalised), conditions).numpy() * deviation + mean
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    (made,) = session.run(None, {"features": features, "command": commands})
    return float(np.abs((made - expected) / deviation).max())


def _part(state: Tensors, prefix: str) -> dict[str, Array]:
    """The tensors whose names begin with `prefix`, without it."""
    return {n.removeprefix(prefix): value for n, value in state.items() if n.startswith(prefix)}


def _metadata(statistics: Tensors, joint_names: Sequence[str]) -> dict[str, str]:
    """What a reader must know: strings, of which all but the version are JSON."""
    n = len(joint_names)
    widths = {"q": n, "qd": n}
    if len(statistics["mean"]) > 2 * n:  # the profile "full"
        widths |= {"height": 1, "gravity": 3, "lin_vel": 3, "ang_vel": 3, "contact": 2}
    return {
        "version": str(FORMAT_VERSION),
        "fps": "50",
        "joint_names": json.dumps(list(joint_names)),
        "feature_widths": json.dumps(widths),
        "command_names": json.dumps(["vx", "vy", "wz"]),
        "statistics": json.dumps({name: value.tolist() for name, value in statistics.items()}),
    }
