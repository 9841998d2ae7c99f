"""Run folders and checkpoints: nothing that was saved is ever lost, nothing damaged is believed."""

import csv
import errno
import json
import os
import pickle
import resource
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from rich.console import Console

from twist_cmg import checkpoints
from twist_cmg.checkpoints import Checkpoint, load_checkpoint, save_checkpoint, state_hash
from twist_cmg.fields import Field, Section
from twist_cmg.loop import Loop, Metrics
from twist_cmg.progress import Progress
from twist_cmg.runs import RunFolder, create_run, open_run


def some_state(value: float = 1.0) -> dict[str, torch.Tensor]:
    return {"b": torch.full((2, 3), value), "a": torch.tensor(7), "c": torch.empty(0, 4)}


def some_checkpoint(iteration: int = 1, value: float = 1.0) -> Checkpoint:
    policy = {"weights": torch.ones(3), "joints": ["left", "right"]}
    return Checkpoint("teacher", {"train": {"envs": 3}}, iteration, 10, some_state(value), policy)


def test_a_checkpoint_comes_back_whole(tmp_path: Path) -> None:
    save_checkpoint(some_checkpoint(), tmp_path / "x.pt", tmp_path / "y.pt")
    for name in ("x.pt", "y.pt"):
        back = load_checkpoint(tmp_path / name, "teacher")
        assert (back.kind, back.iteration, back.env_steps) == ("teacher", 1, 10)
        assert back.config == {"train": {"envs": 3}}
        assert state_hash(back.state) == state_hash(some_state())
        assert back.policy["joints"] == ["left", "right"]


def test_the_hash_sees_every_difference() -> None:
    same = dict(reversed(some_state().items()))
    assert state_hash(same) == state_hash(some_state())
    one = some_state()
    one["b"][1, 2] += 2.0**-20
    renamed = {("z" if name == "a" else name): value for name, value in some_state().items()}
    retyped = {**some_state(), "a": torch.tensor(7, dtype=torch.int32)}
    reshaped = {**some_state(), "b": torch.full((3, 2), 1.0)}
    emptier = {**some_state(), "c": torch.empty(0, 5)}
    hashes = {state_hash(s) for s in (some_state(), one, renamed, retyped, reshaped, emptier)}
    assert len(hashes) == 6
    zeros = [{"a": torch.zeros(2, dtype=dtype)} for dtype in (torch.float32, torch.int32)]
    assert state_hash(zeros[0]) != state_hash(zeros[1])


def test_the_hash_ignores_strides() -> None:
    tensor = torch.arange(6.0).reshape(2, 3)
    assert state_hash({"a": tensor.T}) == state_hash({"a": tensor.T.contiguous()})


