"""Films a recorded motion off-screen, in a process of its own.

Rendering libraries may kill the process that loads them where no display can be had, so each way
of rendering is tried in a child: `python -m twist_cmg.film MODEL MOTION FILM [STILL]`.
"""

import base64
import html
import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import mujoco
import numpy as np
from numpy.typing import NDArray

from .ghost import Ghost, Pose, heading

RENDERERS = ("egl", "osmesa")
FPS = 25
WIDTH, HEIGHT = 640, 480
_TIME_LIMIT_S = (300, 1)  # at least, and for each frame of the film
_SHADOW = 2048  # pixels; more cannot be seen in a film and takes long without a GPU
AZIMUTH_DEG = 125.0  # of the camera, from where the robot looks to
_JUMP_M = 0.7  # from here on the robot did not walk but was put elsewhere
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


def render_film(
    model: Path,
    qpos: NDArray[np.float64],
    film: Path,
    still: Path | None = None,
    ghost: NDArray[np.float64] | None = None,
    captions: Sequence[str] = (),
) -> str:
    """Writes an mp4, and a PNG if asked for, of a motion (frames, nq) at 50 Hz.

    `ghost` is a second motion (frames, nq), shown translucent; `captions` are texts, one a frame.
    Returns "" on success, otherwise one sentence about why there is no film.
    """
    if ghost is not None and ghost.shape != qpos.shape:
        raise ValueError(f"the ghost has shape {ghost.shape}, the motion {qpos.shape}")
    if captions and len(captions) != len(qpos):
        raise ValueError(f"there are {len(captions)} captions for {len(qpos)} frames")
    wanted = os.environ.get("MUJOCO_GL")
    reasons: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        motion = Path(folder) / "motion.npz"
        shown = {"qpos": qpos, "captions": np.array(captions, dtype=np.str_)}
        np.savez(motion, ghost=qpos[:0] if ghost is None else ghost, **shown)
        arguments = [str(path) for path in (model, motion, film, still) if path is not None]
        limit = max(_TIME_LIMIT_S[0], _TIME_LIMIT_S[1] * len(qpos) * FPS / 50)
        for renderer in (wanted,) if wanted else RENDERERS:
            reason = _try(renderer, arguments, limit)
            if not reason:
                return ""
            reasons.append(f"{renderer}: {reason}")
    return (
        f"no film was made because no off-screen renderer works ({'; '.join(reasons)}); "
        "on Debian or Ubuntu, `apt-get install libosmesa6` provides one"
    )


def _try(renderer: str, arguments: Sequence[str], limit_s: float) -> str:
    """Why this renderer does not work; "" if it did."""
    environment = {**os.environ, "MUJOCO_GL": renderer, "PYOPENGL_PLATFORM": renderer}
    command = [sys.executable, "-m", "twist_cmg.film", *arguments]
    try:
        child = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=limit_s
        )
    except subprocess.TimeoutExpired:
        return f"took longer than {limit_s:g} s"
    if child.returncode == 0:
        return ""
    lines = child.stderr.strip().splitlines()
    return lines[-1][:200] if lines else f"ended with status {child.returncode}"


def _render(model_file: Path, motion_file: Path, film: Path, still: Path | None = None) -> None:
    import imageio_ffmpeg
    from PIL import Image

    model = mujoco.MjModel.from_xml_path(str(model_file))
    with np.load(motion_file) as content:
        qpos, ghost, captions = (content[name] for name in ("qpos", "ghost", "captions"))
    if qpos.ndim != 2 or qpos.shape[1] != model.nq:
        raise ValueError(f"the motion has shape {qpos.shape}, the model {model.nq} coordinates")
    every = slice(None, None, 50 // FPS)
    poses, ghosts, texts = qpos[every], ghost[every], captions[every]
    writer = imageio_ffmpeg.write_frames(
        str(film), (WIDTH, HEIGHT), fps=FPS, quality=7, macro_block_size=16
    )
    writer.send(None)
    for index, pixels in enumerate(_pictures(model, poses, ghosts)):
        picture = _captioned(pixels, str(texts[index])) if len(texts) else pixels
        writer.send(np.ascontiguousarray(picture))
        if still is not None and index == len(poses) // 3:
            Image.fromarray(picture).save(still)
    writer.close()


def _pictures(
    model: mujoco.MjModel, poses: NDArray[np.float64], ghosts: NDArray[np.float64]
) -> Iterator[NDArray[np.uint8]]:
    """(HEIGHT, WIDTH, 3) for every pose; `ghosts` is as long or empty."""
    data = mujoco.MjData(model)
    ghost = Ghost(model)
    camera = _camera(model, with_ghost=len(ghosts) > 0)
    model.vis.global_.offwidth = max(model.vis.global_.offwidth, WIDTH)
    model.vis.global_.offheight = max(model.vis.global_.offheight, HEIGHT)
    model.vis.quality.shadowsize = min(model.vis.quality.shadowsize, _SHADOW)
    with mujoco.Renderer(model, HEIGHT, WIDTH) as renderer:
        renderer.scene.flags[mujoco.mjtRndFlag.mjRND_REFLECTION] = False  # twice as fast
        for index, pose in enumerate(poses):
            data.qpos[:] = pose
            mujoco.mj_forward(model, data)
            _follow(camera, pose, ghosts[index] if len(ghosts) else pose, at_once=index == 0)
            renderer.update_scene(data, camera)
            if len(ghosts):
                ghost.draw(renderer.scene, ghosts[index])
            yield renderer.render()


def _captioned(pixels: NDArray[np.uint8], text: str) -> NDArray[np.uint8]:
    from PIL import Image, ImageDraw, ImageFont

    image = Image.fromarray(pixels)
    style = {"fill": "white", "stroke_fill": "black", "stroke_width": 2}
    ImageDraw.Draw(image).text((14, 12), text, font=ImageFont.load_default(18), **style)
    return np.asarray(image)


def _camera(model: mujoco.MjModel, with_ghost: bool) -> mujoco.MjvCamera:
    """Looks at the robot from the side."""
    camera = mujoco.MjvCamera()
    mujoco.mjv_defaultFreeCamera(model, camera)
    camera.lookat[:] = (0.0, 0.0, 0.65)
    camera.distance, camera.elevation = 2.8 if with_ghost else 2.3, -12.0
    return camera


def _follow(camera: mujoco.MjvCamera, pose: Pose, other: Pose, at_once: bool) -> None:
    """Goes along with the middle of two poses, and slowly round with the heading of the first."""
    way = (pose[:2] + other[:2]) / 2 - camera.lookat[:2]
    turn = math.degrees(heading(pose)) + AZIMUTH_DEG - camera.azimuth
    at_once = at_once or float(np.linalg.norm(way)) > _JUMP_M
    camera.lookat[:2] += way if at_once else 0.2 * way
    camera.azimuth += turn if at_once else 0.03 * math.remainder(turn, 360)


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
