"""`python -m twist_cmg.data`: from recordings of any format to a training set, and the doctor."""

import json
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from motions import (
    FRAMES,
    IN_23,
    JOINTS,
    ROBOT,
    WALKS,
    amass,
    beyondmimic,
    save_csv,
    save_npz,
    save_pickle,
    twist,
    walk,
)
from twist_cmg import data
from twist_cmg.cli import run_command
from twist_cmg.config import robot_settings
from twist_cmg.motion_file import read_clip
from twist_cmg.motion_set import open_set
from twist_cmg.strict_yaml import dump_yaml, read_yaml

needs_walks = pytest.mark.skipif(not WALKS.is_dir(), reason=f"{WALKS} is not here")


def call(*arguments: object) -> int:
    """The exit code of a command (argparse leaves by SystemExit)."""
    try:
        return run_command(data.main, [str(argument) for argument in arguments])
    except SystemExit as leave:
        return int(leave.code or 0)


def snapshot(folder: Path) -> dict[str, bytes]:
    """Everything in a folder."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path): path.read_bytes() for path in files}


@pytest.fixture
def recordings(tmp_path: Path) -> Path:
    """The same walk in three formats."""
    folder = tmp_path / "recordings"
    (folder / "deep").mkdir(parents=True)
    save_pickle(folder / "a.pkl", twist())
    save_npz(folder / "deep" / "b.npz", amass())
    save_csv(folder / "c.csv")
    return folder


def test_any_mix_is_imported(tmp_path: Path, recordings: Path, capsys: Any) -> None:
    out = tmp_path / "motions"
    assert call("import", recordings, "--out", out, "--licence", "mine") == 0
    assert "3 clips, 12 s in all" in capsys.readouterr().out
    assert sorted(tmp_path.iterdir()) == [out, recordings]
    for name in ("a", "c", "deep/b"):
        clip = read_clip(out / f"{name}.npz", name)
        np.testing.assert_allclose(clip.dof_pos, walk().dof_pos, atol=1e-8)
        np.testing.assert_allclose(clip.root_quat_wxyz, walk().wxyz, atol=1e-8)
        assert clip.joint_names == JOINTS and clip.provenance.licence == "mine"


def test_what_was_imported_is_not_overwritten(
    tmp_path: Path, recordings: Path, capsys: Any
) -> None:
    out = tmp_path / "motions"
    assert call("import", recordings / "a.pkl", "--out", out) == 0
    before = snapshot(tmp_path)
    assert call("import", recordings, "--out", out) == 2
    assert "a.npz already: --force replaces it" in capsys.readouterr().err
    assert snapshot(tmp_path) == before
    assert call("import", recordings, "--out", out, "--force", "--licence", "x") == 0
    assert read_clip(out / "a.npz", "a").provenance.licence == "x"


def test_a_broken_file_stops_all_or_is_left_out(
    tmp_path: Path, recordings: Path, capsys: Any
) -> None:
    (recordings / "b.pkl").write_bytes(b"hello")
    before = snapshot(tmp_path)
    assert call("import", recordings, "--out", tmp_path / "motions") == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1
    assert "b.pkl is not a motion file" in error
    assert snapshot(tmp_path) == before and not (tmp_path / "motions").exists()
    assert call("import", recordings, "--out", tmp_path / "motions", "--skip-broken") == 0
    told = capsys.readouterr().out
    assert "left out: " in told and "3 clips" in told and "1 files were left out" in told


def test_import_tells_of_a_doubtful_frame_rate(tmp_path: Path, capsys: Any) -> None:
    file = save_npz(tmp_path / "a.npz", {**amass(), "fps": np.array([50.0])})
    assert call("import", file, "--out", tmp_path / "m") == 0
    assert "its own joint velocities fit 30; --fps tells" in capsys.readouterr().out
    assert call("import", file, "--out", tmp_path / "m", "--force", "--fps", "30") == 0
    assert "velocities" not in capsys.readouterr().out
    clip = read_clip(tmp_path / "m" / "a.npz", "a")
    assert clip.fps == 30
    assert clip.provenance.done == ["took 30 frames a second instead of 50"]


def test_two_clips_do_not_become_one_file(tmp_path: Path, recordings: Path, capsys: Any) -> None:
    save_csv(recordings / "a.csv")
    assert call("import", recordings, "--out", tmp_path / "m") == 2
    assert "a.csv and " in capsys.readouterr().err


def test_beyondmimic_needs_an_order(tmp_path: Path, capsys: Any) -> None:
    file = save_npz(tmp_path / "a.npz", beyondmimic())
    assert call("import", file, "--out", tmp_path / "m") == 2
    assert "--joints g1 or isaac" in capsys.readouterr().err
    assert call("import", file, "--out", tmp_path / "m", "--joints", "isaac") == 0
    np.testing.assert_array_equal(read_clip(tmp_path / "m/a.npz", "a").dof_pos, walk().dof_pos)


@pytest.fixture
def small_robot(tmp_path: Path) -> Path:
    """A G1 without wrists: a YAML and an MJCF made from those of the 29 joints."""
    tree = ET.parse(robot_settings("g1_29dof").mjcf)
    for parent in tree.iter():
        for child in list(parent):
            if "wrist" in child.get("joint", child.get("name", "")) and child.tag in (
                "joint",
                "position",
                "general",
                "motor",
            ):
                parent.remove(child)
    for key in tree.findall("keyframe"):
        tree.getroot().remove(key)
    tree.write(tmp_path / "g1_23.xml")
    values = read_yaml(Path(robot_settings("g1_29dof").mjcf).with_suffix(".yaml"))
    values.update(name="g1_23", mjcf="g1_23.xml")
    mirror = values["mirror"]
    mirror["swap"] = [pair for pair in mirror["swap"] if "wrist" not in pair[0]]
    mirror["negate"] = [name for name in mirror["negate"] if "wrist" not in name]
    del values["action_scale"]["wrist"]
    (tmp_path / "g1_23.yaml").write_text(dump_yaml(values))
    return tmp_path / "g1_23.yaml"


def test_a_robot_of_23_joints_reads_29_and_back(
    tmp_path: Path, recordings: Path, small_robot: Path, capsys: Any
) -> None:
    few, many = tmp_path / "few", tmp_path / "many"
    assert call("import", recordings, "--out", few, "--robot", small_robot) == 0
    assert "3 x left out joints that the robot lacks: left_wrist_roll" in capsys.readouterr().out
    clip = read_clip(few / "deep" / "b.npz", "b")
    assert clip.joint_names == [JOINTS[i] for i in IN_23]
    np.testing.assert_array_equal(clip.dof_pos, walk().dof_pos[:, IN_23])
    assert call("import", few, "--out", many) == 0
    back = read_clip(many / "deep" / "b.npz", "b")
    np.testing.assert_array_equal(back.dof_pos[:, IN_23], walk().dof_pos[:, IN_23])
    assert len(back.provenance.done) == 2
    assert call("window", few, "--out", tmp_path / "set", "--robot", small_robot) == 0
    made = open_set(tmp_path / "set", clip.joint_names)
    assert made.rows.shape[1] == 2 * 23 + 12
    with pytest.raises(ValueError, match="its joint 19 is 'right_shoulder_pitch_joint'"):
        open_set(tmp_path / "set", JOINTS)


def spoiled() -> dict[str, Any]:
    """The walk with a jump, joints beyond their range and a dive into the floor."""
    made = twist()
    made["root_pos"][0, 2] = 1.9
    made["dof_pos"][:, 28] = 1.9
    made["root_pos"][80:, 2] -= 0.1
    return made


def test_check_tells_and_mends(tmp_path: Path, recordings: Path, capsys: Any) -> None:
    assert call("check", recordings, "--json", tmp_path / "well.json") == 0
    well = json.loads((tmp_path / "well.json").read_text())
    assert well["summary"]["failed"] == 0 and len(well["clips"]) == 3
    file = save_pickle(tmp_path / "ill.pkl", spoiled())
    capsys.readouterr()
    assert call("check", file, "--json", "-") == 1
    output = capsys.readouterr()
    clip = json.loads(output.out)["clips"][0]
    kinds = {finding["kind"] for finding in clip["findings"] if finding["severity"] == "error"}
    assert kinds == {"root_height", "root_speed", "joint_limit", "penetration"}
    height = next(finding for finding in clip["findings"] if finding["kind"] == "root_height")
    assert (height["first"], height["last"]) == (0, 0) and clip["stretch"] == [1, FRAMES - 1]
    for kind in kinds:
        assert kind in output.err

    assert call("check", file, "--fix", "--out", tmp_path / "mended", "--json", "-") == 0
    visit = json.loads(capsys.readouterr().out)["clips"][0]
    assert "kept frames 1 to 119 of 120" in visit["mended"][0]
    mended = read_clip(tmp_path / "mended" / "ill.npz", "ill")
    assert mended.provenance.done == visit["mended"] and len(mended.dof_pos) == FRAMES - 1
    assert call("check", tmp_path / "mended") == 0
    assert "0 x error" in capsys.readouterr().out


def test_check_counts_what_cannot_be_read_or_mended(
    tmp_path: Path, recordings: Path, capsys: Any
) -> None:
    (recordings / "broken.pkl").write_bytes(b"hello")
    hopeless = twist()
    hopeless["root_pos"][::20] = np.nan
    save_pickle(recordings / "hopeless.pkl", hopeless)
    save_npz(recordings / "fast.npz", {**amass(), "fps": np.array([50.0])})
    out = tmp_path / "mended"
    assert call("check", recordings, "--fix", "--out", out, "--json", tmp_path / "c.json") == 1
    answer = json.loads((tmp_path / "c.json").read_text())
    errors = {clip["name"]: clip["error"] for clip in answer["clips"] if clip["error"]}
    assert errors.keys() == {"broken", "hopeless", "fast"} and answer["summary"]["failed"] == 3
    assert "less than 2 s are usable" in errors["hopeless"] and "fit 30" in errors["fast"]
    written = sorted(path.relative_to(out).as_posix() for path in out.rglob("*.npz"))
    assert written == ["a.npz", "c.npz", "deep/b.npz"]


def test_stats_count_windows_and_verdicts(tmp_path: Path, recordings: Path, capsys: Any) -> None:
    # turned by 60 degrees, 0.6 m/s along x are 0.3 forwards and -0.52 sideways
    assert call("stats", recordings, "--json", "-", "--seq", "30") == 0
    output = capsys.readouterr()
    answer = json.loads(output.out)
    frames = 1 + int((FRAMES - 1) / 30 * 50)
    for clip in answer["clips"]:
        assert clip["frames"] == frames and clip["rejected"] == ""
        assert clip["windows"] == len(range(0, frames - 30, 15))
        assert clip["speeds"]["vx"]["p50"] == pytest.approx(0.3, abs=1e-3)
        assert clip["speeds"]["vy"]["mean"] == pytest.approx(-0.6 * np.sin(np.pi / 3), abs=1e-3)
    assert answer["total"]["counts"] == {"kept": 3}
    assert call("stats", recordings, "--max-lateral", "0.4", "--json", "-") == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["total"]["counts"] == {"lateral": 3} and answer["total"]["windows"] == 0


def test_window_builds_a_set_from_a_list(tmp_path: Path, recordings: Path, capsys: Any) -> None:
    backward = twist()
    backward["root_pos"][:, 0] *= -1
    save_pickle(recordings / "back.pkl", backward)
    hopeless = twist()
    hopeless["root_pos"][::20] = np.nan
    save_pickle(recordings / "hopeless.pkl", hopeless)
    (tmp_path / "list.yaml").write_text(
        "root_path: recordings\nmotions:\n"
        "- {file: a.pkl, weight: 3}\n- {weight: 0.5, file: deep/b.npz, description: deep}\n"
        "- {file: c.csv, weight: 0}\n- {file: back.pkl}\n- {file: hopeless.pkl}\n"
    )
    out = tmp_path / "set"
    assert call("window", tmp_path / "list.yaml", "--out", out) == 0
    assert "2 clips, 8 s, are in" in capsys.readouterr().out
    made = open_set(out, ROBOT.joint_names)
    assert isinstance(made.rows, np.memmap)
    assert made.weights.tolist() == [3, 0.5]
    assert made.lengths.tolist() == [199, 199]
    assert made.info["left_out"] == {"weight 0": 1, "backward": 1, "unusable": 1}
    assert made.info["filter"]["min_speed"] == 0.3
    assert made.info["clips"][1]["provenance"]["description"] == "deep"
    np.testing.assert_array_equal(made.rows[:199], made.rows[199:])
    np.testing.assert_allclose(made.commands[100], [0.3, -0.6 * np.sin(np.pi / 3), 0], atol=1e-3)

    # weights stay with imported files
    assert call("import", tmp_path / "list.yaml", "--out", tmp_path / "m") == 0
    capsys.readouterr()
    assert call("window", tmp_path / "m", "--out", out) == 2
    assert "--force replaces it" in capsys.readouterr().err
    more = "--no-backward-reject", "--force"
    assert call("window", tmp_path / "m", "--out", out, *more) == 0
    names = {clip["name"]: clip["weight"] for clip in open_set(out, JOINTS).info["clips"]}
    assert names == {"a": 3, "deep/b": 0.5, "back": 1}


def test_an_empty_set_is_not_made(tmp_path: Path, recordings: Path, capsys: Any) -> None:
    before = snapshot(tmp_path)
    assert call("window", recordings, "--min-speed", "2", "--out", tmp_path / "set") == 2
    assert "no clip is left for the set: 3 x speed" in capsys.readouterr().err
    assert snapshot(tmp_path) == before and not (tmp_path / "set").exists()
    assert (
        call("window", recordings, "--min-speed", "2", "--no-filter", "--out", tmp_path / "s") == 0
    )


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "the following arguments are required: what"),
        (["inport"], "invalid choice: 'inport'"),
        (["import", "x"], "the following arguments are required: --out"),
        (["import", "no_such", "--out", "m"], "there is no motion file no_such"),
        (["import", "x", "--out", "m", "--fps", "0"], "'0' is not a rate from 5 to 1000"),
        (["import", "x", "--out", "m", "--joints", "h1"], "invalid choice: 'h1'"),
        (["import", "x", "--out", "m", "--robot", "h1"], "there is no robot 'h1'"),
        (["check", "x", "--fix"], "--fix and --out DIR go together"),
        (["check", "x", "--out", "m"], "--fix and --out DIR go together"),
        (["check", "x", "--json", "no/such/file"], "there is no such folder to write in"),
        (["stats", "x", "--seq", "0"], "'0' is not a whole number from 1 on"),
        (["window", "x", "--out", ".."], ".. exists and is no motion set"),
    ],
)
def test_wrong_use_is_told_in_one_sentence(
    arguments: Sequence[str], told: str, capsys: Any
) -> None:
    assert call(*arguments) == 2
    error = capsys.readouterr().err
    assert told in error and error.count("\n") == 1


def test_help_shows_examples(capsys: Any) -> None:
    for command in ([], ["import"], ["check"], ["stats"], ["window"]):
        assert call(*command, "--help") == 0
        assert "examples:\n  python -m twist_cmg.data" in capsys.readouterr().out


@needs_walks
def test_the_recorded_walks_go_all_the_way(tmp_path: Path, capsys: Any) -> None:
    assert call("import", WALKS, "--out", tmp_path / "m") == 0
    assert call("check", tmp_path / "m") == 1  # corrupt first frames
    assert call("check", tmp_path / "m", "--fix", "--out", tmp_path / "f") == 0
    assert call("check", tmp_path / "f") == 0
    easy = "--min-speed", "0", "--max-yaw-rate", "4", "--no-backward-reject"
    assert call("window", tmp_path / "f", "--out", tmp_path / "s", *easy) == 0
    made = open_set(tmp_path / "s", JOINTS)
    assert len(made.lengths) == 7 and abs(made.lengths.sum() / 50 - 94) < 2
    assert np.isfinite(made.rows).all()
