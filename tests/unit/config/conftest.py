"""A working folder of one's own, and config files in it."""

import pytest


@pytest.fixture
def here(tmp_path, monkeypatch):
    """The folder the user works in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def personal(here, monkeypatch):
    """Write a file below the person's own configuration folder."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(here / "home"))

    def written(path, text):
        file = here / "home" / "lushan" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
        return file

    return written


@pytest.fixture
def write(here):
    """Write a file below that folder's `conf/`."""

    def written(path, text):
        file = here / "conf" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
        return file

    return written


@pytest.fixture
def evil(here, monkeypatch):
    """A package that can be imported, and leaves a file behind once it is."""
    place = here / "elsewhere"
    package = place / "evilpkg"
    package.mkdir(parents=True)
    marker = here / "marker"
    text = f"open({str(marker)!r}, 'w').close()\ndef run(*_, **__):\n    pass\n"
    (package / "__init__.py").write_text(text)
    (package / "conf").mkdir()
    (package / "conf" / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(place)
    return marker
