"""A policy's network as ONNX and as TorchScript; its weights as plain arrays.

The layers are those of cpp/learn/policy.h and encoder.h: the normalised history goes through the
encoder, the perceptron reads it beside the present. Input `observation` (batch, width), raw; output
`output` (batch, actions + estimates).
"""

import io
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from . import _C
from .fields import Section
from .onnx_graph import Graph

CLIP = 5.0  # of normalised observations
_STRIDES = {1: [], 10: [2, 1], 20: [2, 2], 50: [4, 1, 1]}  # of the convolutions, by frames
_NORMALISER = ("normaliser.shift", "normaliser.scale")

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class PolicyNet:
    """The weights of an actor, and how its observation is built."""

    tensors: dict[str, Floats]
    width: int
    frames: int  # of history, at the end of an observation
    remembered: int  # numbers of each

    @classmethod
    def of_state(cls, state: Mapping[str, Any], robot: _C.Robot, observe: Section) -> "PolicyNet":
        """The actor of a checkpoint's policy ("policy.*")."""
        layout = _C.observation_layout(robot, observe)
        mean, variance = (state[f"policy.normaliser.{n}"].double() for n in ("mean", "variance"))
        values = (mean, (variance + 1e-4).rsqrt())
        tensors = {n: v.float().numpy() for n, v in zip(_NORMALISER, values, strict=True)}
        for name, value in state.items():
            name = name.removeprefix("policy.")
            if name.startswith(("encoder.", "actor.")):
                tensors[name] = value.float().numpy()
        return cls(tensors, layout["width"], layout["frames"], layout["remembered"])

    def state(self) -> dict[str, Tensor]:
        """Back to the tensors of a checkpoint's policy."""
        state = {
            f"policy.{name}": torch.from_numpy(value.copy())
            for name, value in self.tensors.items()
            if name not in _NORMALISER
        }
        shift, scale = (torch.from_numpy(self.tensors[n]).double() for n in _NORMALISER)
        state["policy.normaliser.mean"] = shift
        state["policy.normaliser.variance"] = scale**-2 - 1e-4
        return state

    @property
    def present(self) -> int:
        """Numbers before the history."""
        return self.width - self.frames * self.remembered

    @property
    def encoder(self) -> str:
        """What reads the history."""
        if "encoder.latent.weight" in self.tensors:
            return "conv"
        return "gru" if "encoder.hidden.weight" in self.tensors else "flat"

    @property
    def strides(self) -> list[int]:
        """Of the convolutions."""
        return _STRIDES[self.frames] if self.encoder == "conv" else []

    @property
    def layers(self) -> int:
        """Of the perceptron."""
        return sum(name.startswith("actor.") for name in self.tensors) // 2

    def layer(self, name: str) -> tuple[Floats, Floats]:
        """Weight and bias."""
        return self.tensors[f"{name}.weight"], self.tensors[f"{name}.bias"]


# ---- ONNX


def to_onnx(net: PolicyNet, outputs: int, metadata: Mapping[str, str]) -> bytes:
    """A checked ONNX file."""
    graph = Graph()
    shift, scale = (graph.constant(net.tensors[name]) for name in _NORMALISER)
    x = graph.add("Mul", graph.add("Sub", "observation", shift), scale)
    x = graph.add("Clip", x, graph.constant(-CLIP), graph.constant(CLIP))
    if net.encoder != "flat":
        bounds = ([0], [net.present], [net.width], [1])
        zero, present, end, axis = (graph.constant(value, np.int64) for value in bounds)
        history = graph.add("Slice", x, present, end, axis)
        shape = graph.constant([-1, net.frames, net.remembered], np.int64)
        history = graph.add("Reshape", history, shape)
        latent = (_convolve if net.encoder == "conv" else _recur)(graph, net, history)
        x = graph.add("Concat", graph.add("Slice", x, zero, present, axis), latent, axis=1)
    for layer in range(net.layers):
        last = layer + 1 == net.layers
        x = _gemm(graph, net, f"actor.{layer}", x, "output" if last else "")
        x = x if last else graph.add("Elu", x)
    return graph.model("policy", {"observation": net.width}, {"output": outputs}, metadata)


def _gemm(graph: Graph, net: PolicyNet, name: str, x: str, output: str = "") -> str:
    weight, bias = (graph.constant(value) for value in net.layer(name))
    return graph.add("Gemm", x, weight, bias, output=output, transB=1)


def _convolve(graph: Graph, net: PolicyNet, history: str) -> str:
    weight, bias = net.layer("encoder.frame")
    x = graph.add("MatMul", history, graph.constant(weight.T))
    x = graph.add("Elu", graph.add("Add", x, graph.constant(bias)))
    x = graph.add("Transpose", x, perm=[0, 2, 1])
    for index, stride in enumerate(net.strides):
        weights = (graph.constant(value) for value in net.layer(f"encoder.conv.{index}"))
        x = graph.add("Elu", graph.add("Conv", x, *weights, strides=[stride]))
    return _gemm(graph, net, "encoder.latent", graph.add("Flatten", x, axis=1))


