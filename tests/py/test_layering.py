"""Includes under cpp/ point one way: base, motion, env, learn, serve (DESIGN, the rooms)."""

import re
from pathlib import Path

import pytest

CPP = Path(__file__).parents[2] / "cpp"
ROOMS = ["base", "motion", "env", "learn", "serve"]
SOURCES = sorted(p for p in CPP.rglob("*") if p.suffix in {".h", ".cpp"})
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', re.MULTILINE)
TORCH = re.compile(r"^(torch|ATen|c10|caffe2)/")
PYTHON = re.compile(r"^(pybind11/|Python\.h|torch/extension\.h|torch/csrc/utils/pybind\.h)")


def includes(path):
    return INCLUDE.findall(path.read_text())


def room(path):
    """Room of a path relative to cpp/; None for the bindings at the top."""
    first = Path(path).parts[0]
    return first if first in ROOMS else None


def may_use_torch(path):
    """LibTorch is for learn/ and the generator network in motion/; a robot does without."""
    name = Path(path).name
    if room(path) == "motion":
        return name.startswith(("cmg", "optim"))
    return room(path) in {None, "learn"}


def faults(path, lines):
    """What is wrong with the includes `lines` of the file at `path`, relative to cpp/."""
    here, found = room(path), []
    bindings = here is None and Path(path).name.startswith("bindings")
    for quote, target in lines:
        there = room(target) if quote == '"' else None
        if quote == '"' and here and there is None and target != "twist_versions.h":
            found.append(f"{target} is in no room")
        if here and there and ROOMS.index(there) > ROOMS.index(here):
            found.append(f"{here} must not include {target}")
        # a room may use the network's headers only where it may use LibTorch itself
        if there and may_use_torch(target) and not may_use_torch(path):
            found.append(f"{target} brings LibTorch")
        if TORCH.match(target) and not may_use_torch(path):
            found.append(f"{target} is LibTorch")
        if PYTHON.match(target) and not bindings:
            found.append(f"{target} is Python")
    return found


@pytest.mark.parametrize("path", [pytest.param(p, id=str(p.relative_to(CPP))) for p in SOURCES])
def test_includes(path):
    assert faults(path.relative_to(CPP), includes(path)) == []


def test_every_source_has_a_room():
    assert SOURCES, "no sources under cpp/"
    for path in SOURCES:
        name = path.relative_to(CPP)
        assert room(name) or name.name.startswith("bindings"), f"{name} is in no room"


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("base/robot.h", '#include "env/env.h"'),
        ("motion/gait.cpp", "#include <torch/torch.h>"),
        ("motion/gait.cpp", '#include "motion/cmg.h"'),
        ("env/env.cpp", "  #  include <ATen/ATen.h>"),
        ("env/env.h", '#include "motion/cmg_generator.h"'),
        ("motion/reference.h", '#include "learn/ppo.h"'),
        ("learn/ppo.cpp", "#include <pybind11/pybind11.h>"),
        ("learn/ppo.cpp", "#include <torch/csrc/utils/pybind.h>"),
        ("learn/ppo.cpp", '#include "serve/bundle.h"'),
        ("env/env.cpp", '#include "env.h"'),
        ("serve/controller.cpp", '#include "learn/policy.h"'),
        ("serve/network.cpp", "#include <torch/torch.h>"),
    ],
)
def test_the_rules_can_fail(path, line):
    assert faults(Path(path), INCLUDE.findall(line)) != []


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("base/robot.h", "#include <mujoco/mujoco.h>"),
        ("motion/cmg.cpp", "#include <torch/torch.h>"),
        ("env/env.cpp", '#include "motion/reference.h"'),
        ("learn/ppo.cpp", '#include "env/env.h"'),
        ("serve/controller.cpp", '#include "env/observation.h"'),
        ("bindings.cpp", "#include <torch/csrc/utils/pybind.h>"),
        ("bindings.cpp", '#include "serve/controller.h"'),
        ("bindings.cpp", '#include "twist_versions.h"'),
    ],
)
def test_the_rules_allow_what_they_should(path, line):
    assert faults(Path(path), INCLUDE.findall(line)) == []
