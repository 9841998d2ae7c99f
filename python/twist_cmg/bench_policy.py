"""How long one pass of an exported policy takes: `python -m twist_cmg.bench policy`."""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

from . import _C
from .bundle import CONTRACT, Bundle, read_golden
from .bundle_writer import write_bundle
from .config import load_robot
from .evaluation import load_policy

_ROUNDS, _PASSES = 15, 400


def measure_policy(name: str) -> dict[str, float]:
    """Microseconds of a pass at batch 1 on one thread, the forms in turn; medians of rounds."""
    if (Path(name) / CONTRACT).is_file():
        return _measure(Path(name))
    policy = load_policy(name)
    with tempfile.TemporaryDirectory() as folder:
        write_bundle(policy, Path(folder) / "bundle")
        return _measure(Path(folder) / "bundle")


def _measure(folder: Path) -> dict[str, float]:
    core, runtime, policy = _C.Bundle(str(folder)), Bundle(folder), load_policy(str(folder))
    observation = read_golden(folder, runtime.contract)[0][:1]
    robot, observe = load_robot(policy.config.robot), policy.config.env.observe
    network = _C.Policy(dict(policy.checkpoint.policy), robot, observe)
    forms: dict[str, Callable[[], float]] = {
        "ours": lambda: core.time_act(observation, _PASSES),
        "onnxruntime": lambda: _time(lambda: runtime.act(observation)),
        "libtorch": lambda: _time(lambda: network.act(observation)),
    }
    times: dict[str, list[float]] = {form: [] for form in forms}
    for _ in range(_ROUNDS):
        for form, passes in forms.items():
            times[form].append(1e6 * passes())
    result = {f"{form}_us": median(values) for form, values in times.items()}
    result["onnxruntime_over_ours"] = result["onnxruntime_us"] / result["ours_us"]
    return result


def _time(act: Callable[[], object]) -> float:
    """Seconds of a pass."""
    start = time.perf_counter()
    for _ in range(_PASSES):
        act()
    return (time.perf_counter() - start) / _PASSES
