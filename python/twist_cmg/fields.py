"""Settings that know their fields: the one place where configuration values are checked.

C++ settings structs and the Python-side `Section` look alike: `fields()` describes them and
attributes hold the values. Everything below works on both.
"""

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from . import _C

UNBOUNDED = 1e300


class FieldLike(Protocol):
    """Describes one value of a settings object (as `_C` does for the C++ structs)."""

    @property
    def name(self) -> str: ...
    @property
    def type(self) -> str: ...
    @property
    def lower(self) -> float: ...
    @property
    def upper(self) -> float: ...
    @property
    def choices(self) -> Sequence[str]: ...
    @property
    def doc(self) -> str: ...


class SettingsLike(Protocol):
    """Anything with described fields whose values are attributes."""

    def fields(self) -> Sequence[FieldLike]: ...


@dataclass(frozen=True)
class Field:
    """A field of a Python-side section; `single` lets a list of strings be given as one string."""

    name: str
    type: str
    default: Any
    doc: str
    lower: float = -UNBOUNDED
    upper: float = UNBOUNDED
    choices: tuple[str, ...] = ()
    single: bool = False


class Section:
    """Settings declared in Python."""

    def __init__(self, *fields: Field) -> None:
        self._fields = fields
        for field in fields:
            setattr(self, field.name, field.default)

    def fields(self) -> Sequence[Field]:
        """The fields in the order of the YAML file."""
        return self._fields

    def __getattr__(self, name: str) -> Any:  # only reached for names that are not fields
        raise AttributeError(f"no setting {name!r}")


def to_dict(settings: SettingsLike) -> dict[str, Any]:
    """All values as plain dicts, lists and numbers."""
    return {
        field.name: to_dict(getattr(settings, field.name))
        if field.type == "settings"
        else _plain(getattr(settings, field.name))
        for field in settings.fields()
    }


def apply(settings: SettingsLike, data: object, prefix: str = "") -> None:
    """Writes a tree of values into settings; ValueError names the full key of the first bad one."""
    if not isinstance(data, Mapping):
        raise ValueError(
            f"{prefix or 'a configuration'} must be a mapping of keys to values, not {data!r}"
        )
    known = {field.name: field for field in settings.fields()}
    for name, value in data.items():
        key = f"{prefix}.{name}" if prefix else str(name)
        if name not in known:
            raise ValueError(_unknown(key, settings, prefix))
        field = known[name]
        if field.type == "settings":
            apply(getattr(settings, field.name), value, key)
        else:
            checked = check(key, field, value)
            if isinstance(checked, dict):
                checked = {**getattr(settings, field.name), **checked}
            setattr(settings, field.name, checked)


def check(key: str, field: FieldLike, value: object) -> Any:
    """The value in the type of its field; ValueError if it has another type or is not valid."""
    if field.type.startswith("list["):
        return _check_list(key, field, value)
    if field.type.startswith("dict["):
        return _check_dict(key, field, value)
    return _check_scalar(key, field.type, field, value)


def leaves(settings: SettingsLike, prefix: str = "") -> Iterator[tuple[str, FieldLike]]:
    """Every full key with its field."""
    for field in settings.fields():
        key = f"{prefix}.{field.name}" if prefix else field.name
        if field.type == "settings":
            yield from leaves(getattr(settings, field.name), key)
        else:
            yield key, field


def nest(key: str, value: object) -> dict[str, Any]:
    """{"a": {"b": value}} for the key "a.b"."""
    for name in reversed(key.split(".")):
        value = {name: value}
    assert isinstance(value, dict)
    return value


def did_you_mean(given: str, known: Sequence[str]) -> str:
    """ " (did you mean 'x'?)" or nothing."""
    close = difflib.get_close_matches(given, known, n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    return list(value) if isinstance(value, list | tuple) else value


def _unknown(key: str, settings: SettingsLike, prefix: str) -> str:
    names = [field.name for field in settings.fields()]
    siblings = [f"{prefix}.{name}" if prefix else name for name in names]
    everything = [leaf for leaf, _ in leaves(settings, prefix)]
    same_end = [leaf for leaf in everything if leaf.endswith("." + key.rpartition(".")[2])]
    guesses = [did_you_mean(key, keys) for keys in (siblings, everything)]
    hint = did_you_mean(same_end[0], same_end) if same_end else guesses[0] or guesses[1]
    where = f"in {prefix!r}" if prefix else "at the top"
    return f"unknown configuration key {key!r}{hint}; valid keys {where} are {', '.join(names)}"


def _check_list(key: str, field: FieldLike, value: object) -> list[Any]:
    inner = field.type[len("list[") : -1]
    if isinstance(value, str) and getattr(field, "single", False):
        value = [value]
    if not isinstance(value, list | tuple):
        raise ValueError(f"{key} must be a list of {_PLURALS[inner]}, not {value!r}")
    return [_check_scalar(f"{key}[{i}]", inner, field, item) for i, item in enumerate(value)]


def _check_dict(key: str, field: FieldLike, value: object) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise ValueError(f"{key} must be a mapping of names to numbers, not {value!r}")
    valid = _names(field)
    for name in value:
        if not isinstance(name, str) or (valid and name not in valid):
            hint = did_you_mean(f"{key}.{name}", [f"{key}.{choice}" for choice in valid])
            raise ValueError(
                f"unknown configuration key '{key}.{name}'{hint}; "
                f"valid keys in {key!r} are {', '.join(valid) or 'strings'}"
            )
    return {n: _check_scalar(f"{key}.{n}", "float", field, item) for n, item in value.items()}


def _check_scalar(key: str, type_name: str, field: FieldLike, value: object) -> Any:
    python_type = _TYPES[type_name]
    if type_name == "float" and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if not isinstance(value, python_type) or (isinstance(value, bool) and type_name != "bool"):
        raise ValueError(f"{key} must be {_NAMES[type_name]}, not {value!r}")
    if isinstance(value, str):
        _check_choice(key, field, value)
    elif not isinstance(value, bool) and not field.lower <= value <= field.upper:
        raise ValueError(f"{key} must lie in {_interval(field)}, not be {value!r}")
    return value


def _check_choice(key: str, field: FieldLike, value: str) -> None:
    valid = _names(field)
    if valid and value not in valid:
        hint = did_you_mean(value, valid)
        raise ValueError(f"{key} must be one of {', '.join(valid)}, not {value!r}{hint}")


def _interval(field: FieldLike) -> str:
    lower = "-inf" if field.lower <= -UNBOUNDED else f"{field.lower:.10g}"
    upper = "inf" if field.upper >= UNBOUNDED else f"{field.upper:.10g}"
    return f"[{lower}, {upper}]"


def _names(field: FieldLike) -> Sequence[str]:
    """Valid choices of a string, or valid keys of a dict of named terms."""
    return field.choices or (_TERMS[field.name]() if field.name in _TERMS else ())


_TYPES: dict[str, type] = {"bool": bool, "int": int, "float": float, "str": str}
_NAMES = {
    "bool": "true or false",
    "int": "a whole number",
    "float": "a number",
    "str": "a string",
}

_PLURALS = {"float": "numbers", "str": "strings"}

# fields whose keys are names of the environment's terms
_TERMS = {"rewards": _C.reward_names, "final_rewards": _C.reward_names}
