"""The pages of `docs`: what their commands print, and the options that they name.

Python examples (``>>>``) run as doctests (`--doctest-glob` in pyproject.toml). Blocks of
``console`` run here, each section of a page in a folder of its own:

* ``$ cat FILE`` shows a file. Where it is not there yet, it is made of the lines that follow.
* ``$ fastiou …`` runs the command. Below it stands all that it prints.
* ``$ python FILE`` and ``$ python -c 'CODE'`` run Python.

In what is printed, ``...`` stands for anything, and white space is not compared.
"""

from __future__ import annotations

import contextlib
import doctest
import io
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import fastiou

ROOT = Path(__file__).parents[1]
#: None in an installed package.
PAGES = [*ROOT.glob("README.md"), *sorted(ROOT.glob("docs/**/*.md"))]

#: A block of code: its language, and what is in it.
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SAME = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def name_of(page: Path) -> str:
    """A page as its tests are called by it: ``how-to/masks``."""
    return str(page.relative_to(ROOT).with_suffix("")).removeprefix("docs/")


def sections() -> Iterator[Any]:
    """The blocks of console of each section that has any, by the page and its heading."""
    for page in PAGES:
        for section in re.split(r"^(?=##)", page.read_text(), flags=re.MULTILINE):
            blocks = [code for language, code in BLOCK.findall(section) if language == "console"]
            if blocks:
                heading = section.partition("\n")[0].strip("# `")
                yield pytest.param("".join(blocks), id=f"{name_of(page)}: {heading}")


def commands_in(console: str) -> Iterator[tuple[str, str]]:
    """Each command of a block, and what stands below it."""
    for part in re.split(r"^\$ ", console, flags=re.MULTILINE)[1:]:
        command, _, output = part.partition("\n")
        yield command, output


def printed_by(command: str, shown: str) -> str:
    """What a command prints; where it shows a file that is not there, the file is made."""
    name, *arguments = shlex.split(command)
    if name == "fastiou":
        cli = pytest.importorskip("command_for_tests", exc_type=ImportError)
        result = cli.run(*arguments)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return str(result.stdout + result.stderr)
    if name == "cat":
        (file,) = map(Path, arguments)
        if not file.exists():
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(shown)
        return file.read_text()
    assert name == "python", f"{command!r}: a page may have cat, fastiou and python"
    code = arguments[1] if arguments[0] == "-c" else Path(arguments[0]).read_text()
    with contextlib.redirect_stdout(io.StringIO()) as stream:
        try:
            exec(compile(code, command, "exec"), {"__name__": "__main__"})
        except ModuleNotFoundError as error:
            pytest.skip(f"{error.name} is not installed")
    return stream.getvalue()


# supervision says so when it is imported, where a page's example finds it installed.
@pytest.mark.filterwarnings("ignore:OpenCV .* is not installed:UserWarning")
@pytest.mark.parametrize("console", list(sections()))
def test_commands_print_what_the_page_says(
    console: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "160")
    for command, shown in commands_in(console):
        printed = printed_by(command, shown)
        same = doctest.OutputChecker().check_output(shown, printed, SAME)
        assert same, f"$ {command}\n{printed}\nthe page has\n{shown}"


def commands_named() -> list[Any]:
    """Commands of this package in tables, in lines and in blocks of shells, with arguments."""
    found = []
    for page in PAGES:
        text = page.read_text()
        marks = {"sh": "", "console": "$ "}
        lines = [
            line.removeprefix(marks[language])
            for language, code in BLOCK.findall(text)
            for line in code.splitlines()
            if language in marks and line.startswith(marks[language])
        ]
        spans = re.findall(r"(?<!`)`(fastiou [^`]+)`", BLOCK.sub("", text))
        for command in dict.fromkeys([*spans, *lines]):
            if command.startswith("fastiou ") and "…" not in command:
                found.append(pytest.param(command, id=f"{name_of(page)}: {command}"))
    return found


@pytest.mark.parametrize("command", commands_named())
def test_commands_have_options_that_there_are(command: str) -> None:
    cli = pytest.importorskip("command_for_tests", exc_type=ImportError)
    click = pytest.importorskip("click", exc_type=ImportError)
    _, name, *arguments = shlex.split(command, comments=True)
    if name.startswith("-"):
        return
    group = cli.all_commands()
    context = group.make_context("fastiou", [name], resilient_parsing=True)
    sub = group.get_command(context, name)
    assert sub is not None, f"there is no command {name!r}"
    with contextlib.suppress(click.BadOptionUsage):  # one that is named without its value
        sub.make_parser(click.Context(sub, parent=context)).parse_args(arguments)


def links_in(page: Path) -> set[str]:
    """What the links of a page lead to, as they stand there."""
    return set(re.findall(r"\]\(([^)\s]+)\)", BLOCK.sub("", page.read_text())))


@pytest.mark.skipif(not (ROOT / "docs").is_dir(), reason="an installed package has no pages")
def test_every_page_is_in_the_index_which_is_the_navigation_of_the_site() -> None:
    docs = ROOT / "docs"
    listed = set(re.findall(r"^- \[[^\]]+\]\(([^)#]+)\)", (docs / "index.md").read_text(), re.M))
    pages = {str(page.relative_to(docs)) for page in docs.glob("**/*.md")} - {"index.md"}
    assert pages == listed, "add a line '- [title](page.md): what it answers' to docs/index.md"


@pytest.mark.skipif(not (ROOT / "docs").is_dir(), reason="an installed package has no pages")
def test_every_how_to_is_in_the_list_of_questions() -> None:
    links = links_in(ROOT / "docs" / "how-to.md")
    for page in sorted(ROOT.glob("docs/how-to/*.md")):
        for heading in re.findall(r"^## (.*)$", BLOCK.sub("", page.read_text()), re.MULTILINE):
            anchor = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
            link = f"how-to/{page.name}#{anchor}"
            assert link in links, f"add - [{heading}]({link}) to docs/how-to.md"


@pytest.mark.skipif(not (ROOT / "docs").is_dir(), reason="an installed package has no pages")
def test_every_function_is_in_the_table_of_functions() -> None:
    table = (ROOT / "docs" / "which-function.md").read_text().partition("Three questions")[0]
    functions = {name for name in fastiou.__all__ if name.islower() and not name.startswith("_")}
    assert functions <= set(re.findall(r"\w+", table)), "add a row to docs/which-function.md"


@pytest.mark.parametrize("page", [pytest.param(page, id=name_of(page)) for page in PAGES])
def test_examples_stand_in_blocks_of_code(page: Path) -> None:
    text = BLOCK.sub("", page.read_text())
    assert not re.search(r"^>>> ", text, re.MULTILINE), "a renderer makes quotes of them"
