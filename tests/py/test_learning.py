"""Training as a user starts it: it learns, continues exactly, and any number of threads will do."""

import csv
import json
import subprocess
import sys
from pathlib import Path
from statistics import mean

import pytest

TINY = [
    "reference.source=gait",
    "reference.streams=4",
    "reference.frames=150",
    "ppo.network.actor=[16]",
    "ppo.network.critic=[16]",
    "ppo.block=3",
    "train.envs=8",
    "train.film=false",
    "evaluation.episodes=1",
    "evaluation.seconds=0.2",
    "evaluation.settle_s=0",
]


def train(folder: Path, *arguments: str) -> dict:
    """Runs a training in a process of its own; its last line."""
    command = [sys.executable, "-m", "twist_cmg.train", "teacher", "--json", *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def rows(run: str, table: str) -> list[dict[str, str]]:
    with (Path(run) / f"{table}.csv").open() as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict:
    """Four iterations at a stretch on one thread."""
    folder = tmp_path_factory.mktemp("whole")
    return train(folder, "--iterations", "4", "--threads", "1", "--out", "run", *TINY)


@pytest.mark.slow
def test_threads_do_not_change_the_result(whole: dict, tmp_path: Path) -> None:
    two = train(tmp_path, "--iterations", "4", "--threads", "2", "--out", "run", *TINY)
    assert two["hash"] == whole["hash"]
    assert two["iterations"] == whole["iterations"] == 4
    assert two["env_steps"] == whole["env_steps"] == 4 * 20 * 8


@pytest.mark.slow
def test_a_resumed_run_is_the_run_that_never_stopped(whole: dict, tmp_path: Path) -> None:
    half = train(tmp_path, "--iterations", "2", "--threads", "1", "--out", "run", *TINY)
    assert half["hash"] != whole["hash"]
    both = train(tmp_path, "--resume", "run", "--iterations", "4", "--threads", "2")
    assert both["hash"] == whole["hash"]
    assert both["env_steps"] == whole["env_steps"]

    # the log goes on where it stopped
    assert [row["iteration"] for row in rows(str(tmp_path / "run"), "progress")] == list("1234")


@pytest.mark.slow
def test_another_seed_is_another_run(whole: dict, tmp_path: Path) -> None:
    other = train(tmp_path, "--iterations", "4", "--seed", "2", "--out", "run", *TINY)
    assert other["hash"] != whole["hash"]


@pytest.mark.slow
def test_the_smoke_training_learns(tmp_path: Path) -> None:
    result = train(tmp_path, "--config", "smoke", "--out", "run")
    log = rows(str(tmp_path / "run"), "progress")
    error, length = (
        [float(row[name]) for row in log] for name in ("velocity_error", "episode_length_s")
    )
    half, tenth = len(log) // 2, len(log) // 10
    assert mean(error[-tenth:]) < 0.87 * mean(error[:half])
    assert mean(length[-tenth:]) > 1.3 * mean(length[:half])
    assert all(float(row["quarantined"]) == 0 for row in log)
    assert result["iterations"] == len(log)
