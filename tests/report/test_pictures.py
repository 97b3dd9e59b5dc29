import base64
import sys

import pytest

from mpcore.report.pictures import pictures
from mpcore.store import RunError

PNG = b"\x89PNG and so on"


@pytest.fixture
def pictured(run, full):
    """A run on a GPU of which one training left a picture."""
    picture = base64.b64encode(PNG).decode()
    trained = full[1].model_copy(update={"record": full[1].record.model_copy(update={"picture": picture})})
    return run.model_copy(update={"results": (full[0], trained, *full[2:])})


def test_speedups_matrices_and_pictures_are_written(pictured, tmp_path):
    pytest.importorskip("matplotlib")
    paths = list(pictures(pictured, tmp_path / "new"))
    names = [path.name for path in paths]
    assert names[:2] == ["over-fp32-on-some-gpu.png", "over-tf32-on-some-gpu.png"]
    assert sum(name.endswith("-confusion.png") for name in names) == 9
    assert (tmp_path / "new" / "bert-imdb-fp32-graph-full-picture.png").read_bytes() == PNG
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in paths)
    assert sorted(names) == sorted(path.name for path in (tmp_path / "new").iterdir())


def test_without_matplotlib_it_is_said_how_to_get_it(pictured, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(RunError, match=r"pip install 'mpcore\[plots\]'") as error:
        list(pictures(pictured, tmp_path / "new"))
    assert "\n" not in str(error.value)
    assert not (tmp_path / "new").exists()
