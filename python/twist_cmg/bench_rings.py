"""Measures the rings of the motion generator: making frames, reading them, and memory."""

import multiprocessing
import time
from typing import Any

from . import _C
from .bench_cmg import ENVS, make_generator, seed_sized_cmg

MODES = ("quick", "full", "scaling", "preload", "buffer")
_RINGS = (("pregenerated", 500), ("realtime", 100))
Case = tuple[str, int, int]  # mode, environments, frames of the ring


def cases_of(mode: str) -> list[Case]:
    """The cases of a benchmark mode: those of the seed's script."""
    scaling = [(m, n, f) for n in (512, 1024, 2048, 4096, 8192) for m, f in _RINGS]
    preload = [("pregenerated", 2048, frames) for frames in (100, 200, 300, 500, 1000)]
    buffer = [("realtime", 2048, frames) for frames in (50, 100, 150, 200)]
    choice = {"quick": [(m, ENVS, f) for m, f in _RINGS], "scaling": scaling, "preload": preload}
    choice |= {"buffer": buffer, "full": scaling + preload + buffer}
    return choice[mode]


def measure(case: Case, threads: int) -> dict[str, Any]:
    """Times and peak memory of one case, in a fresh process."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_case, (*case, threads))


def _case(mode: str, envs: int, frames: int, threads: int) -> dict[str, Any]:
    """Times and peak memory of one generator; runs in a process of its own."""
    _C.choose_matmul_backend()
    model = seed_sized_cmg()
    make_generator(model, mode, 256, 100, threads)  # warm up
    before = _memory("VmRSS")
    with open("/proc/self/clear_refs", "w") as file:  # the peak starts anew
        file.write("5")
    start = time.perf_counter()
    generator = make_generator(model, mode, envs, frames, threads)
    made = time.perf_counter() - start
    read, steps = 0.0, 200
    for _ in range(steps):
        start = time.perf_counter()
        generator.read()
        read += time.perf_counter() - start
        generator.advance()
    stats = generator.get_performance_stats()
    return {
        "mode": mode,
        "envs": envs,
        "frames": frames,
        "threads": threads,
        "reset_ms": 1e3 * made,
        "read_ms": 1e3 * read / steps,
        "frames_per_s": stats["generated_frames"] / stats["generation_s"],
        "ring_mb": stats["ring_bytes"] / 1e6,
        "peak_mb": (_memory("VmHWM") - before) / 1e6,
    }


def _memory(key: str) -> int:
    """A figure of /proc/self/status in bytes."""
    with open("/proc/self/status") as file:
        line = next(line for line in file if line.startswith(key))
    return int(line.split()[1]) * 1024
