"""Strict configuration: C++ defaults, then YAML files, then `section.key=value`, then flags."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from . import _C
from .fields import Section, apply, nest, to_dict
from .paths import config_folder, find_config, find_robot
from .schema import SCHEMAS
from .strict_yaml import dump_yaml, parse_yaml, read_yaml


def load_config(
    kind: str,
    file: str | None = None,
    overrides: Sequence[str] = (),
    flags: Mapping[str, object] | None = None,
) -> Section:
    """The configuration of a training: `kind` is "teacher", "student" or "cmg".

    `file` (default: the shipped file of that kind) may name another one to start from with the key
    `base`. `overrides` are "section.key=value" texts, `flags` full keys with values; the latter
    win. ValueError names the key, the value and what is valid.
    """
    root = SCHEMAS[kind]()
    for path, layer in _layers(find_config(file) if file else config_folder() / f"{kind}.yaml"):
        _apply_layer(root, layer, str(path))
    for text in overrides:
        apply(root, nest(*parse_override(text)))
    for key, value in (flags or {}).items():
        apply(root, nest(key, value))
    _make_paths_absolute(root)
    return root


def config_from_dict(kind: str, values: object, source: str) -> Section:
    """The configuration that was saved with a run; `source` is named in errors."""
    root = SCHEMAS[kind]()
    _apply_layer(root, values, source)
    return root


def resolved(config: Section) -> str:
    """The complete configuration as YAML."""
    return dump_yaml(to_dict(config))


def parse_override(text: str) -> tuple[str, Any]:
    """("section.key", value) of the text "section.key=value"."""
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise ValueError(
            f"{text!r} is not a setting; write section.key=value, such as train.envs=256"
        )
    return key, parse_yaml(value, f"the value of {key}")


def load_robot(name: str) -> _C.Robot:
    """The robot of a shipped name or of a YAML file."""
    return _C.Robot(robot_settings(name))


def robot_settings(name: str) -> _C.RobotSettings:
    """What a robot file says; its model file is found beside it."""
    path = find_robot(name)
    values = read_yaml(path)
    if not isinstance(values, dict):
        raise ValueError(f"{path}: a robot file must be a mapping, not {values!r}")
    settings = _C.RobotSettings()
    values |= _mirror(path, values.pop("mirror", {}))
    if isinstance(values.get("mjcf"), str):
        values["mjcf"] = str(path.parent / values["mjcf"])
    _apply_layer(settings, values, str(path))
    return settings


def _layers(path: Path, seen: tuple[Path, ...] = ()) -> list[tuple[Path, object]]:
    """The file and those it is based on, the most basic first."""
    if path in seen:
        raise ValueError(f"{path}: the file is based on itself")
    values = read_yaml(path)
    if values is None:  # an empty file changes nothing
        return []
    if not isinstance(values, dict) or "base" not in values:
        return [(path, values)]
    base = values.pop("base")
    if not isinstance(base, str):
        raise ValueError(f"{path}: base must be the name of a YAML file, not {base!r}")
    beside = path.parent / base
    base_path = beside.resolve() if beside.is_file() else find_config(base)
    return [*_layers(base_path, (*seen, path)), (path, values)]


def _apply_layer(root: Any, values: object, source: str) -> None:
    try:
        apply(root, values)
    except ValueError as error:
        raise ValueError(f"{source}: {error}") from error


def _make_paths_absolute(root: Section) -> None:
    """Makes the saved configuration mean the same in every working folder."""
    motion = root.reference if hasattr(root, "reference") else root.data
    motion.clips = [str(Path(clip).expanduser().resolve()) for clip in motion.clips]
    if hasattr(motion, "cmg") and motion.cmg != "shipped":
        motion.cmg = str(Path(motion.cmg).expanduser().resolve())
    for name in ("start", "teacher"):
        if getattr(root.train, name, "") not in ("", "teacher", "student"):
            path = Path(getattr(root.train, name)).expanduser().resolve()
            setattr(root.train, name, str(path))
    if Path(root.robot).is_file():
        root.robot = str(Path(root.robot).resolve())


def _mirror(path: Path, mirror: object) -> dict[str, Any]:
    """`mirror: {swap: [[left, right], ...], negate: [...]}` as the fields of RobotSettings."""
    valid = {"swap", "negate"}
    if not isinstance(mirror, dict) or not set(mirror) <= valid:
        raise ValueError(f"{path}: mirror must have the keys swap and negate, not {mirror!r}")
    swap = mirror.get("swap", [])
    pairs = list(swap.items()) if isinstance(swap, dict) else swap
    if not isinstance(pairs, list) or any(not _is_pair(pair) for pair in pairs):
        raise ValueError(f"{path}: mirror.swap must be a list of [left, right] pairs, not {swap!r}")
    return {
        "mirror_left": [left for left, _ in pairs],
        "mirror_right": [right for _, right in pairs],
        "mirror_negate": mirror.get("negate", []),
    }


def _is_pair(value: object) -> bool:
    return isinstance(value, list | tuple) and len(value) == 2
