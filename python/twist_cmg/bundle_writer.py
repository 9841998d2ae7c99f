"""Writes policy bundles (bundle.py reads them) and proves that all forms answer alike."""

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from . import _C
from .bundle import CONTRACT, FORMAT, GOLDEN, ONNX, SCRIPT, TOLERANCE, WEIGHTS, Bundle, Floats
from .checkpoints import load_checkpoint, policy_hash
from .config import load_robot, resolved
from .evaluation import Policy
from .locomotion import FRAMES_PER_S
from .model_card import model_card
from .paths import shipped
from .policy_forms import PolicyNet, to_onnx, to_torchscript
from .references import CMG_COPY, kept_sources, needs_cmg

CONFIG, CARD = "config.yaml", "README.md"
_GOLDEN, _TRIED = 16, 512  # observations that are kept, and that are compared

Parity = dict[str, float]  # form -> largest difference from the training's network


def write_bundle(policy: Policy, out: Path) -> Parity:
    """Makes the folder `out`; RuntimeError, and nothing is written, if the forms differ."""
    robot = load_robot(policy.config.robot)
    observe = policy.config.env.observe
    net = PolicyNet.of_state(policy.checkpoint.policy, robot, observe)
    observations = _observations(net)
    network = _C.Policy(dict(policy.checkpoint.policy), robot, observe)
    answers = network.act(observations)
    aside = out.with_name(f".{out.name}.{os.getpid()}.tmp")
    aside.mkdir(parents=True)
    try:
        _write(aside, policy, robot, net, observations[:_GOLDEN], answers[:_GOLDEN])
        parity = _parity(aside, observations, answers)
        worst = max(parity, key=lambda form: parity[form])
        if not parity[worst] <= TOLERANCE:
            raise RuntimeError(
                f"the policy as {worst} differs from the training's network by {parity[worst]:.1e},"
                f" more than {TOLERANCE:g}; nothing was written"
            )
        if out.exists():
            shutil.rmtree(out)
        aside.rename(out)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return parity


def _observations(net: PolicyNet) -> Floats:
    """What a policy sees in training, roughly, and sometimes far more."""
    random = np.random.default_rng(0)
    noise = random.standard_normal((_TRIED, net.width), np.float32)
    noise *= random.choice(np.float32([0.3, 1, 4]), (_TRIED, 1))
    return net.tensors["normaliser.shift"] + noise / net.tensors["normaliser.scale"]


def _write(
    folder: Path,
    policy: Policy,
    robot: _C.Robot,
    net: PolicyNet,
    observations: Floats,
    answers: Floats,
) -> None:
    contract = _contract(policy, robot, net)
    kinds = ("robot", "observation", "output", "action_base")
    metadata = {"format": str(FORMAT), **{name: json.dumps(contract[name]) for name in kinds}}
    flat = np.concatenate([tensor.ravel() for tensor in net.tensors.values()])
    content = {
        ONNX: to_onnx(net, answers.shape[1], metadata),
        SCRIPT: to_torchscript(net),
        WEIGHTS: flat.astype("<f4").tobytes(),
        GOLDEN: np.concatenate([observations, answers], 1).astype("<f4").tobytes(),
        CONFIG: resolved(policy.config).encode(),
    }
    content |= _own_cmg(policy)
    for name, data in content.items():
        (folder / name).write_bytes(data)
    contract["files"] = {
        name: {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        for name, data in content.items()
    }
    (folder / CONTRACT).write_text(json.dumps(contract, indent=1) + "\n")
    (folder / CARD).write_text(model_card(policy, contract))


def _contract(policy: Policy, robot: _C.Robot, net: PolicyNet) -> dict[str, Any]:
    """Everything a program must agree with before it lets the policy move a robot."""
    env = policy.config.env
    layout = _C.observation_layout(robot, env.observe)
    blocks, begin = [], 0
    for block in layout["blocks"]:
        blocks.append({"begin": begin, **block})
        begin += block["width"]
    joints = list(robot.joint_names)
    per_joint = ("kp", "kd", "effort", "lower", "upper")
    return {
        "format": FORMAT,
        "kind": policy.checkpoint.kind,
        "iteration": policy.checkpoint.iteration,
        "weights_hash": policy_hash(policy.checkpoint.policy),
        "robot": {
            "name": robot.name,
            "joints": joints,
            **{name: list(getattr(robot, name)) for name in per_joint},
            "default_pose": list(robot.default_pose),
        },
        "rate_hz": FRAMES_PER_S,
        "observation": {
            "width": layout["width"],
            "blocks": blocks,
            "history": {
                "begin": begin,
                "frames": layout["frames"],
                "width": layout["remembered"],
                "order": "oldest first; a frame is the end of the present, as it was",
            },
            "normaliser": "inside the network: clip((x - shift) * scale, -5, 5)",
            "lookahead": env.lookahead,
        },
        "output": {
            "actions": [joints[index] for index in robot.acted_joints],
            "action_scale": list(robot.action_scale),
            "action_clip": env.action_clip,
            "estimates": layout["estimates"],
        },
        "action_base": {
            "mode": env.action_mode,
            "velocity": env.feed_forward.velocity,
            "torque": env.feed_forward.torque,
            "formula": "q* = q_ref + velocity kd/kp qd_ref + torque tau_ref/kp + scale action",
            "reference": "half-way between this frame and the next",
        },
        "network": {
            "encoder": net.encoder,
            "activation": "elu",
            "strides": net.strides,
            "tensors": [{"name": n, "shape": list(t.shape)} for n, t in net.tensors.items()],
        },
        "golden": {"pairs": _GOLDEN, "tolerance": TOLERANCE},
    }


def _own_cmg(policy: Policy) -> Mapping[str, bytes]:
    """The CMG that the policy follows, if it is not the shipped one."""
    if not needs_cmg(policy.config):
        return {}
    own, usual = kept_sources(policy.folder, policy.config), shipped(CMG_COPY)
    if own is None or (usual.is_file() and _same_cmg(own, usual)):
        return {}
    return {CMG_COPY: own.read_bytes()}


def _same_cmg(one: Path, other: Path) -> bool:
    first, second = (policy_hash(load_checkpoint(file, "cmg").policy) for file in (one, other))
    return first == second


def _parity(folder: Path, observations: Floats, answers: Floats) -> Parity:
    """How far each form is from the network of the training."""
    script = torch.jit.load(str(folder / SCRIPT))
    with torch.no_grad():
        scripted = script(torch.from_numpy(observations)).numpy()
    made = {
        "ONNX": Bundle(folder).act(observations),
        "TorchScript": scripted,
        "weights": _C.Bundle(str(folder)).act(observations),
    }
    return {form: float(np.abs(answer - answers).max()) for form, answer in made.items()}
