"""Imports that wait until something of theirs is used."""

import subprocess
import sys

import pytest

from lushan.compat import deferred

SLOW = """
VALUE = 3
class Thing:
    size = 4
def twice(number): return 2 * number
def tagged(function, tag=""):
    if isinstance(function, str):
        return lambda f: tagged(f, function)
    def inner(): return function() + tag
    return inner
"""
IMPORTER = """
import slow_package.inner
from slow_package.inner import Thing, twice, tagged
from slow_package import inner as by_name
def is_thing(value: Thing | None): return isinstance(value, Thing)
@tagged
def plain(): return "plain"
@tagged("!")
def marked(): return "marked"
"""


@pytest.fixture
def packages(tmp_path, monkeypatch):
    """A package whose imports wait, and the one that it imports; their folder."""
    (tmp_path / "slow_package").mkdir()
    (tmp_path / "slow_package/__init__.py").write_text("")
    (tmp_path / "slow_package/inner.py").write_text(SLOW)
    (tmp_path / "importer_package.py").write_text(IMPORTER)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(deferred, "IMPORTERS", ("importer_package",))
    monkeypatch.setattr(deferred, "WAITING", ("slow_package",))
    yield tmp_path
    for name in ("importer_package", "slow_package", "slow_package.inner"):
        sys.modules.pop(name, None)


def imported(lines=""):
    with deferred.deferring():
        import importer_package
    return importer_package


def is_imported():
    return "slow_package" in sys.modules


def test_a_name_waits_until_it_is_called(packages):
    found = imported()
    assert not is_imported()
    assert not found.is_thing(3)
    assert not is_imported()
    assert found.twice(2) == 4
    assert is_imported()
    assert found.is_thing(found.Thing())
    assert not found.is_thing(3)


def test_a_module_waits_until_it_is_asked(packages):
    found = imported()
    assert found.slow_package.inner.VALUE == 3
    assert found.by_name.twice(4) == 8
    assert found.Thing.size == 4


def test_functions_are_decorated_when_they_are_called(packages):
    found = imported()
    assert (found.plain.__name__, found.marked.__name__) == ("plain", "marked")
    assert not is_imported()
    assert (found.plain(), found.marked()) == ("plain", "marked!")


def test_marks_for_a_compiler_are_not_needed_before_it_is_there(packages, monkeypatch):
    monkeypatch.setattr(deferred, "COMPILER", "slow_package.inner")
    found = imported()
    assert found.marked() == "marked"
    assert not is_imported()
    assert found.twice(2) == 4
    assert found.marked() == "marked!"


def test_what_needs_the_module_at_once_gets_it(packages):
    with (packages / "importer_package.py").open("a") as file:
        file.write("class Own(Thing): pass\nfrom slow_package.inner import VALUE\n")
        file.write("class Other(Thing): pass\n")
    found = imported()
    assert issubclass(found.Own, sys.modules["slow_package.inner"].Thing)
    assert isinstance(found.Other(), found.Thing)
    assert found.is_thing(found.Other())


def test_an_importer_that_fails_so_is_imported_with_everything(packages):
    with (packages / "importer_package.py").open("a") as file:
        file.write("from slow_package.inner import VALUE\nMORE = VALUE + 1\n")
    assert imported().MORE == 4
    assert is_imported()


def test_an_error_of_the_importer_is_its_own(packages):
    (packages / "importer_package.py").write_text("import slow_package\n1 / 0\n")
    with pytest.raises(ZeroDivisionError):
        imported()


def test_what_is_not_there_is_missing(packages):
    (packages / "importer_package.py").write_text(
        "import importlib.util\n"
        "HAS = importlib.util.find_spec('slow_package.nothing') is not None\n"
        "FILE = importlib.util.find_spec('slow_package.inner').origin\n"
    )
    found = imported()
    assert not found.HAS
    assert found.FILE.endswith("inner.py")


def test_nothing_waits_where_it_is_not_wanted(packages):
    before = list(sys.meta_path)
    with deferred.deferring(), deferred.deferring(wanted=False):
        import importer_package
    assert importer_package.slow_package.inner.twice(2) == 4
    assert not isinstance(importer_package.Thing, deferred._Name)
    assert sys.meta_path == before


def test_others_import_as_ever(packages):
    with deferred.deferring():
        import slow_package.inner
    assert slow_package.inner.VALUE == 3


CHECK = """
import sys
from lushan.compat import deferred
with deferred.deferring():
    import transformers.modeling_utils, pytorch_lightning, torchmetrics.classification
    assert not [n for n in deferred.WAITING if n in sys.modules], sorted(sys.modules)
    from transformers import AutoModel, BertConfig
from transformers.utils import import_utils
read = import_utils.create_import_structure_from_path.__closure__[0].cell_contents.cache_info()
assert read.hits, read  # the models of transformers are listed once
import torch, accelerate, scipy.optimize, matplotlib.pyplot
from torch.distributed.tensor import DTensor
from torch._dynamo import OptimizedModule
from transformers.distributed import sharding_utils
from transformers.loss import loss_for_object_detection as loss
assert sharding_utils.DTensor.real() is DTensor
assert loss.linear_sum_assignment([[1.0, 0.0], [0.0, 1.0]])[1].tolist() == [1, 0]
assert isinstance(torch.compile(torch.nn.Linear(1, 1)), OptimizedModule)
print("good")
"""


@pytest.mark.slow
def test_the_libraries_are_imported_without_what_waits():
    done = subprocess.run(
        [sys.executable, "-c", CHECK], capture_output=True, text=True, check=False
    )
    assert done.stdout == "good\n", done.stderr
