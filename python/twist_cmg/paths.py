"""Where the files that come with the package lie."""

from pathlib import Path

PACKAGE = Path(__file__).resolve().parent


def config_folder() -> Path:
    """The folder of the shipped configurations: in the package, or in the source tree around it."""
    candidates = [PACKAGE / "configs", PACKAGE.parent.parent / "configs"]
    for folder in candidates:
        if folder.is_dir():
            return folder
    raise ValueError(f"no configurations found, looked for {' and '.join(map(str, candidates))}")


def find_config(name: str) -> Path:
    """A configuration by path, or by the name of a shipped one ("smoke" or "smoke.yaml")."""
    return _find(name, config_folder(), "configuration")


def find_robot(name: str) -> Path:
    """A robot file by path, or by the name of a shipped one ("g1_29dof")."""
    return _find(name, config_folder() / "robots", "robot")


def shipped(name: str) -> Path:
    """The path of a trained file inside the package (it need not exist)."""
    return PACKAGE / "assets" / name


def _find(name: str, folder: Path, what: str) -> Path:
    for path in (Path(name), folder / name, folder / f"{name}.yaml"):
        if path.is_file():
            return path.resolve()
    known = ", ".join(sorted(path.stem for path in folder.glob("*.yaml"))) or "none"
    raise ValueError(f"there is no {what} {name!r}: give the path of a YAML file or one of {known}")