def _recur(graph: Graph, net: PolicyNet, history: str) -> str:
    (inner, inner_bias), (outer, outer_bias) = (
        net.layer("encoder.input"),
        net.layer("encoder.hidden"),
    )
    latent = outer.shape[1]

    def gates(rows: Floats) -> Floats:
        """PyTorch has the gates in the order reset, update, new; ONNX update, reset, new."""
        reset, update, new = np.split(rows, 3)
        return np.concatenate([update, reset, new])

    bias = np.concatenate([gates(inner_bias), gates(outer_bias)])
    values = (gates(inner)[None], gates(outer)[None], bias[None])
    x = graph.add("Transpose", history, perm=[1, 0, 2])  # time comes first
    weights = (graph.constant(value) for value in values)
    graph.add("GRU", x, *weights, output="all_states", hidden_size=latent, linear_before_reset=1)
    last = graph.add("Gather", "all_states", graph.constant(net.frames - 1, np.int64), axis=0)
    return graph.add("Squeeze", last, graph.constant([0], np.int64))


# ---- TorchScript


def to_torchscript(net: PolicyNet) -> bytes:
    """The network as a file for torch.jit.load, in C++ or Python."""
    module, buffer = PolicyModule(net).eval(), io.BytesIO()
    with warnings.catch_warnings():  # PyTorch wants people to move on; robots have what they have
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.save(torch.jit.trace(module, torch.zeros(3, net.width)), buffer)
    return buffer.getvalue()


class PolicyModule(nn.Module):
    """The network in PyTorch's own layers."""

    def __init__(self, net: PolicyNet) -> None:
        super().__init__()
        self.present, self.frames, self.remembered = net.present, net.frames, net.remembered
        for name in _NORMALISER:
            self.register_buffer(name.split(".")[1], torch.from_numpy(net.tensors[name].copy()))
        encoders = {"flat": lambda _: nn.Flatten(), "conv": _conv_of, "gru": _Recurrent}
        self.encoder = encoders[net.encoder](net)
        self.actor = nn.ModuleList(_linear_of(net, f"actor.{i}") for i in range(net.layers))

    def forward(self, observation: Tensor) -> Tensor:
        """(batch, width) -> (batch, outputs)."""
        x = ((observation - self.shift) * self.scale).clamp(-CLIP, CLIP)
        if self.frames:
            history = x[:, self.present :].reshape(-1, self.frames, self.remembered)
            x = torch.cat([x[:, : self.present], self.encoder(history)], 1)
        for layer in self.actor[:-1]:
            x = functional.elu(layer(x))
        return self.actor[-1](x)


def _linear_of(net: PolicyNet, name: str) -> nn.Linear:
    weight, _ = net.layer(name)
    return _filled(nn.Linear(weight.shape[1], weight.shape[0]), net, name)


def _filled(layer: Any, net: PolicyNet, name: str) -> Any:
    weight, bias = (torch.from_numpy(value.copy()) for value in net.layer(name))
    layer.weight.data, layer.bias.data = weight, bias
    return layer


def _conv_of(net: PolicyNet) -> nn.Sequential:
    layers: list[nn.Module] = [_linear_of(net, "encoder.frame"), nn.ELU(), _Transposed()]
    for index, stride in enumerate(net.strides):
        name = f"encoder.conv.{index}"
        size = net.layer(name)[0].shape
        conv = nn.Conv1d(size[1], size[0], size[2], stride=stride)
        layers += [_filled(conv, net, name), nn.ELU()]
    return nn.Sequential(*layers, nn.Flatten(), _linear_of(net, "encoder.latent"))


class _Transposed(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        """Frames of channels to channels of frames."""
        return x.transpose(1, 2)


class _Recurrent(nn.Module):
    """The state of a gated recurrent unit after the last frame."""

    def __init__(self, net: PolicyNet) -> None:
        super().__init__()
        self.inner, self.outer = (_linear_of(net, f"encoder.{n}") for n in ("input", "hidden"))

    def forward(self, x: Tensor) -> Tensor:
        """(batch, frames, numbers) -> (batch, latent)."""
        state = x[:, 0, :1] * torch.zeros(1, self.outer.in_features)
        for inputs in self.inner(x).unbind(1):
            (reset, keep, new), (old_reset, old_keep, old_new) = (
                gates.chunk(3, 1) for gates in (inputs, self.outer(state))
            )
            fresh = torch.tanh(new + torch.sigmoid(reset + old_reset) * old_new)
            state = fresh + torch.sigmoid(keep + old_keep) * (state - fresh)
        return state
