"""Commands called in this process, and settings so small that a training takes seconds."""

import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from twist_cmg import train
from twist_cmg.cli import run_command

TINY = [
    "reference.source=gait",
    "reference.streams=4",
    "reference.frames=200",
    "ppo.network.actor=[16]",
    "ppo.network.critic=[16]",
    "train.envs=16",
    "train.iterations=1",
    "train.threads=2",
    "train.film=false",
    "train.evaluate_every=0",
    "evaluation.episodes=1",
    "evaluation.seconds=4",
    "evaluation.vx=[0.5]",
    "evaluation.vy=[0]",
    "evaluation.wz=[0, 0.8]",
]

Main = Callable[[Sequence[str]], int]


def call(main: Main, *arguments: str) -> int:
    """The exit code of a command (argparse leaves by SystemExit)."""
    try:
        return run_command(main, arguments)
    except SystemExit as leave:
        return int(leave.code or 0)


def answer(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """The last line on standard output."""
    return json.loads(capsys.readouterr().out.splitlines()[-1])


def complaint(capsys: pytest.CaptureFixture[str]) -> str:
    """What a command said on standard error, without a traceback: the last line."""
    lines = capsys.readouterr().err.splitlines()
    assert not any("Traceback" in line for line in lines)
    assert lines[-1].startswith("error: ")
    return lines[-1]


def train_tiny(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    """The JSON line of a training that must succeed."""
    assert call(train.main, "teacher", *arguments, "--json") == 0
    return answer(capsys)
