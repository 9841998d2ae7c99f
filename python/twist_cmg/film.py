"""Films a recorded motion off-screen, in a process of its own.

Rendering libraries may kill the process that loads them where no display can be had, so each way
of rendering is tried in a child: `python -m twist_cmg.film MODEL MOTION FILM STILL`.
"""

import base64
import html
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import mujoco
import numpy as np
from numpy.typing import NDArray

RENDERERS = ("egl", "osmesa")
FPS = 25
WIDTH, HEIGHT = 640, 480
_TIME_LIMIT_S = 300
_NO_FILM = 3  # exit status of a child that cannot render


@dataclass(frozen=True)
class Film:
    """A film that a notebook shows, or why there is none."""

    mp4: bytes = b""
    png: bytes = b""  # one frame
    problem: str = ""

    def _repr_html_(self) -> str:
        if self.problem:
            return html.escape(self.problem)
        content = base64.b64encode(self.mp4).decode()
        return f'<video controls loop src="data:video/mp4;base64,{content}"></video>'


def film_of(model: Path, qpos: NDArray[np.float64]) -> Film:
    """A film of a motion (frames, nq) at 50 Hz, in memory."""
    with tempfile.TemporaryDirectory() as folder:
        film, still = Path(folder) / "film.mp4", Path(folder) / "film.png"
        problem = render_film(model, qpos, film, still)
        return Film(problem=problem) if problem else Film(film.read_bytes(), still.read_bytes())


def render_film(model: Path, qpos: NDArray[np.float64], film: Path, still: Path) -> str:
    """Writes an mp4 and a PNG of a motion (frames, nq) at 50 Hz.

    Returns "" on success, otherwise one sentence about why there is no film.
    """
    wanted = os.environ.get("MUJOCO_GL")
    reasons: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        motion = Path(folder) / "motion.npy"
        np.save(motion, qpos)
        for renderer in (wanted,) if wanted else RENDERERS:
            arguments = [str(model), str(motion), str(film), str(still)]
            reason = _try(renderer, arguments)
            if not reason:
                return ""
            reasons.append(f"{renderer}: {reason}")
    return (
        f"no film was made because no off-screen renderer works ({'; '.join(reasons)}); "
        "on Debian or Ubuntu, `apt-get install libosmesa6` provides one"
    )


def _try(renderer: str, arguments: Sequence[str]) -> str:
    """Why this renderer does not work; "" if it did."""
    environment = {**os.environ, "MUJOCO_GL": renderer, "PYOPENGL_PLATFORM": renderer}
    command = [sys.executable, "-m", "twist_cmg.film", *arguments]
    try:
        child = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=_TIME_LIMIT_S
        )
    except subprocess.TimeoutExpired:
        return f"took longer than {_TIME_LIMIT_S} s"
    if child.returncode == 0:
        return ""
    lines = child.stderr.strip().splitlines()
    return lines[-1][:200] if lines else f"ended with status {child.returncode}"


def _render(model_file: Path, motion_file: Path, film: Path, still: Path) -> None:
    import imageio_ffmpeg
    from PIL import Image

    model = mujoco.MjModel.from_xml_path(str(model_file))
    qpos = np.load(motion_file)
    if qpos.ndim != 2 or qpos.shape[1] != model.nq:
        raise ValueError(f"the motion has shape {qpos.shape}, the model {model.nq} coordinates")
    data = mujoco.MjData(model)
    camera = _camera(model)
    model.vis.global_.offwidth = max(model.vis.global_.offwidth, WIDTH)
    model.vis.global_.offheight = max(model.vis.global_.offheight, HEIGHT)
    frames = qpos[:: 50 // FPS]
    writer = imageio_ffmpeg.write_frames(
        str(film), (WIDTH, HEIGHT), fps=FPS, quality=7, macro_block_size=16
    )
    writer.send(None)
    with mujoco.Renderer(model, HEIGHT, WIDTH) as renderer:
        renderer.scene.flags[mujoco.mjtRndFlag.mjRND_REFLECTION] = False  # twice as fast
        for index, pose in enumerate(frames):
            data.qpos[:] = pose
            mujoco.mj_forward(model, data)
            camera.lookat[:2] += 0.2 * (pose[:2] - camera.lookat[:2]) if index else pose[:2]
            renderer.update_scene(data, camera)
            pixels = renderer.render()
            writer.send(np.ascontiguousarray(pixels))
            if index == len(frames) // 3:
                Image.fromarray(pixels).save(still)
    writer.close()


def _camera(model: mujoco.MjModel) -> mujoco.MjvCamera:
    """Looks at the robot from the side and follows it."""
    camera = mujoco.MjvCamera()
    mujoco.mjv_defaultFreeCamera(model, camera)
    camera.lookat[:] = (0.0, 0.0, 0.65)
    camera.distance, camera.azimuth, camera.elevation = 2.3, 125.0, -12.0
    return camera


def main(arguments: Sequence[str]) -> int:
    """Renders in this process; the last line on standard error says why it did not work."""
    try:
        _render(*map(Path, arguments))
    except Exception as error:  # the door of a command: any failure of a renderer ends here
        sys.stderr.write(f"{type(error).__name__}: {' '.join(str(error).split())}\n")
        return _NO_FILM
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