def full_disk(*_: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@contextmanager
def small_files() -> Iterator[None]:
    """The kernel lets no file, a redirected standard output too, grow beyond 512 bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (512, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def assert_only_the_old_one(folder: Path, before: bytes) -> None:
    assert [path.name for path in folder.iterdir()] == ["last.pt"]
    assert (folder / "last.pt").read_bytes() == before


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_full_disk_keeps_the_old_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    file = tmp_path / "last.pt"
    save_checkpoint(some_checkpoint(), file)
    before = file.read_bytes()
    monkeypatch.setattr(checkpoints.os, call, full_disk)
    with pytest.raises(OSError, match=r"last\.pt could not be saved: No space left") as error:
        save_checkpoint(some_checkpoint(2), file)
    assert error.value.errno == errno.ENOSPC
    assert_only_the_old_one(tmp_path, before)


def test_a_write_that_stops_half_way_keeps_the_old_checkpoint(tmp_path: Path) -> None:
    file = tmp_path / "last.pt"
    save_checkpoint(some_checkpoint(), file)
    before = file.read_bytes()
    assert len(before) > 512
    with small_files(), pytest.raises(OSError, match=r"last\.pt could not be saved"):
        save_checkpoint(some_checkpoint(2), file)
    assert_only_the_old_one(tmp_path, before)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 0.999])
def test_a_truncated_checkpoint_is_refused(tmp_path: Path, share: float) -> None:
    file = tmp_path / "last.pt"
    save_checkpoint(some_checkpoint(), file)
    content = file.read_bytes()
    file.write_bytes(content[: int(share * len(content))])
    with pytest.raises(ValueError, match=r"last\.pt is damaged or not a checkpoint") as error:
        load_checkpoint(file)
    assert "\n" not in str(error.value)


def test_a_flipped_bit_in_a_tensor_is_noticed(tmp_path: Path) -> None:
    file = tmp_path / "last.pt"
    save_checkpoint(some_checkpoint(value=1.2345), file)
    content = bytearray(file.read_bytes())
    at = content.index(torch.tensor([1.2345]).numpy().tobytes())
    content[at] ^= 1
    file.write_bytes(bytes(content))
    with pytest.raises(ValueError, match="does not match its check sum"):
        load_checkpoint(file)


class Hostile:
    """Would make a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (str(self.path),)


def test_foreign_files_are_refused(tmp_path: Path) -> None:
    file, trap = tmp_path / "x.pt", tmp_path / "trap"
    for content in ({"format": 99}, {"weights": torch.ones(2)}, [1], {"format": 1, "kind": "cmg"}):
        torch.save(content, file)
        with pytest.raises(ValueError, match=r"x\.pt"):
            load_checkpoint(file)
    torch.save({"format": 1, "x": Hostile(trap)}, file)
    with pytest.raises(ValueError, match="damaged or not a checkpoint"):
        load_checkpoint(file)
    file.write_bytes(pickle.dumps(Hostile(trap)))
    with pytest.raises(ValueError, match="damaged or not a checkpoint"):
        load_checkpoint(file)
    assert not trap.exists()


def test_the_kind_is_checked(tmp_path: Path) -> None:
    save_checkpoint(some_checkpoint(), tmp_path / "x.pt")
    with pytest.raises(ValueError, match="holds a teacher, not a cmg"):
        load_checkpoint(tmp_path / "x.pt", "cmg")


def test_a_folder_in_use_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ValueError, match="already exists and is not empty"):
        create_run("teacher", str(tmp_path), "a: 1\n", 1)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_a_run_says_what_made_it(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()  # an empty folder may be used
    run = create_run("teacher", str(tmp_path / "run"), "a: 1\n", 5)
    versions = json.loads((run.path / "versions.json").read_text())
    assert (run.path / "config.yaml").read_text() == "a: 1\n"
    assert versions["torch"] == torch.__version__ and versions["seed"] == 5
    assert {"twist_cmg", "mujoco", "python", "git_commit"} <= set(versions)
    assert open_run(str(run.path)).path == run.path


def test_dated_folders_do_not_collide(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    made = [create_run("cmg", None, "", 1).path for _ in range(3)]
    assert [path.name[-2:] for path in made] == ["-1", "-2", "-3"]
    assert all(path.parent == tmp_path / "runs" for path in made)


def test_what_is_not_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is not a run folder"):
        open_run(str(tmp_path))


def test_old_checkpoints_go(tmp_path: Path) -> None:
    run = create_run("teacher", str(tmp_path / "run"), "", 1)
    for iteration in (1, 2, 3, 4):
        run.save(some_checkpoint(iteration), keep=2)
    names = sorted(path.name for path in run.checkpoints.iterdir())
    assert names == ["iter_000003.pt", "iter_000004.pt", "last.pt"]
    assert run.last("teacher").iteration == 4


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_table_grows_and_rewinds(tmp_path: Path) -> None:
    with create_run("teacher", str(tmp_path / "run"), "", 1) as run:
        run.log("progress", 1, {"reward": 0.5})
        run.log("progress", 2, {"reward": 0.25, "late": 1.5})
        run.log("progress", 3, {"reward": 0.125, "late": 2.5})
    table = run.path / "progress.csv"
    assert rows(table)[0] == {"iteration": "1", "reward": "0.5", "late": ""}
    with table.open("a") as file:
        file.write("4,0.0")  # a crash cut this row short
    run.rewind(2)
    assert [row["reward"] for row in rows(table)] == ["0.5", "0.25"]
    assert list(run.path.glob("events.out.tfevents.*"))


class Counter:
    """Stands in for a learner: its state is the sum of the iterations it has done."""

    def __init__(self, run: RunFolder, total: int, start: int = 0, sum_: int = 0) -> None:
        self.sum = sum_
        self.interrupt_at = 0
        train = Section(
            Field("checkpoint_every", "int", 4, ""),
            Field("evaluate_every", "int", 2, ""),
            Field("keep", "int", 0, ""),
        )
        progress = Progress(Console(quiet=True), "test", total)
        self.loop = Loop(
            run, train, total, progress, self.step, self.snapshot, self.evaluate, start
        )

    def step(self) -> Metrics:
        self.sum += self.loop.iteration + 1
        if self.loop.iteration + 1 == self.interrupt_at:
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)  # as make and timeout do
        return {"loss": float(self.sum), "env_steps": 2.0 * self.loop.iteration}

    def evaluate(self) -> Metrics:
        return {"score": float(self.sum)}

    def snapshot(self, iteration: int, metrics: Metrics) -> Checkpoint:
        return Checkpoint("teacher", {}, iteration, 0, {"sum": torch.tensor(self.sum)})


def test_the_loop_saves_and_evaluates_in_step(tmp_path: Path) -> None:
    with create_run("teacher", str(tmp_path / "run"), "", 1) as run:
        assert Counter(run, total=6).loop.iterate()
    names = sorted(path.name for path in run.checkpoints.iterdir())
    assert names == ["iter_000004.pt", "iter_000006.pt", "last.pt"]
    assert [row["iteration"] for row in rows(run.path / "evaluation.csv")] == ["0", "2", "4"]
    assert [row["loss"] for row in rows(run.path / "progress.csv")][-1] == "21.0"


def test_ctrl_c_saves_and_resuming_is_exact(tmp_path: Path) -> None:
    with create_run("teacher", str(tmp_path / "run"), "", 1) as run:
        first = Counter(run, total=6)
        first.interrupt_at = 3
        handler = signal.getsignal(signal.SIGINT)
        assert not first.loop.iterate()
        assert signal.getsignal(signal.SIGINT) is handler
        saved = run.last("teacher")
        assert saved.iteration == 3
        assert Counter(run, 6, saved.iteration, int(saved.state["sum"])).loop.iterate()
        assert int(run.last("teacher").state["sum"]) == 21
