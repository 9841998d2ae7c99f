"""Configuration: a wrong key, type or value is an error that names it and what is valid."""

import shutil
from pathlib import Path

import pytest
import yaml

from twist_cmg import _C, load_config, paths, resolved
from twist_cmg.config import load_robot, robot_settings
from twist_cmg.fields import Field, Section, apply, leaves, to_dict
from twist_cmg.schema import SCHEMAS
from twist_cmg.strict_yaml import parse_yaml


def write(path: Path, text: str) -> str:
    path.write_text(text)
    return str(path)


@pytest.fixture
def empty(tmp_path: Path) -> str:
    """A configuration file that changes nothing."""
    return write(tmp_path / "empty.yaml", "")


@pytest.mark.parametrize("kind", ["teacher", "student", "cmg"])
def test_defaults_are_valid_and_survive_yaml(kind: str, empty: str, tmp_path: Path) -> None:
    config = load_config(kind, empty)
    again = load_config(kind, write(tmp_path / "full.yaml", resolved(config)))
    assert to_dict(again) == to_dict(config) == to_dict(SCHEMAS[kind]())


@pytest.mark.parametrize(
    ("kind", "name"),
    [("teacher", "teacher"), ("teacher", "smoke"), ("student", "student"), ("cmg", "cmg")],
)
def test_shipped_files_are_valid(kind: str, name: str) -> None:
    config = load_config(kind, name)
    assert yaml.safe_load(resolved(config)) == to_dict(config)


def test_every_field_is_described(empty: str) -> None:
    types = {"bool", "int", "float", "str", "list[float]", "list[str]", "dict[str,float]"}
    for key, field in leaves(load_config("teacher", empty)):
        assert field.doc and field.type in types, key


def test_layers_win_in_order(tmp_path: Path) -> None:
    write(tmp_path / "low.yaml", "train: {envs: 2, threads: 2, keep: 2}\nreference: {frames: 300}")
    top = write(tmp_path / "top.yaml", "base: low.yaml\ntrain: {threads: 3, keep: 3}")
    config = load_config(
        "teacher", top, ["train.keep=4", "train.iterations=4"], {"train.iterations": 5}
    )
    assert config.reference.frames == 300
    train = config.train
    assert (train.envs, train.threads, train.keep, train.iterations) == (2, 3, 4, 5)


def test_overrides_reach_nested_settings_and_keep_the_rest(empty: str) -> None:
    plain = load_config("teacher", empty)
    config = load_config("teacher", empty, ["env.sim.timestep=5e-3", "commands.vx=[-1, 2]"])
    assert config.env.sim.timestep == 0.005
    assert config.commands.vx == [-1.0, 2.0]
    assert config.env.sim.friction == plain.env.sim.friction


def test_a_reward_weight_changes_alone(empty: str) -> None:
    name, other = _C.reward_names()[:2]
    settings = [f"env.rewards={{{name}: 1, {other}: 2}}", f"env.rewards.{name}=3"]
    rewards = load_config("teacher", empty, settings).env.rewards
    assert (rewards[name], rewards[other]) == (3.0, 2.0)


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("train.env=3", ["'train.env'", "did you mean 'train.envs'?", "iterations, seed, envs"]),
        ("envs=3", ["'envs'", "did you mean 'train.envs'?", "valid keys at the top are robot"]),
        ("env.sim.time_step=3", ["'env.sim.time_step'", "'env.sim.timestep'", "decimation"]),
        ("env.rewards.no_such=1", ["'env.rewards.no_such'", "valid keys in 'env.rewards'"]),
        ("env.final_rewards.no_such=1", ["valid keys in 'env.final_rewards'"]),
        ("train=3", ["train must be a mapping", "not 3"]),
        ("train.envs=1.5", ["train.envs must be a whole number, not 1.5"]),
        ("train.envs=true", ["train.envs must be a whole number, not True"]),
        ("train.envs=", ["train.envs must be a whole number, not None"]),
        ("train.film=1", ["train.film must be true or false, not 1"]),
        ("train.device=3", ["train.device must be a string, not 3"]),
        ("train.device=cdua", ["one of cpu, cuda, not 'cdua'", "did you mean 'cuda'?"]),
        ("train.envs=0", ["train.envs must lie in [1, 1000000], not be 0"]),
        ("env.sim.timestep=0.5", ["env.sim.timestep must lie in [0.0005, 0.02], not be 0.5"]),
        ("env.sim.timestep=.nan", ["env.sim.timestep must lie in", "nan"]),
        ("env.sim.timestep=fast", ["env.sim.timestep must be a number, not 'fast'"]),
        ("env.sim.collision=some", ["one of feet, full, not 'some'"]),
        ("commands.vx=1", ["commands.vx must be a list of numbers, not 1"]),
        ("commands.vx=[0, x]", ["commands.vx[1] must be a number, not 'x'"]),
        ("commands.vx=[0, 99]", ["commands.vx[1] must lie in [-3, 4], not be 99.0"]),
        ("commands.vx=[0", ["the value of commands.vx is not valid YAML"]),
        ("train.envs", ["'train.envs' is not a setting; write section.key=value"]),
    ],
)
def test_a_wrong_setting_is_named(empty: str, override: str, told: list[str]) -> None:
    with pytest.raises(ValueError) as error:
        load_config("teacher", empty, [override])
    for part in told:
        assert part in str(error.value)
    assert "\n" not in str(error.value)


