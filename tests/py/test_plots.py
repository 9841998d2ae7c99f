"""Drawings show what is in the motion: a made-up walk whose steps are known."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from twist_cmg import _C, film
from twist_cmg.config import load_robot, robot_settings
from twist_cmg.motion_out import Recording
from twist_cmg.strides import stances, strides

ROBOT = load_robot("g1_29dof")
KNEE = "left_knee_joint"


@pytest.fixture
def plots() -> Any:
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    from twist_cmg import plots

    yield plots
    plots.plt.close("all")


@pytest.fixture
def walk() -> Recording:
    """5 s straight ahead at 1 m/s; the left foot stands in the first half of every second."""
    motion = _C.Trajectories(1, 250, ROBOT.num_joints)
    rows = motion.rows[0]
    time = np.arange(250) / 50
    rows[:, ROBOT.joint_names.index(KNEE)] = 0.5 + 0.3 * np.sin(2 * np.pi * time)
    rows[:, -12] = 0.75
    rows[:, -9] = -1  # upright
    rows[:, -8] = 1  # m/s
    rows[:, -2] = time % 1 < 0.5 - 1e-6
    rows[:, -1] = 1 - rows[:, -2]
    return Recording(ROBOT, motion, 0, "made up")


def test_stances_are_where_a_foot_carries(walk: Recording) -> None:
    assert stances(walk, 0) == [(0, 25), (50, 75), (100, 125), (150, 175), (200, 225)]
    assert stances(walk, 1) == [(25, 50), (75, 100), (125, 150), (175, 200), (225, 250)]


def test_strides_go_from_left_foot_to_left_foot(walk: Recording) -> None:
    found = strides(walk)
    assert found.shape == (3, 101, ROBOT.num_joints)
    share = np.linspace(0, 1, 101)
    knee = found[:, :, ROBOT.joint_names.index(KNEE)]
    assert np.allclose(knee, 0.5 + 0.3 * np.sin(2 * np.pi * share), atol=0.003)


def test_motion_without_strides_is_told(walk: Recording) -> None:
    walk.rows[:, -2:] = 0.5
    with pytest.raises(ValueError, match="made up: there is no stride"):
        strides(walk)


def test_footprints_lie_under_the_feet_along_the_way(plots: Any, walk: Recording) -> None:
    plots.paths([walk])
    centres = np.array([patch.center for patch in plots.plt.gca().patches])
    left, right = centres[centres[:, 1] > 0], centres[centres[:, 1] < 0]
    assert np.allclose(np.diff(left[:, 0]), 1.0, atol=0.01) and len(left) == 5
    assert np.allclose(np.diff(right[:, 0]), 1.0, atol=0.01) and len(right) == 5


def test_only_what_is_beyond_a_limit_is_shaded(plots: Any, walk: Recording) -> None:
    plots.joint_curves([walk], [KNEE])
    assert not plots.plt.gcf().axes[0].patches
    walk.rows[0, ROBOT.joint_names.index(KNEE)] = -1
    plots.joint_curves([walk], [KNEE])
    (shade,) = plots.plt.gcf().axes[0].patches
    top = shade.get_extents().transformed(plots.plt.gcf().axes[0].transData.inverted()).y1
    assert top == pytest.approx(ROBOT.lower[ROBOT.joint_names.index(KNEE)])


def test_coordinates_of_a_film_follow_the_motion(walk: Recording) -> None:
    qpos = walk.qpos()
    assert qpos.shape == (250, 36)
    assert np.allclose(qpos[:, 0], np.arange(250) / 50, atol=1e-4)
    assert np.allclose(qpos[:, 1:7], [0, 0.75, 1, 0, 0, 0], atol=1e-6)
    assert np.array_equal(qpos[:, 7:], walk.rows[:, :29])


def test_a_film_that_cannot_be_made_is_told(
    walk: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MUJOCO_GL", "no_such")
    made = film.film_of(Path(robot_settings("g1_29dof").mjcf), walk.qpos()[:4])
    assert "no film was made" in made._repr_html_() and "<video" not in made._repr_html_()


def test_matplotlib_is_asked_for_in_plain_words() -> None:
    code = "import sys; sys.modules['matplotlib'] = None; import twist_cmg.plots"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert ended.returncode == 1 and "drawings need matplotlib" in ended.stderr
