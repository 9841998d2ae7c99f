"""Measures the motion generator beside plain PyTorch and bare matrix products, in one run."""

import itertools
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from torch.nn import functional

from . import _C
from .config import load_robot
from .references import find_cmg, load_cmg

JOINTS_FEATURES, COMMANDS, HIDDEN, EXPERTS = 58, 3, 512, 4
WIDTHS = (JOINTS_FEATURES + COMMANDS, HIDDEN, HIDDEN, JOINTS_FEATURES)
ENVS = 4096
ROUNDS = 3
CHUNK = 64  # rows of the original form: larger ones are slower still
Rates = dict[str, float]


def headline(envs: int = ENVS) -> dict[str, Any]:
    """Frames/s of every form on one thread, interleaved; medians of three rounds, and ratios."""
    plain, model = PlainNetwork(), seed_sized_cmg()
    forms: dict[str, Callable[[], tuple[int, float]]] = {
        "ours": lambda: _ours(model, envs, "float32"),
        "bf16": lambda: _ours(model, envs, "bfloat16"),
        "original_form": lambda: _plain(plain, plain.original, CHUNK, 2, "highest"),
        "torch": lambda: _plain(plain, plain.stacked, envs, 4, "highest"),
        "products": lambda: _products(envs),
        "ours_batch1": lambda: _ours(model, 1, "float32"),
        "original_batch1": lambda: _plain(plain, plain.original, 1, 100, "highest"),
        "torch_batch1": lambda: _plain(plain, plain.stacked, 1, 300, "highest"),
    }
    rates: dict[str, list[float]] = {name: [] for name in forms}
    for measure in forms.values():  # warm up
        measure()
    for _ in range(ROUNDS):
        for name, measure in forms.items():
            frames, seconds = measure()
            rates[name].append(frames / seconds)
    median = {name: statistics.median(values) for name, values in rates.items()}
    answer: dict[str, Any] = {f"{name}_frames_per_s": rate for name, rate in median.items()}
    ours, single = median["ours"], median["ours_batch1"]
    answer |= {
        "envs": envs,
        "threads": 1,
        "backend": _C.choose_matmul_backend(),
        "ratio_original_form": ours / median["original_form"],
        "ratio_torch": ours / median["torch"],
        "ratio_products": ours / median["products"],
        "ratio_bf16": median["bf16"] / ours,
        "batch1_us": 1e6 / single,
        "ratio_batch1_original": single / median["original_batch1"],
        "bf16_drift": _bf16_drift(),
    }
    return answer


def seed_sized_cmg() -> _C.Cmg:
    """A network of the seed's size with random weights, whose motion stays bounded."""
    robot, random = load_robot("g1_29dof"), torch.Generator().manual_seed(1)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=random) / shape[-2] ** 0.5

    state = {"network.carry": torch.zeros(1)}
    state |= {"network.gate.0.weight": normal(WIDTHS[0], HIDDEN)}
    state |= {"network.gate.2.weight": normal(HIDDEN, EXPERTS)}
    state |= {"network.gate.0.bias": torch.zeros(HIDDEN)}
    state |= {"network.gate.2.bias": torch.zeros(EXPERTS)}
    for layer, (inputs, outputs) in enumerate(itertools.pairwise(WIDTHS)):
        state[f"network.layers.{layer}.weight"] = normal(EXPERTS, inputs, outputs)
        state[f"network.layers.{layer}.bias"] = torch.zeros(EXPERTS, outputs)
    for name, value in (("mean", 0), ("deviation", 0.1), ("active", 1), ("start", 0)):
        state[f"statistics.{name}"] = torch.full((JOINTS_FEATURES,), float(value))
    state["statistics.lower"] = torch.tensor(robot.lower).float()
    state["statistics.upper"] = torch.tensor(robot.upper).float()
    for name, value in (("low", -1), ("high", 1), ("rate", 1)):
        state[f"statistics.command_{name}"] = torch.full((3,), float(value))
    state["statistics.calibration"] = torch.zeros(36)
    return _C.Cmg.from_state(state)


