"""Print the wheels a checkout needs, one a line, as pyproject.toml names them."""

from pathlib import Path

try:
    import tomllib
except ModuleNotFoundError:  # Python 3.10: pip carries the same parser
    from pip._vendor import tomli as tomllib

settings = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())
project = settings["project"]
extras = [name for group in project["optional-dependencies"].values() for name in group]
print("\n".join([*settings["build-system"]["requires"], *project["dependencies"], *extras]))
