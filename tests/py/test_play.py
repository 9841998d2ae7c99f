"""Playing: the command line, tours, and the walker on a simulation that is made up."""

import sys
from pathlib import Path
from typing import Any

import imageio_ffmpeg
import numpy as np
import pytest

from pretend import STANDING_UP, WALK, fake_walker
from tiny import TINY, call
from twist_cmg import _C, play, tour, train, train_policy, window
from twist_cmg.controls import STAND
from twist_cmg.evaluation import load_policy, motion_for
from twist_cmg.tour import Segment, make_tour, record, verdict, walk_table
from twist_cmg.walker import Walker, status

TINY_RUN = "(the tiny run)"
SETTINGS = _C.CommandSettings()  # vx [-0.6, 1.55], vy +-0.35, wz +-0.9, less beside from 1.05 on


@pytest.fixture
def log() -> list[Any]:
    return []


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "no screen: use --video out.mp4"),
        (["no_such"], "there is no policy no_such"),
        (["no_such", "--video", "x.mp4"], "there is no policy no_such"),
        (["."], ". holds no policy yet"),
        ([TINY_RUN], "no screen: use --video out.mp4"),
        ([TINY_RUN, "--tour", "3:0,0,0"], "--tour 3:0,0,0 is for films"),
        ([TINY_RUN, "--seconds", "3"], "--seconds 3.0 is for films"),
        ([TINY_RUN, "--video", "x.avi"], "--video x.avi: the name of a film must end in .mp4"),
        ([TINY_RUN, "--video", "no/x.mp4"], "--video no/x.mp4: there is no such folder"),
        ([TINY_RUN, "--video", "a.mp4"], "--video a.mp4 is a folder; give the name of a file"),
        ([TINY_RUN, "--video", "x.mp4", "--kick", "nan"], "(0, 10] m/s, not be nan"),
        ([TINY_RUN, "--video", "x.mp4", "--seconds", "x"], "invalid float value: 'x'"),
        (
            [TINY_RUN, "--video", "x.mp4", "--kick", "0"],
            "--kick must lie in (0, 10] m/s, not be 0",
        ),
        ([TINY_RUN, "--video", "x.mp4", "--tour", "3:9,0,0"], "vx must lie in [-0.6, 1.55]"),
        ([TINY_RUN, "--video", "x.mp4", "--seconds", "nan"], "not nan s"),
    ],
)
def test_wrong_use_is_code_2_and_one_sentence(
    tiny_run: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    told: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.setattr("twist_cmg.play.has_screen", lambda: False)
    (tmp_path / "a.mp4").mkdir()
    given = [str(tiny_run) if text == TINY_RUN else text for text in arguments]
    assert call(play.main, *given) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ") and told in line
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]


@pytest.mark.skipif(sys.platform != "linux", reason="screens of other systems are always there")
def test_without_a_display_there_is_no_screen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISPLAY", ":no_such")
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    assert not window.has_screen()


def test_a_tour_is_read() -> None:
    assert make_tour("3:0.5,0,0; 4.5 : -0.2, 0.1, -.8;", None, SETTINGS) == [
        Segment(3, (0.5, 0.0, 0.0)),
        Segment(4.5, (-0.2, 0.1, -0.8)),
    ]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (" ; ", "the tour ' ; ' is empty"),
        ("1:0,0,0; 3", "'3' is not a part of a tour; write SECONDS:VX,VY,WZ"),
        ("3:0.5,0", "'3:0.5,0' is not a part"),
        ("3:0.5,0,0,0", "'3:0.5,0,0,0' is not a part"),
        ("x:0.5,0,0", "'x:0.5,0,0' is not a part"),
        ("0:0.5,0,0", "seconds must lie in [0.02, 900], not be 0"),
        ("inf:0.5,0,0", "seconds must lie in [0.02, 900], not be inf"),
        ("3:nan,0,0", "vx must lie in [-0.6, 1.55], not be nan"),
        ("3:0,0.5,0", "vy must lie in [-0.35, 0.35], not be 0.5"),
        ("3:0,0,-1", "wz must lie in [-0.9, 0.9], not be -1"),
        ("3:1.35,0,0.8", "at vx 1.35 only vy up to 0.14 and wz up to 0.36 can be walked"),
        ("500:0,0,0; 401:0,0,0", "must last from 0.02 to 900 s, not 901 s"),
    ],
)
def test_what_is_wrong_with_a_tour_is_told(text: str, told: str) -> None:
    with pytest.raises(ValueError) as caught:
        make_tour(text, None, SETTINGS)
    assert told in str(caught.value)


