"""What several tests share."""

from pathlib import Path

import pytest

from tiny import TINY, call
from twist_cmg import train


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run folder of a teacher that has learned next to nothing."""
    out = tmp_path_factory.mktemp("runs") / "tiny"
    assert call(train.main, "teacher", *TINY, "--iterations", "2", "--out", str(out)) == 0
    return out
