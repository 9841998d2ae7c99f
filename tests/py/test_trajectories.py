"""Motion in Python: views without copies, recorded motion mapped from a file, joined streams."""

import gc
import weakref
from pathlib import Path

import numpy as np
import pytest

from twist_cmg import _C

JOINTS, WIDTH = 29, 70


def test_arrays_are_views() -> None:
    motion = _C.Trajectories(2, 5, JOINTS)
    rows = motion.rows
    assert rows.shape == (2, 5, WIDTH) and motion.commands.shape == motion.targets.shape == (
        2,
        5,
        3,
    )
    rows[1, 3, 7] = 42
    assert motion.stream(1)[3, 7] == 42 and motion.rows[1, 3, 7] == 42
    del motion
    gc.collect()
    assert rows[1, 3, 7] == 42, "the view keeps the memory"
    with pytest.raises(IndexError):
        _C.Trajectories(2, 5, JOINTS).stream(2)


def record(tmp_path: Path) -> tuple[np.memmap, np.memmap]:
    """Rows and commands of 9 frames on the disk, mapped so that writing stays in memory."""
    numbers = np.arange(9 * WIDTH, dtype=np.float32).reshape(9, WIDTH)
    numbers.tofile(tmp_path / "rows")
    numbers[:, :3].tofile(tmp_path / "commands")
    rows = np.memmap(tmp_path / "rows", np.float32, "c", shape=(9, WIDTH))
    return rows, np.memmap(tmp_path / "commands", np.float32, "c", shape=(9, 3))


def test_mapped_motion_is_not_copied_and_kept_alive(tmp_path: Path) -> None:
    rows, commands = record(tmp_path)
    motion = _C.Trajectories.mapped(rows, commands, [4, 5], JOINTS)
    assert (motion.streams, motion.frames, motion.lengths) == (2, 5, [4, 5])
    assert np.shares_memory(motion.stream(0), rows) and np.shares_memory(motion.stream(1), rows)
    rows[6, 2] = -1
    assert motion.stream(1)[2, 2] == -1
    everything = _C.Trajectories(1, 5, JOINTS)
    everything.append(motion, 2.5)
    expected, watch = np.array(rows), [weakref.ref(rows), weakref.ref(commands)]
    del rows, commands, motion
    gc.collect()
    assert all(alive() is not None for alive in watch)
    np.testing.assert_array_equal(everything.stream(1), expected[:4])
    np.testing.assert_array_equal(everything.stream(2), expected[4:])
    assert everything.weights == [1, 2.5, 2.5]
    del everything
    gc.collect()
    assert all(alive() is None for alive in watch), "and let go at last"


def test_streams_in_several_blocks_are_taken_one_by_one() -> None:
    motion, more = _C.Trajectories(1, 5, JOINTS), _C.Trajectories(2, 7, JOINTS)
    more.rows[:] = 3
    motion.append(more)
    assert motion.lengths == [5, 7, 7] and motion.stream(2).shape == (7, WIDTH)
    assert motion.stream(2).min() == 3
    with pytest.raises(ValueError, match=r"take them one by one with stream\(index\)"):
        _ = motion.rows
    with pytest.raises(ValueError, match="motion of 23 joints cannot join motion of 29"):
        motion.append(_C.Trajectories(1, 5, 23))


def test_what_cannot_be_used_in_place_is_refused(tmp_path: Path) -> None:
    rows, commands = record(tmp_path)
    mapped = _C.Trajectories.mapped
    with pytest.raises(ValueError, match=r"must be \(8, 70\) and \(8, 3\)"):
        mapped(rows, commands, [4, 4], JOINTS)
    with pytest.raises(ValueError, match="must be"):
        mapped(rows[:, :58], commands, [4, 5], JOINTS)
    for wrong in (rows.astype(np.float64), rows.astype(np.float16), rows[::-1]):
        with pytest.raises(ValueError, match="rows must be a contiguous array of float32"):
            mapped(wrong, commands, [4, 5], JOINTS)
    locked = np.array(rows)
    locked.flags.writeable = False
    with pytest.raises(ValueError, match="that can be written"):
        mapped(locked, commands, [4, 5], JOINTS)


def test_supported_commands() -> None:
    settings = _C.CommandSettings()
    settings.vx, settings.vy, settings.wz = [-1.0, 2.0], [-0.5, 0.5], [-1.0, 1.0]
    settings.fast_from = 1.0
    assert _C.supports(settings, (1.0, 0.5, -1.0)) and _C.supports(settings, (1.5, 0.25, 0.5))
    assert not _C.supports(settings, (1.5, 0.26, 0.0)) and not _C.supports(settings, (2.1, 0, 0))
