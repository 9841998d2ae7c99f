"""Training sets: what was written is mapped, and nothing damaged is opened."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from motions import JOINTS, ROBOT
from twist_cmg.locomotion import LocomotionFilter, summary, velocities_of, windows
from twist_cmg.motion_set import SetWriter, check_place, open_set, replace_set, staged

LENGTHS = [30, 1, 44]
WIDTH = 70


def parts() -> list[tuple[Any, Any]]:
    """Rows and commands of three clips; every number is different."""
    return [
        (
            (1000 * i + np.arange(length * WIDTH).reshape(length, WIDTH)).astype(np.float32),
            (-1000 * i - np.arange(length * 3).reshape(length, 3)).astype(np.float32),
        )
        for i, length in enumerate(LENGTHS)
    ]


def write(folder: Path) -> Path:
    writer = SetWriter(folder, ROBOT)
    for i, (rows, commands) in enumerate(parts()):
        writer.append(rows, commands, {"name": f"clip {i}", "weight": i + 0.5})
    writer.finish(filter=None)
    return folder


def test_a_set_is_mapped_not_loaded(tmp_path: Path) -> None:
    made = open_set(write(tmp_path / "set"), JOINTS)
    assert isinstance(made.rows, np.memmap) and isinstance(made.commands, np.memmap)
    assert made.rows.dtype == made.commands.dtype == np.float32
    np.testing.assert_array_equal(made.rows, np.concatenate([rows for rows, _ in parts()]))
    np.testing.assert_array_equal(made.commands, np.concatenate([c for _, c in parts()]))
    assert made.lengths.tolist() == LENGTHS and made.weights.tolist() == [0.5, 1.5, 2.5]
    assert made.info["clips"][2]["first"] == 31 and made.info["fps"] == 50
    before = (tmp_path / "set" / "rows.npy").read_bytes()
    made.rows[0] = 7  # stays in memory
    made.rows.flush()
    assert (tmp_path / "set" / "rows.npy").read_bytes() == before


def test_the_arrays_are_plain_npy(tmp_path: Path) -> None:
    write(tmp_path / "set")
    rows = np.load(tmp_path / "set" / "rows.npy", allow_pickle=False)
    assert rows.shape == (sum(LENGTHS), WIDTH) and rows.flags.c_contiguous


def edit(change: Callable[[dict[str, Any]], None]) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        info = json.loads((folder / "set.json").read_text())
        change(info)
        (folder / "set.json").write_text(json.dumps(info))

    return damage


def truncate(name: str, missing: int) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        file = folder / name
        file.write_bytes(file.read_bytes()[:-missing])

    return damage


def replace_array(name: str, array: Any) -> Callable[[Path], None]:
    return lambda folder: np.save(folder / name, array)


def pickled(folder: Path) -> None:
    np.save(folder / "rows.npy", np.array([{}], dtype=object), allow_pickle=True)


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (truncate("rows.npy", 1), "rows.npy is damaged: mmap length is greater than file size"),
        (truncate("commands.npy", 100000), "commands.npy is damaged: "),
        (truncate("set.json", 30), "is no motion set: set.json: "),
        (lambda folder: (folder / "rows.npy").unlink(), "rows.npy is damaged: No such file"),
        (lambda folder: (folder / "set.json").unlink(), "is no motion set: set.json: No such file"),
        (replace_array("rows.npy", np.zeros((75, 70))), "must hold float32 (75, 70), as set.json"),
        (replace_array("rows.npy", np.zeros((74, 70), np.float32)), "not float32 (74, 70)"),
        (replace_array("commands.npy", np.zeros((75, 4), np.float32)), "not float32 (75, 4)"),
        (pickled, "rows.npy is damaged: "),
        (edit(lambda info: info.update(format_version=2)), "has format 2, but this version reads"),
        (edit(lambda info: info.pop("format_version")), "has format None"),
        (edit(lambda info: info.update(fps=30)), "fps must be 50, not 30"),
        (edit(lambda info: info.update(clips=[])), "must have lists joint_names and clips"),
        (edit(lambda info: info.pop("joint_names")), "must have lists joint_names and clips"),
        (edit(lambda info: info["clips"].pop(1)), "'clip 2' must begin at row 30"),
        (edit(lambda info: info["clips"].pop()), "must hold float32 (31, 70)"),
        (edit(lambda info: info["clips"][1].update(frames=-1)), "'clip 1' must begin at row 30"),
        (edit(lambda info: info["clips"][1].update(weight=0)), "a weight above 0"),
        (edit(lambda info: info["clips"][1].update(weight="1")), "a weight above 0"),
        (lambda folder: (folder / "set.json").write_text("[1]"), "has format None"),
    ],
)
def test_a_damaged_set_is_refused(
    tmp_path: Path, damage: Callable[[Path], None], told: str
) -> None:
    damage(write(tmp_path / "set"))
    with pytest.raises(ValueError) as error:
        open_set(tmp_path / "set", JOINTS)
    assert str(tmp_path) in str(error.value) and told in str(error.value)
    assert "\n" not in str(error.value)


def test_joints_must_agree_by_name(tmp_path: Path) -> None:
    write(tmp_path / "set")
    swapped = [JOINTS[1], JOINTS[0], *JOINTS[2:]]
    told = f"its joint 0 is '{JOINTS[0]}', here it is '{JOINTS[1]}'"
    with pytest.raises(ValueError, match=told):
        open_set(tmp_path / "set", swapped)
    with pytest.raises(ValueError, match=r"its joint 28 is .*, here it is 'none'"):
        open_set(tmp_path / "set", JOINTS[:28])


def test_a_set_that_was_not_finished_is_none(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), staged(tmp_path / "set") as aside:
        writer = SetWriter(aside / "set", ROBOT)
        writer.append(*parts()[0], {"name": "a", "weight": 1})
        writer.close()
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_only_sets_are_replaced_and_only_if_told(tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.txt").touch()
    for force in (False, True):
        with pytest.raises(ValueError, match="exists and is no motion set"):
            check_place(mine, force)
    write(tmp_path / "set")
    with pytest.raises(ValueError, match="--force replaces it"):
        check_place(tmp_path / "set", False)
    check_place(tmp_path / "set", True)
    with staged(tmp_path / "set") as aside:
        writer = SetWriter(aside / "set", ROBOT)
        writer.append(*parts()[1], {"name": "new", "weight": 1})
        writer.finish()
        replace_set(tmp_path / "set", aside / "set")
    assert open_set(tmp_path / "set", JOINTS).lengths.tolist() == [1]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine", "set"]


@pytest.mark.parametrize(("frames", "starts"), [(85, 4), (30, 0), (31, 1), (45, 1), (46, 2)])
def test_windows_are_counted(frames: int, starts: int) -> None:
    assert windows(frames, 30) == starts == len(range(0, max(0, frames - 30), 15))


def moving(vx: Any, vy: Any = 0.0, wz: Any = 0.0) -> Any:
    parts = np.broadcast_arrays(vx, vy, wz, np.zeros(100))[:3]
    return np.stack(parts, axis=1).astype(np.float32)


def share(few: float, value: float, other: float) -> Any:
    """100 values of which `few` are `value`."""
    return np.where(np.arange(100) < few, value, other)


@pytest.mark.parametrize(
    ("velocities", "verdict"),
    [
        (moving(1.0), ""),
        (moving(0.2), "speed"),
        (moving(4.5), "speed"),
        (moving(share(4, 0.0, 1.0)), ""),
        (moving(share(7, 0.0, 1.0)), "speed"),
        (moving(1.0, 1.6), "lateral"),
        (moving(1.0, -1.6), "lateral"),
        (moving(1.0, 0.0, -2.1), "yaw"),
        (moving(1.0, 0.0, share(4, -2.5, 0.0)), ""),
        (moving(-1.0), "backward"),
        (moving(share(4, -1.0, 1.0)), ""),
        (moving(share(7, -1.0, 1.0)), "backward"),
        (moving(5.0, 3.0, 9.0), "speed"),
        (moving(-1.0, 3.0, 9.0), "lateral"),
    ],
)
def test_the_locomotion_filter(velocities: Any, verdict: str) -> None:
    assert LocomotionFilter().verdict(velocities) == verdict
    if verdict == "backward":
        assert LocomotionFilter(reject_backward=False).verdict(velocities) == ""


def test_velocities_come_from_the_right_columns() -> None:
    rows = np.arange(70, dtype=np.float32)[None] + np.zeros((3, 1), dtype=np.float32)
    # q 29, qd 29, height, gravity 3, linear velocity 3, angular velocity 3
    assert velocities_of(rows, 29).tolist() == [[62.0, 63.0, 67.0]] * 3
    told = summary(moving(np.arange(100.0), 2.0, -3.0))
    assert told["vx"] == {"mean": 49.5, "p5": pytest.approx(4.95), "p50": 49.5, "p95": 94.05}
    assert told["wz"]["p5"] == told["wz"]["mean"] == -3
