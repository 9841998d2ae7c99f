"""What must fit together in a configuration, beyond the type and range of each value."""

import torch

from . import _C
from .fields import Section, SettingsLike
from .locomotion import FRAMES_PER_S


def check_policy(config: Section, kind: str) -> None:
    """ValueError if the settings of a teacher or student do not fit each other."""
    if config.env.observe.kind != kind:
        raise ValueError(f"env.observe.kind of a {kind} is {kind}, not {config.env.observe.kind}")
    check_commands(config.commands)
    check_randomise(config.env.randomise)
    check_stages(config)
    check_evaluation(config.evaluation)


def check_commands(commands: _C.CommandSettings) -> None:
    """ValueError naming the first range of the commands that is none."""
    _check_ranges("commands", commands, "vx", "vy", "wz", "hold_s")


def check_randomise(settings: _C.RandomiseSettings) -> None:
    """ValueError naming the first range of the randomisation that is none."""
    factors = ("friction", "mass", "payload", "strength", "gains")
    _check_ranges("env.randomise", settings, *factors, "delay", "push_every_s")


def _check_ranges(section: str, settings: SettingsLike, *names: str) -> None:
    for name in names:
        given = list(getattr(settings, name))
        if len(given) != 2 or given[0] > given[1]:
            raise ValueError(f"{section}.{name} must be two ascending numbers, not {given}")


def check_stages(config: Section) -> None:
    """ValueError unless every stage is a preset that can be walked, and has its turn."""
    reference = config.reference
    for index, stage in enumerate(reference.stages):
        try:
            _C.stage_commands(config.commands, stage)
        except ValueError as error:
            raise ValueError(f"reference.stages[{index}]: {error}") from error
    if not reference.stages:
        return
    if not makes_generations(config):
        raise ValueError(
            f"reference.stages {reference.stages} need motion that is made again, by "
            f"reference.source gait or cmg_pool, not {reference.source}"
        )
    if reference.refresh == 0:
        raise ValueError(
            f"reference.stages {reference.stages} need reference.refresh, the iterations of each "
            "stage; it is 0: never"
        )


def makes_generations(config: Section) -> bool:
    """Whether `reference.refresh` has a meaning."""
    return config.reference.source in ("gait", "cmg_pool")


def check_evaluation(settings: _C.EvaluationSettings) -> None:
    """ValueError if the grid is empty, nothing is measured, or the control rate is not 50 Hz."""
    for name in ("vx", "vy", "wz"):
        if not getattr(settings, name):
            raise ValueError(f"evaluation.{name} must name a velocity at least, not []")
    if settings.settle_s >= settings.seconds:
        raise ValueError(
            "errors count from evaluation.settle_s on, so it must be less than evaluation.seconds "
            f"({settings.seconds:g} s), not {settings.settle_s:g} s"
        )
    period = settings.timestep * settings.decimation
    if abs(period * FRAMES_PER_S - 1) > 1e-6:
        raise ValueError(
            f"evaluation.timestep * evaluation.decimation must be {1 / FRAMES_PER_S:g} s, "
            f"not {settings.timestep:g} * {settings.decimation}"
        )


def check_device(device: str) -> None:
    """ValueError if the networks cannot learn there."""
    if device == "cuda" and not torch.cuda.is_available():
        raise ValueError("train.device is cuda, but PyTorch finds no such GPU here; cpu is valid")