def test_a_tour_is_cut_or_begun_again() -> None:
    text, walk = "2:0.5,0,0; 1:0,0,0", (0.5, 0.0, 0.0)
    assert make_tour(text, 1.5, SETTINGS) == [Segment(1.5, walk)]
    assert make_tour(text, 3, SETTINGS) == [Segment(2, walk), Segment(1, STAND)]
    again = make_tour(text, 5.5, SETTINGS)
    assert again == [Segment(2, walk), Segment(1, STAND), Segment(2, walk), Segment(0.5, STAND)]


def test_the_default_tour_shows_everything_that_is_supported() -> None:
    usual = make_tour(None, None, SETTINGS)
    assert sum(part.seconds for part in usual) == 30
    assert tuple(usual) == tour.DEFAULT_TOUR
    narrow = _C.CommandSettings()
    narrow.vx, narrow.wz = [0.0, 0.6], [-0.2, 0.2]
    for part in make_tour(None, None, narrow):
        assert _C.supports(narrow, part.command)


def test_a_walker_steps_reference_and_robot_together(log: list[Any]) -> None:
    walker = fake_walker(log, 1)
    assert log == STANDING_UP
    assert walker.step(WALK) == ""
    a_step = [("command", WALK), ("advance", 1), ("step", [[1.0, 1.0]])]
    assert log[3:] == a_step
    assert walker.step(WALK) == "tilt"  # and it stands again, beside a reference that stands
    assert log[6:] == [*a_step, *STANDING_UP]


def test_kicks_go_all_round(log: list[Any]) -> None:
    walker = fake_walker(log)
    for _ in range(4):
        walker.kick(1.5)
    assert log[3:] == [("push", 0, x, y) for x, y in ((0, 1.5), (-1.5, 0), (0, -1.5), (1.5, 0))]


def test_a_velocity_is_told_over_half_a_second(log: list[Any]) -> None:
    walker = fake_walker(log, 50)
    assert walker.velocity.tolist() == [0, 0, 0]
    for _ in range(25):
        walker.step(WALK)
    for _ in range(5):
        walker.step((1.0, 0.0, 0.5))
    assert walker.velocity == pytest.approx((0.6, 0, 0.1))
    for _ in range(21):
        walker.step(WALK)
    assert walker.velocity.tolist() == [0, 0, 0]  # it has fallen and stands


def test_status_is_aligned_and_has_no_negative_zero() -> None:
    lines = status((0.5, -0.0, -0.1), np.array([0.512, -0.001, 1]))
    assert lines == ("asked  vx +0.50  vy +0.00  wz -0.10", "walked  vx +0.51  vy +0.00  wz +1.00")


def test_a_tour_is_recorded(log: list[Any]) -> None:
    parts = [Segment(3, WALK), Segment(2, (0.0, 0.3, 0.0)), Segment(0.5, STAND)]
    walk = record(fake_walker(log), parts)
    assert len(walk.poses) == len(walk.ghosts) == len(walk.captions) == 275
    assert [e[1] for e in log[3:] if e[0] == "command"] == (
        [WALK] * 150 + [(0.0, 0.3, 0.0)] * 100 + [STAND] * 25
    )
    assert walk.falls == [] and verdict(walk) == "walked 2.1 m in 5.5 s, never fell"
    first, last = np.array(walk.poses)[[0, -1], :2]
    assert last - first == pytest.approx((-0.6, 1.49))
    # the mean leaves out the first second of a segment, or half of a short one
    means = walk.means()
    assert means[0] == pytest.approx(WALK) and means[1] == pytest.approx((0, 0.3, 0))
    assert means[2] == pytest.approx((0, 0.3 * np.mean(np.arange(11, -1, -1)) / 25, 0), abs=0.01)
    assert walk.captions[0] == "\n".join(status(WALK, np.array(WALK)))
    table = walk_table(walk)
    assert table.row_count == 3
    assert list(table.columns[3].cells)[:2] == ["0.000", "0.000"]
    assert not [entry for entry in log if entry[0] == "push"]


