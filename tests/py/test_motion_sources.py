"""Motion is found in files, folders and lists; a list with a fault is refused."""

from pathlib import Path

import pytest

from twist_cmg.motion_sources import SUFFIXES, Source, find_sources


def test_folders_are_searched_through_and_through(tmp_path: Path) -> None:
    (tmp_path / "in" / "deep").mkdir(parents=True)
    for name in ("b.pkl", "in/a.csv", "in/deep/c.npz", "in/notes.txt", ".b.pkl.3.tmp", ".x.npz"):
        (tmp_path / name).touch()
    found = find_sources([str(tmp_path), str(tmp_path / "b.pkl")])
    assert [source.name for source in found] == ["b", "in/a", "in/deep/c", "b"]
    assert {".pkl", ".npz", ".csv"} <= set(SUFFIXES)
    (tmp_path / "empty").mkdir()
    for wrong in ([], [str(tmp_path / "empty")], [str(tmp_path / "c.pkl")]):
        with pytest.raises(ValueError, match=r"recorded motion|holds no|there is no motion file"):
            find_sources(wrong)


def test_a_list_is_read_with_its_keys_in_any_order(tmp_path: Path) -> None:
    (tmp_path / "data" / "a").mkdir(parents=True)
    for name in ("data/a/one.pkl", "data/two.npz", "three.csv"):
        (tmp_path / name).touch()
    (tmp_path / "list.yaml").write_text(
        "motions:\n"
        "- {weight: 2.5, file: a/one.pkl, description: first}\n"
        "- file: two.npz\n  description:\n  weight: 0\n"
        f"- file: {tmp_path}/three.csv\n"
        "root_path: data\n"
    )
    one, two, three = find_sources([str(tmp_path / "list.yaml")])
    assert one == Source(tmp_path / "data/a/one.pkl", "a/one", 2.5, "first")
    assert two == Source(tmp_path / "data/two.npz", "two", 0.0, "")
    assert three == Source(tmp_path / "three.csv", "three", None, "")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[1]", "is no motion list: it must have the keys root_path and motions"),
        ("motions: []", "motions must be a list of entries with file, weight, description"),
        ("{motions: [{file: a.pkl}], root: x}", "is no motion list"),
        ("{motions: [{file: a.pkl}], root_path: 3}", "root_path must be a folder, not 3"),
        ("motions: [a.pkl]", "motions[0] must name a file"),
        ("motions: [{weight: 1}]", "motions[0] must name a file"),
        ("motions: [{file: a.pkl, wieght: 1}]", "'wieght' (did you mean 'weight'?)"),
        ("motions: [{file: a.pkl}, {file: b.pkl}]", "motions[1]: there is no motion file"),
        ("motions: [{file: a.pkl, weight: -1}]", "weight must be a number from 0 on, not -1"),
        ("motions: [{file: a.pkl, weight: }]", "weight must be a number from 0 on, not None"),
        ("motions: [{file: a.pkl, weight: true}]", "weight must be a number from 0 on, not True"),
        ("motions: [{file: a.pkl, weight: .nan}]", "weight must be a number from 0 on, not nan"),
        ("motions: [{file: a.pkl, weight: '1'}]", "weight must be a number from 0 on, not '1'"),
        ("motions: [{file: a.pkl, file: a.pkl}]", "the key 'file' is given twice"),
        ("motions: [", "is not valid YAML"),
    ],
)
def test_a_wrong_list_is_refused(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "a.pkl").touch()
    (tmp_path / "list.yaml").write_text(text)
    with pytest.raises(ValueError) as error:
        find_sources([str(tmp_path / "list.yaml")])
    assert "list.yaml" in str(error.value) and told in str(error.value)