class PlainNetwork(torch.nn.Module):
    """The same network as one writes it in PyTorch: two ways to blend the experts."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = torch.nn.Sequential(
            torch.nn.Linear(WIDTHS[0], HIDDEN),
            torch.nn.ELU(),
            torch.nn.Linear(HIDDEN, EXPERTS),
            torch.nn.Softmax(dim=1),
        )
        pairs = list(itertools.pairwise(WIDTHS))
        self.experts = [torch.randn(EXPERTS, i, o) / i**0.5 for i, o in pairs]
        self.biases = [torch.zeros(EXPERTS, o) for _, o in pairs]
        self.together = [w.transpose(0, 1).reshape(w.shape[1], -1) for w in self.experts]

    def original(self, x: torch.Tensor) -> torch.Tensor:
        """Blends the experts' parameters for every row, as the original does."""
        gate = self.gate(x)
        for layer, (weight, bias) in enumerate(zip(self.experts, self.biases, strict=True)):
            blended = (gate[:, :, None, None] * weight[None]).sum(dim=1)
            x = torch.bmm(x[:, None], blended)[:, 0] + gate @ bias
            x = functional.elu(x) if layer < 2 else x
        return x

    def stacked(self, x: torch.Tensor) -> torch.Tensor:
        """All experts in one product a layer, outputs blended: the fastest plain form."""
        gate = self.gate(x)
        for layer, (weight, bias) in enumerate(zip(self.together, self.biases, strict=True)):
            each = (x @ weight).view(len(x), EXPERTS, -1)
            x = (each * gate[:, :, None]).sum(dim=1) + gate @ bias
            x = functional.elu(x) if layer < 2 else x
        return x


def _plain(
    network: torch.nn.Module, forward: Callable[..., torch.Tensor], rows: int, steps: int, how: str
) -> tuple[int, float]:
    """Free running in PyTorch with its default back end: frames and seconds."""
    torch.set_float32_matmul_precision(how)
    command = torch.zeros(rows, COMMANDS)
    state = torch.zeros(rows, JOINTS_FEATURES)
    start = time.perf_counter()
    with torch.inference_mode():
        for _ in range(steps):
            state = forward(torch.cat([state, command], dim=1))
    return rows * steps, time.perf_counter() - start


def _products(rows: int) -> tuple[int, float]:
    """The bare products of one frame, each on whichever float32 back end does it faster."""
    shapes = [(WIDTHS[0], HIDDEN), (HIDDEN, EXPERTS)]
    shapes += [(i, EXPERTS * o) for i, o in itertools.pairwise(WIDTHS)]
    seconds = 0.0
    for inputs, outputs in shapes:
        left, right = torch.randn(rows, inputs), torch.randn(inputs, outputs)
        out = torch.empty(rows, outputs)
        times = []
        for precision in ("highest", "medium"):
            torch.set_float32_matmul_precision(precision)
            torch.mm(left, right, out=out)
            for _ in range(3):
                start = time.perf_counter()
                torch.mm(left, right, out=out)
                times.append(time.perf_counter() - start)
        seconds += min(times)
    return rows, seconds


def _ours(model: _C.Cmg, envs: int, dtype: str) -> tuple[int, float]:
    """The generator itself: 99 frames (1000 for one environment) into the rings."""
    _C.choose_matmul_backend()
    frames = 99 if envs > 1 else 1000
    generator = make_generator(model, "pregenerated", envs, frames, 1, dtype)
    start = time.perf_counter()
    generator.reset()
    return envs * frames, time.perf_counter() - start


def make_generator(
    model: _C.Cmg, mode: str, envs: int, frames: int, threads: int, dtype: str = "float32"
) -> _C.CmgMotionGenerator:
    settings = _C.CmgMotionSettings()
    settings.mode, settings.num_envs = mode, envs
    settings.buffer_size = settings.preload_duration = frames
    return _C.CmgMotionGenerator(model, settings, _C.Workers(threads), dtype)


def _bf16_drift() -> Rates:
    """How far the shipped CMG in bfloat16 is from float32 after some frames: mean, in rad."""
    model = load_cmg(find_cmg("shipped"), load_robot("g1_29dof"))
    motion = {}
    for dtype in ("float32", "bfloat16"):
        generator = make_generator(model, "realtime", 64, 100, 1, dtype)
        generator.update_commands(torch.linspace(0.2, 1, 64)[:, None] * torch.tensor([1.0, 0, 0]))
        motion[dtype] = torch.stack([generator.get_motion()[0].clone() for _ in range(501)])
    error = (motion["bfloat16"] - motion["float32"]).abs().mean(dim=(1, 2))
    return {f"after_{frames}": error[frames].item() for frames in (1, 50, 500)}