def test_an_unknown_reward_lists_the_rewards(empty: str) -> None:
    with pytest.raises(ValueError) as error:
        load_config("teacher", empty, ["env.rewards.no_such=1"])
    assert all(name in str(error.value) for name in _C.reward_names())


def test_an_error_in_a_file_names_the_file(tmp_path: Path) -> None:
    file = write(tmp_path / "mine.yaml", "train:\n  envs: many\n")
    with pytest.raises(ValueError, match=r"mine\.yaml: train\.envs must be a whole number"):
        load_config("teacher", file)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("train: {envs: 1}\ntrain: {keep: 1}", "the key 'train' is given twice"),
        ("train: [", "is not valid YAML"),
        ("- 1", "must be a mapping"),
        ("base: 3", "base must be the name of a YAML file, not 3"),
        ("base: nowhere.yaml", "there is no configuration 'nowhere.yaml'"),
        ("base: mine.yaml", "is based on itself"),
    ],
)
def test_a_wrong_file_is_refused(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(ValueError) as error:
        load_config("teacher", write(tmp_path / "mine.yaml", text))
    assert told in str(error.value)


def test_an_unknown_file_lists_the_shipped_ones() -> None:
    with pytest.raises(ValueError, match=r"'nowhere'.*cmg, .*teacher"):
        load_config("teacher", "nowhere")


@pytest.mark.parametrize("text", ["1e-3", "1E-3", "+1.e-3", "0.001", "1.0e-3"])
def test_numbers_in_yaml_are_numbers(text: str) -> None:
    assert parse_yaml(text, "test") == 0.001


def test_paths_become_absolute(empty: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    config = load_config("teacher", empty, ["reference.clips=walks", "reference.cmg=mine/cmg.pt"])
    assert config.reference.clips == [str(tmp_path / "walks")]
    assert config.reference.cmg == str(tmp_path / "mine/cmg.pt")


def test_python_sections_are_checked_like_cpp_ones() -> None:
    weights = Field("weights", "dict[str,float]", {"a": 1.0}, "numbers", 0, 1, ("a", "b"))
    section = Section(weights, Field("names", "list[str]", [], "names", single=True))
    apply(section, {"weights": {"b": 1}, "names": "one"})
    assert to_dict(section) == {"weights": {"a": 1.0, "b": 1.0}, "names": ["one"]}
    with pytest.raises(ValueError, match=r"'weights\.c'.*valid keys in 'weights' are a, b"):
        apply(section, {"weights": {"c": 1}})
    with pytest.raises(ValueError, match=r"weights\.a must lie in \[0, 1\]"):
        apply(section, {"weights": {"a": 2}})


@pytest.fixture
def robot_file(tmp_path: Path) -> Path:
    """A copy of the shipped robot that a test may spoil."""
    source = paths.find_robot("g1_29dof")
    for suffix in (".yaml", ".xml"):
        shutil.copy(source.with_suffix(suffix), tmp_path / f"g1_29dof{suffix}")
    return tmp_path / "g1_29dof.yaml"


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_a_robot_file_is_read_by_path(robot_file: Path) -> None:
    assert load_robot(str(robot_file)).joint_names == load_robot("g1_29dof").joint_names
    settings = robot_settings(str(robot_file))
    assert settings.mjcf == str(robot_file.with_suffix(".xml"))
    assert len(settings.mirror_left) == len(settings.mirror_right) == 13


def test_a_missing_joint_is_named(robot_file: Path) -> None:
    edit(robot_file, "left_knee_joint: ", "left_nee_joint: ")
    with pytest.raises(ValueError, match="left_nee_joint"):
        load_robot(str(robot_file))


def test_a_wrong_robot_key_is_named(robot_file: Path) -> None:
    edit(robot_file, "damping_ratio:", "damping:")
    with pytest.raises(ValueError, match=r"g1_29dof\.yaml: unknown configuration key 'damping'"):
        load_robot(str(robot_file))


def test_a_wrong_mirror_is_refused(robot_file: Path) -> None:
    edit(robot_file, "[left_knee_joint, right_knee_joint]", "[left_knee_joint]")
    with pytest.raises(ValueError, match=r"mirror\.swap must be a list of \[left, right\] pairs"):
        load_robot(str(robot_file))


def test_an_unknown_robot_lists_the_shipped_ones() -> None:
    with pytest.raises(ValueError, match=r"no robot 'h1'.*g1_29dof"):
        load_robot("h1")
