"""What the site has beside the pages of `docs`: navigation, reference, pages from above `docs`.

* The navigation is `docs/index.md`: each heading of its second level is a section, and each line
  ``- [title](page.md): …`` below it a page.
* The reference has every name of ``fastiou.__all__``, one page for each package that they are in.
* In blocks of ``console``, files that ``$ cat`` shows become blocks of their own, to be copied.
* Links to files above `docs` (``../CHANGELOG.md``) lead to copies of these within the site.
"""

from __future__ import annotations

import importlib
import importlib.util
import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

import fastiou
from fastiou.tables.opened import USUAL

DOCS = Path(__file__).parents[1]
ROOT = DOCS.parent

#: Pages above `docs`, by their address in the site, and what they are called in the navigation.
ABOVE = {
    "CHANGELOG.md": ("project/changelog.md", "Changes"),
    "CONTRIBUTING.md": ("project/contributing.md", "Contributing"),
    "bench/README.md": ("project/measuring.md", "How benchmarks are made"),
    "LICENSE": ("project/licence.md", "Licence"),
}
#: Pages of the reference: the folders of `fastiou` whose public names each has.
REFERENCE = {
    "Scores, pairs, matches, NMS": ("reference/relations.md", ["relations"]),
    "Masks and other geometries": ("reference/geometries.md", ["geometries"]),
    "Files and tables": ("reference/tables.md", ["formats", "tables"]),
    "Segmentation": ("reference/segmentation.md", ["segmentation"]),
    "Evaluation": ("reference/evaluation.md", ["evaluation"]),
}
#: What is shown of a module with public names of its own.
MODULE = """::: {module}
    options:
      show_root_full_path: true
      show_submodules: false
"""

#: Languages of files that are shown, by their endings.
LANGUAGES = {".json": "json", ".py": "python", ".xml": "xml"}

CONSOLE = re.compile(r"^```console\n(.*?)^```\n", re.MULTILINE | re.DOTALL)
#: A link of Markdown: what is before its address, the address, and what of a page it names.
LINK = re.compile(r"(\]\()([^)#:\s]+)(#[^)\s]*)?(?=\))")


def sections(index: str) -> dict[str, list[tuple[str, str]]]:
    """Titles and pages by the heading that they stand under in `docs/index.md`."""
    found: dict[str, list[tuple[str, str]]] = {}
    for part in re.split(r"^## ", index, flags=re.MULTILINE)[1:]:
        heading = part.partition("\n")[0]
        pages = re.findall(r"^- \[([^\]]+)\]\(([^)#:]+\.md)\)", part, flags=re.MULTILINE)
        if pages:
            found[heading] = pages
    return found


def reference() -> dict[str, tuple[str, str]]:
    """Address and text of each page of the reference by its title."""
    left = {name: fastiou._HOMES[name] for name in sorted(fastiou.__all__, key=str.lower)
            if name in fastiou._HOMES}  # fmt: skip
    pages = {}
    for title, (path, folders) in REFERENCE.items():
        names = [name for name, home in left.items() if home.split(".")[0] in folders]
        pages[title] = (path, names)
        left = {name: home for name, home in left.items() if name not in names}
    pages["Others"] = ("reference/others.md", list(left))
    texts = {
        title: (path, "\n\n".join([f"# {title}", *(f"::: fastiou.{name}" for name in names)]))
        for title, (path, names) in pages.items()
    }
    for package, modules in {"fastiou.compat": compat(), "fastiou.dask": []}.items():
        if importlib.util.find_spec(package) is not None:
            parts = [MODULE.format(module=module) for module in [package, *modules]]
            path = f"reference/{package.partition('.')[2]}.md"
            texts[package] = (path, "\n".join([f"# {package}\n", *parts]))
    return texts


def compat() -> list[str]:
    """The modules with the names of other libraries: each has a section in `docs/compat.md`."""
    page = DOCS / "compat.md"
    headings = re.findall(r"^## (\w+)$", page.read_text() if page.exists() else "", re.MULTILINE)
    found = []
    for name in headings:
        module = f"fastiou.compat.{name}"
        if importlib.util.find_spec(module) is not None:
            parts = getattr(importlib.import_module(module), "__all__", [])
            inner = [f"{module}.{part}" for part in parts]
            is_package = importlib.util.find_spec(module).submodule_search_locations is not None
            found += inner if is_package else [module]
    return found


