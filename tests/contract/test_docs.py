"""Every command in the documentation is run by a test, or says why not; all of them are valid."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import typer
import yaml

from lushan.cli.app import app
from lushan.config.check import check
from lushan.config.compose import compose
from lushan.errors import UserError

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md"))
EXPERIMENTS = [f"../{p.relative_to(ROOT)}" for p in sorted(ROOT.glob("experiments/*/*.md"))]
RUN_BY = {
    "assist.md": "tests/unit/assist/test_assist_docs.py",
    "guard.md": "tests/unit/monitor/test_monitor_docs.py",
    "monitor.md": "tests/unit/monitor/test_monitor_docs.py",
    "recommend.md": "tests/unit/tasks/test_recommend_docs.py",
    "retrieval.md": "tests/unit/retrieval/test_retrieval_docs.py",
    "tutorial.md": "tests/contract/test_docs.py",
}
"""Pages whose commands a test carries out, in their order."""
MARK = re.compile(r"<!-- not run: (.+) -->")
COMMAND = re.compile(r"\$? ?(?:\w+=\S+ )?lushan (.+)")
LINK = re.compile(r"(?<!!)\[[^\]]+\]\(([^)#:]+)(?:#[^)]*)?\)")


def blocks(page):
    """(why it is not run or None, its language, its lines) of each block of code."""
    reason, block, language = None, None, ""
    for line in (DOCS / page).read_text(encoding="utf-8").splitlines():
        text = line.strip()
        if text.startswith("```"):
            if block is None:
                block, language = [], text[3:]
            else:
                yield reason, language, block
                reason, block = None, None
        elif block is not None:
            block.append(line)
        elif text:
            found = MARK.fullmatch(text)
            reason = found and found[1]


def commands(lines):
    """The arguments of each command of a block."""
    for line in "\n".join(lines).replace("\\\n", " ").splitlines():
        found = COMMAND.match(line.strip())
        if found:
            yield shlex.split(found[1].partition(" | ")[0], comments=True)


def all_of(page):
    return [words for _, _, lines in blocks(page) for words in commands(lines)]


@pytest.mark.parametrize("page", PAGES)
def test_a_command_is_run_or_says_why_not(page):
    for reason, _, lines in blocks(page):
        if page not in RUN_BY and list(commands(lines)):
            assert reason is not None, f"neither run nor marked: {lines}"
            assert len(reason.split()) > 3


def test_the_pages_that_are_run_have_their_test():
    for page, file in RUN_BY.items():
        assert page in (ROOT / file).read_text(encoding="utf-8")
        assert all_of(page)


@pytest.mark.parametrize("page", [*PAGES, *EXPERIMENTS])
def test_commands_have_the_options_that_are_written(page):
    root = typer.main.get_command(app)
    for words in all_of(page):
        found, left = root, list(words)
        while hasattr(found, "commands") and left and left[0] in found.commands:
            found = found.commands[left.pop(0)]
        assert found is not root, f"no such command: {words}"
        if words[0] != "train" and not hasattr(found, "commands"):
            found.make_context(words[0], [w for w in left if w != "..."]).close()


def overrides_of(words):
    """What `lushan train` composes: of a sweep's values the first."""
    flags = {"--cfg", "job", "-m", "..."}
    for word in words:
        key, equals, value = word.partition("=")
        if word not in flags and equals:
            plain = "-m" in words and not re.search(r"[(\[]", value)
            yield f"{key}={value.partition(',')[0]}" if plain else word


def assert_composes(words):
    line = " ".join(words)
    if "..." in words or "search/sample_ner" in line or "interval(" in line or "$(" in line:
        return  # the reader's own words are to be added, or a search's or command's values
    try:
        check(compose(list(overrides_of(words))))
    except UserError as error:
        # What is not on this machine, or is the reader's: a run, a folder, a package, own targets.
        if not re.search(
            r"does not exist|not installed|no run|there is no|unknown key|not allowed|RUN|GPU",
            str(error),
        ):
            raise


@pytest.mark.parametrize("page", ["how_to/classify_texts.md"])
def test_what_is_trained_composes(page):
    for words in all_of(page):
        if words[0] == "train":
            assert_composes(words[1:])


@pytest.mark.parametrize("page", EXPERIMENTS)
def test_files_of_an_experiment_are_there(page):
    content = (DOCS / page).read_text(encoding="utf-8")
    assert all((ROOT / name).exists() for name in re.findall(r"experiments/[\w/.]+\w", content))


@pytest.mark.slow(1)
@pytest.mark.long
@pytest.mark.parametrize("page", [*PAGES, *EXPERIMENTS])
def test_whatever_is_trained_composes(page):
    mistakes = {"num_train_epochs=3", "--fp16", "optimizer.learning_rate=1e-3"}
    for words in all_of(page):
        if words[0] == "train" and not mistakes & set(words):
            assert_composes(words[1:])


def test_links_lead_somewhere_and_every_page_is_in_the_navigation():
    content = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    nav = set(re.findall(r": ([\w/]+\.md)$", content, re.M))
    made = {page for page in nav if page.startswith("reference/")}
    assert nav - made == set(PAGES)
    assert yaml.safe_load(content)["docs_dir"] == "docs"
    for page in PAGES:
        for link in LINK.findall((DOCS / page).read_text(encoding="utf-8")):
            target = (DOCS / page).parent / link
            known = target.exists() or target.resolve().relative_to(DOCS).as_posix() in made
            assert known, f"{page}: {link}"


@pytest.mark.slow(240)
@pytest.mark.long
def test_the_tutorial_from_its_first_run_to_its_last_check(tmp_path, cli):
    """tutorial.md, as it stands, but for what it says is not run."""
    run = None
    count = 0
    for reason, language, lines in blocks("tutorial.md"):
        if language == "yaml":
            (tmp_path / "heads.yaml").write_text("\n".join(lines) + "\n")
        if reason is not None or language:
            continue
        for line in lines:
            words = shlex.split(line)
            if words[0] == "echo":
                (tmp_path / words[-1]).write_text(words[1] + "\n")
            if words[0] != "lushan":
                continue
            done = cli(*(run if word == "RUN" else word for word in words[1:]))
            assert done.code == 0, f"{line}\n{done.out[-1000:]}\n{done.err[-1000:]}"
            count += 1
            run = run or done.folder
    assert count > 10
    assert "toprule" in (tmp_path / "table.tex").read_text()
    for left in ("new.jsonl", "README.md", "site/index.html"):
        assert (tmp_path / left).stat().st_size > 100


@pytest.mark.slow(60)
@pytest.mark.long
def test_the_site_builds(tmp_path):
    pytest.importorskip("material")
    words = ["-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", tmp_path / "site"]
    done = subprocess.run(
        [sys.executable, *words], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "optimizer.lr" in (tmp_path / "site/reference/options/optimizer/index.html").read_text()
