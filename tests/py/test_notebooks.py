"""The notebooks run from top to bottom, with small settings."""

import ast
import json
from pathlib import Path
from typing import Any

import pytest

from twist_cmg.export_motion import main as export_motion

NOTEBOOKS = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))


def cells_of(path: Path) -> list[dict[str, Any]]:
    return [cell for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == "code"]


def run_notebook(path: Path) -> list[str]:
    """Runs every cell as Jupyter does; what it would show of the values at the end of cells."""
    scope: dict[str, Any] = {}
    shown = []
    for number, cell in enumerate(cells_of(path)):
        name = f"{path.name}[{number}]"
        body = ast.parse("".join(cell["source"]), name).body
        last = body.pop() if isinstance(body[-1], ast.Expr) else None
        exec(compile(ast.Module(body, []), name, "exec"), scope)
        if last is not None:
            value = eval(compile(ast.Expression(last.value), name, "eval"), scope)
            shown += [] if value is None else [shown_as(value)]
    return shown


def shown_as(value: Any) -> str:
    if hasattr(value, "_repr_mimebundle_"):
        return value._repr_mimebundle_([], [])["text/html"]
    return value._repr_html_() if hasattr(value, "_repr_html_") else repr(value)


def write_notebook(path: Path, *sources: str) -> Path:
    cells = [{"cell_type": "code", "source": source.splitlines(True)} for source in sources]
    path.write_text(json.dumps({"cells": cells}))
    return path


@pytest.fixture
def pyplot(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Figures without a display; small settings; temporary files go to a place of the test."""
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    monkeypatch.setenv("TWIST_NOTEBOOK_QUICK", "1")
    monkeypatch.delenv("TWIST_MOTION", raising=False)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    yield plt
    plt.close("all")


def check(path: Path, pyplot: Any) -> None:
    assert all(run_notebook(path))
    figures = [pyplot.figure(number) for number in pyplot.get_fignums()]
    assert len(figures) >= 5
    for figure in figures:
        assert all(axis.has_data() for axis in figure.axes)
        figure.canvas.draw()


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_cell_runs_and_every_drawing_shows_something(path: Path, pyplot: Any) -> None:
    check(path, pyplot)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_recordings_of_the_user(
    path: Path, pyplot: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "mine"
    commands = ["--command", "0.5", "0", "0", "--command", "0", "0", "0.5"]
    export_motion(["--source", "gait", "--format", "pkl", *commands, "--out", str(folder)])
    monkeypatch.setenv("TWIST_MOTION", str(folder))
    check(path, pyplot)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_outputs_are_not_kept(path: Path) -> None:
    for cell in cells_of(path):
        assert cell["outputs"] == [] and cell["execution_count"] is None


def test_a_cell_that_fails_is_noticed(tmp_path: Path) -> None:
    broken = write_notebook(tmp_path / "broken.ipynb", "a = 1", "a\nb")
    with pytest.raises(NameError, match="'b'"):
        run_notebook(broken)


def test_an_empty_drawing_is_noticed(tmp_path: Path, pyplot: Any) -> None:
    draw = "import matplotlib.pyplot as plt\nfor _ in range(5):\n    plt.subplots()[1].plot([1, 2])"
    check(write_notebook(tmp_path / "drawings.ipynb", draw), pyplot)
    with pytest.raises(AssertionError):
        check(write_notebook(tmp_path / "empty.ipynb", draw, "plt.subplots()"), pyplot)


def test_what_a_cell_ends_with_is_shown(tmp_path: Path) -> None:
    made = write_notebook(tmp_path / "made.ipynb", "a = [1]", "a.append(2)", "a")
    assert run_notebook(made) == ["[1, 2]"]
