"""Velocity commands in, a walking humanoid out: motion generator, simulation and learning.

The work is done by the C++ extension `twist_cmg._C`; this package configures it, keeps run folders
and shows progress.
"""

from importlib import metadata

import mujoco
import torch

_REPAIR = "run `pip install .` again in the source folder so that both agree"

try:
    from . import _C  # after torch and mujoco: it needs their libraries to be loaded
except ImportError as error:
    raise ImportError(
        f"twist_cmg._C does not load with torch {torch.__version__} and mujoco "
        f"{mujoco.__version__} ({error}); {_REPAIR}"
    ) from error


def _check_versions() -> None:
    """Refuses to run with libraries other than those that the extension was compiled against."""
    running_torch = torch.__version__.split("+")[0]
    if running_torch != _C.torch_version.split("+")[0]:
        raise ImportError(
            f"twist_cmg was compiled against torch {_C.torch_version} but torch {running_torch} "
            f"is installed; {_REPAIR}"
        )
    if mujoco.mj_version() != _C.mujoco_version:
        raise ImportError(
            f"twist_cmg was compiled against mujoco {_C.mujoco_version} but mujoco "
            f"{mujoco.mj_version()} is installed; {_REPAIR}"
        )


def _own_version() -> str:
    try:
        return metadata.version("twist_cmg")
    except metadata.PackageNotFoundError:
        return "0+uninstalled"  # imported from a source tree


_check_versions()
__version__ = _own_version()

from ._C import CommandSampler, CommandSet, CommandSmoother  # noqa: E402  (a checked _C)
from .config import load_config, resolved  # noqa: E402
from .generator import CmgMotionGenerator  # noqa: E402

__all__ = [
    "CmgMotionGenerator",
    "CommandSampler",
    "CommandSet",
    "CommandSmoother",
    "__version__",
    "load_config",
    "resolved",
]