def test_a_tour_with_kicks_and_falls(log: list[Any]) -> None:
    walk = record(fake_walker(log, 120, 200), [Segment(8, WALK)], kick=1.2)
    assert walk.falls == [120, 200]
    assert verdict(walk) == "walked 4.0 m in 8 s, fell 2 times (at 2.4 s, 4.0 s)"
    assert verdict(record(fake_walker([], 10), [Segment(1, WALK)])).endswith("fell once (at 0.2 s)")
    steps = [entry[0] for entry in log if entry[0] in ("step", "push")]
    assert [i for i, name in enumerate(steps) if name == "push"] == [150, 351]
    told = [i for i, text in enumerate(walk.captions) if "kicked by 1.2 m/s" in text]
    assert told == [*range(150, 200), *range(350, 400)]


# --- for real


@pytest.mark.slow
def test_a_policy_is_filmed(
    tiny_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    film = tmp_path / "walk.mp4"
    wanted = ("--video", str(film), "--tour", "0.6:0,0,0; 1:0.5,0,0.4")
    code = call(play.main, str(tiny_run), *wanted)
    output = capsys.readouterr()
    if "no off-screen renderer works" in output.err:
        pytest.skip(output.err.strip())
    fell = "never fell" not in output.out
    assert code == (1 if fell else 0) and output.err == ""
    assert "the tour" in output.out and " in 1.6 s, " in output.out.replace("\n", " ")
    assert film.stat().st_size > 10_000
    frames, seconds = imageio_ffmpeg.count_frames_and_secs(str(film))
    assert frames == 40 and seconds == pytest.approx(1.6, abs=0.05)


def test_a_robot_steps_with_its_reference(tiny_run: Path) -> None:
    policy = load_policy(str(tiny_run))
    walker = Walker.following(motion_for(policy, _C.Workers(1)), policy.checkpoint.policy)
    start = walker.pose
    assert start.shape == walker.ghost.shape == (36,) and 0.7 < start[2] < 0.9
    for _ in range(40):
        assert walker.step(WALK) == ""
    assert np.linalg.norm(walker.pose[:2] - start[:2]) > 0.02
    before = walker.velocity
    walker.kick(5.0)  # to the left
    walker.step(WALK)
    assert walker.velocity[1] - before[1] > 3.5 / 25  # of the mean of half a second
    causes = [walker.step(WALK) for _ in range(100)]
    assert set(causes) - {""} <= {"tilt", "height"} and len(set(causes)) > 1
    assert abs(walker.pose[2] - start[2]) < 0.2  # it stands again


def test_a_training_ends_with_a_film(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, Any] = {}

    def noted(model: Path, poses: np.ndarray, *made: Path, **more: Any) -> str:
        seen.update(more, poses=poses, made=[path.name for path in made])
        return ""

    monkeypatch.setattr(train_policy, "render_film", noted)
    monkeypatch.setattr(train_policy, "_FILM_S", 1)
    run = tmp_path / "run"
    settings = [text for text in TINY if text != "train.film=false"]
    assert call(train.main, "teacher", *settings, "--iterations", "1", "--out", str(run)) == 0
    assert seen["poses"].shape == seen["ghost"].shape == (50, 36) and len(seen["captions"]) == 50
    assert seen["made"] == ["film.mp4", "film.png"]