def on_config(config: Any) -> None:
    """Make the navigation."""
    navigation: list[Any] = [{"Home": "index.md"}]
    for heading, pages in sections((DOCS / "index.md").read_text()).items():
        navigation.append({heading: [{title: page} for title, page in pages]})
    pages = [{title: path} for title, (path, _) in reference().items()]
    navigation.append({"API reference": pages})
    navigation.append({"Project": [{title: path} for path, title in ABOVE.values()]})
    config.nav = navigation


def on_files(files: Files, config: Any) -> Files:
    """Add the pages that do not lie in `docs`."""
    for source, (path, title) in ABOVE.items():
        text = (ROOT / source).read_text()
        if not source.endswith(".md"):
            text = f"# {title}\n\n```text\n{text}```\n"
        files.append(File.generated(config, path, content=rewritten(text, source, path)))
    for path, text in reference().values():
        files.append(File.generated(config, path, content=text))
    return files


def rewritten(text: str, source: str, path: str) -> str:
    """The text of a file of the repository with links as they are from its place in the site."""
    folder = posixpath.dirname(source)

    def moved(link: re.Match[str]) -> str:
        before, target, anchor = link.groups()
        name = posixpath.normpath(posixpath.join(folder, target))
        if name == "README.md":
            name = "docs/index.md"
        inside = ABOVE[name][0] if name in ABOVE else name.removeprefix("docs/")
        if name not in ABOVE and not name.startswith("docs/"):
            return link.group()  # a warning, and so an error: the site does not have it
        return before + posixpath.relpath(inside, posixpath.dirname(path)) + (anchor or "")

    return LINK.sub(moved, text)


def files_apart(block: re.Match[str]) -> str:
    """A block of console, with each file that it shows in a block with the name of the file."""
    parts: list[str] = []
    for command in re.split(r"^(?=\$ )", block[1], flags=re.MULTILINE):
        shows = re.match(r"\$ cat (\S+)\n", command)
        if shows:
            language = LANGUAGES.get(posixpath.splitext(shows[1])[1], "text")
            parts.append(f'```{language} title="{shows[1]}"\n{command[shows.end() :]}```\n')
        elif parts and parts[-1].startswith("```console"):
            parts[-1] = f"{parts[-1][:-4]}{command}```\n"
        elif command:
            parts.append(f"```console\n{command}```\n")
    return "\n".join(parts)


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Links that lead out of `docs`, blocks of console, the language of examples with prompts."""
    path = page.file.src_uri
    if page.file.generated_by is None:
        markdown = rewritten(markdown, f"docs/{path}", path)
    markdown = CONSOLE.sub(files_apart, markdown)
    return re.sub(r"^```python\n(?=>>> )", "```pycon\n", markdown, flags=re.MULTILINE)


#: A type of a docstring that was taken for a tuple: ``(array_like, shape(N, 4))``.
TUPLE = re.compile(r"<code>\(((?:array|\w+Error)[^<]*)\)</code>")


def on_page_content(html: str, page: Any, files: Files, **_: Any) -> str:
    """The reference: pages that docstrings name become links, and types stand as they are written.

    The default of `fmt` is an object of its own, by which a call without it is told from one with.
    """
    if not page.file.src_uri.startswith("reference/"):
        return html

    def linked(name: re.Match[str]) -> str:
        if files.get_file_from_path(f"{name[1]}.md") is None:
            return name.group()
        return f'<a href="../{name[1]}.html">{name[1]}</a>'

    html = re.sub(r"<code>docs/([\w/-]+)\.md</code>", linked, html)
    html = TUPLE.sub(lambda kind: f"<code>{kind[1].replace('shape(', 'shape (')}</code>", html)
    return re.sub(r"\bUSUAL\b", f"&quot;{USUAL}&quot;", html)
