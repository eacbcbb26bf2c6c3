"""What holds the project together: the import graph, the public names, the formulas."""

from __future__ import annotations

import ast
import inspect
import math
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from boxes_for_tests import METRICS, Array, random_boxes

import fastiou
from fastiou import metrics, reference
from fastiou.geometries.boxes import BOX
from fastiou.runtime import gpu_arrays

PACKAGE = Path(fastiou.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))

#: Folders, and files beside them, from the lowest floor up. Imports only go down, and inside a
#: folder no two files import each other, however far around.
FLOORS = [
    "version",
    "typing",
    "metrics",
    "reference",
    "reference_polygons",
    "reference3d",
    "reference_gaussians",
    "runtime",
    "parsing",
    "geometry",
    "cpu",
    "cuda",
    "arrays",
    "geometries",
    "search",
    "tables",
    "segmentation",
    "relations",
    "drawing",
    "formats",
    "evaluation",
    "config",
    "blocks",
    "__init__",
    "dask",
    "cli",
    "__main__",
    "compat",
]

#: Extras and heavy libraries, and the rooms that may import them when a module is loaded.
MAY_LOAD = {
    "numba": {
        "metrics",
        "runtime",
        "cpu",
        "cuda",
        "geometries",
        "parsing",
        "segmentation",
        "evaluation",
        "config",
    },
    "llvmlite": {"runtime", "cpu", "geometries", "parsing", "evaluation"},
    "scipy": set(),
    "torch": set(),
    "click": {"cli"},
    "rich": {"cli"},
    "matplotlib": set(),
    "dask": {"dask"},
    "pandas": {"dask"},
    "polars": set(),
    "pyarrow": set(),
    "pycocotools": set(),
    "PIL": set(),
}


def room(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported_by(statement: ast.stmt) -> set[str]:
    """Full names of what one statement imports when its module is loaded."""
    return imported(statement) if isinstance(statement, ast.Import | ast.ImportFrom) else set()


def imported(tree: ast.AST) -> set[str]:
    """Full names of what a syntax tree imports."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def module_of(path: Path) -> str:
    """The full name of a file of the package."""
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported_modules(path: Path) -> set[str]:
    """Full names of the files of the package that a file imports, at its top or in a function."""
    known = {module_of(module) for module in MODULES}
    found = set()
    for name in imported(ast.parse(path.read_text())):
        if name.partition(".")[0] == "fastiou":
            found.add(name if name in known else name.rpartition(".")[0])
    assert found <= known, found - known
    return found


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_only_go_down(path: Path) -> None:
    own = room(path)
    for name in imported_modules(path):
        target = name.split(".")[1] if "." in name else "__init__"
        if target != own:
            assert FLOORS.index(target) < FLOORS.index(own), f"{own} imports {name}"


def test_no_files_import_each_other() -> None:
    """However far around."""
    imports = {module_of(path): imported_modules(path) - {"fastiou"} for path in MODULES}
    left = set(imports)
    while ends := {name for name in left if not imports[name] & left}:
        left -= ends
    assert not left, sorted(left)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_files_are_not_long(path: Path) -> None:
    assert path.read_text().count("\n") <= 600


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_extras_are_imported_only_when_used(path: Path) -> None:
    tree = ast.parse(path.read_text())
    loaded: set[str] = set()
    for node in tree.body:
        loaded |= {name.split(".")[0] for name in imported_by(node)}
    for library in loaded & set(MAY_LOAD):
        assert room(path) in MAY_LOAD[library], f"{path.name} loads {library}"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_numba_cuda_is_imported_only_where_kernels_for_gpus_are(path: Path) -> None:
    """These files load it, so others import none of them when loaded but `gpu_arrays`."""
    if is_for_gpus(path):
        return
    tree = ast.parse(path.read_text())
    loaded = {name for node in tree.body for name in imported_by(node)}
    for_gpus = {module_of(module) for module in MODULES if is_for_gpus(module)}
    assert not {name for name in loaded if {name, name.rpartition(".")[0]} & for_gpus}
    used = {name for name in imported(tree) if name.split(".")[:2] == ["numba", "cuda"]}
    assert not used or path.stem == "gpu_arrays", f"{path.name} imports {used}"
    assert not any(name.split(".")[:2] == ["numba", "cuda"] for name in loaded)


def is_for_gpus(path: Path) -> bool:
    """Whether a file has kernels for GPUs, or what they need."""
    if path.stem in ("__init__", "gpu_arrays"):
        return False
    return room(path) == "cuda" or path.stem.startswith("gpu")


def test_files_for_gpus_have_no_examples() -> None:
    """They would not be run: what is collected is imported (see `--ignore` in pyproject.toml)."""
    for path in filter(is_for_gpus, MODULES):
        assert ">>>" not in path.read_text(), path.name


def test_files_of_tests_have_names_of_their_own() -> None:
    """Pytest imports them by name alone, whatever folder they are in."""
    names = [path.name for path in Path(__file__).parent.rglob("*.py") if path.stem != "conftest"]
    assert len(names) == len(set(names)), sorted(names)


#: Calls of every function that takes a device, on boxes and masks as small as can be.
CALLS = {
    "box_iou": lambda **options: fastiou.box_iou(ONE, ONE, **options),
    "aligned box_iou": lambda **options: fastiou.box_iou(ONE, ONE, aligned=True, **options),
    "mask_iou": lambda **options: fastiou.mask_iou(MASK, MASK, **options),
    "aligned mask_iou": lambda **options: fastiou.mask_iou(MASK, MASK, aligned=True, **options),
    "pairs": lambda **options: fastiou.pairs(ONE, ONE, **options),
    "pairs of one set": lambda **options: fastiou.pairs(ONE, **options),
    "pairs of masks": lambda **options: fastiou.pairs(MASK, MASK, **options),
    "topk": lambda **options: fastiou.topk(ONE, ONE, **options),
    "topk of masks": lambda **options: fastiou.topk(MASK, MASK, **options),
    "match": lambda **options: fastiou.match(ONE, ONE, **options),
    "nms": lambda **options: fastiou.nms(ONE, [1.0], **options),
    "nms of masks": lambda **options: fastiou.nms(MASK, [1.0], **options),
}
ONE, MASK = np.array([[0.0, 0, 1, 1]]), np.ones((1, 2, 2), np.bool_)


def test_every_function_with_a_device_is_called() -> None:
    functions = {
        name
        for name in fastiou.__all__
        if inspect.isfunction(getattr(fastiou, name))
        and "device" in inspect.signature(getattr(fastiou, name)).parameters
    }
    words = {word for call in CALLS for word in call.split()}
    # Polygons are computed on the CPU alone (tests/geometries/test_polygon_sets.py).
    assert functions - {"polygon_iou"} == words & set(fastiou.__all__)


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_a_missing_gpu_is_told(
    monkeypatch: pytest.MonkeyPatch, call: Callable[..., object]
) -> None:
    monkeypatch.setattr(gpu_arrays, "problem", lambda: "there is none")
    with pytest.raises(RuntimeError, match=r"^device='cuda' cannot be used: there is none$"):
        call(device="cuda")
    call(device="auto")
    call(device="cpu")


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
@pytest.mark.parametrize("device", ["gpu", "CUDA", "cuda:0", None, 0, ["cpu"]])
def test_devices_are_named(call: Callable[..., object], device: object) -> None:
    with pytest.raises(ValueError, match="device must be one of 'auto', 'cpu', 'cuda', got"):
        call(device=device)


#: In a process of its own: what a program without GPU does, and that it does not load CUDA for it.
WITHOUT_CUDA = """
import sys

def cuda_loaded():
    roots = ("numba_cuda", "numba.cuda", "cuda")
    return [name for name in sys.modules if name.startswith(roots)]

import fastiou as fi
assert not cuda_loaded()
import numpy as np
boxes, masks = np.array([[0, 0, 2, 2], [1, 1, 3, 3]], np.float32), np.ones((2, 4, 4), bool)
for device in ("auto", "cpu"):
    fi.box_iou(boxes, boxes, device=device)
    fi.box_iou(boxes, boxes, aligned=True, device=device)
    fi.mask_iou(masks, masks, device=device)
    fi.pairs(boxes, boxes, device=device)
    fi.topk(boxes, boxes, device=device)
    fi.nms(boxes, [1.0, 2.0], device=device)
fi.match(boxes, boxes)
fi.box_area(boxes)
fi.label_iou(masks[0], masks[1])
fi.mean_iou(masks[0], masks[1], 2)
assert not cuda_loaded(), cuda_loaded()
assert "torch" not in sys.modules

sys.modules["numba_cuda"] = None
importlib = __import__("importlib.util")
importlib.util.find_spec = lambda name, *arguments: None
try:
    fi.box_iou(boxes, boxes, device="cuda")
except RuntimeError as error:
    assert "pip install 'fastiou[cuda]'" in str(error), error
else:
    raise AssertionError("no error")
assert not cuda_loaded() or cuda_loaded() == ["numba_cuda"], cuda_loaded()
"""


def test_cpu_work_loads_no_cuda() -> None:
    environment = {**os.environ, "PYTHONPATH": str(PACKAGE.parent)}
    environment.pop("NUMBA_ENABLE_CUDASIM", None)
    ended = subprocess.run(
        [sys.executable, "-W", "error", "-c", WITHOUT_CUDA],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )
    assert ended.returncode == 0, ended.stderr


@pytest.mark.parametrize("path", sorted((PACKAGE / "cpu").glob("*.py")), ids=lambda path: path.stem)
def test_functions_of_factories_are_named_for_the_linker(path: Path) -> None:
    """See `kernel`: without names of their own, one could be run for another."""
    for factory in ast.parse(path.read_text()).body:
        if not isinstance(factory, ast.FunctionDef):
            continue
        for function in ast.walk(factory):
            if isinstance(function, ast.FunctionDef) and function is not factory:
                decorators = [ast.unparse(decorator) for decorator in function.decorator_list]
                if any(decorator.startswith("register_jitable") for decorator in decorators):
                    assert decorators[-1].startswith("named("), f"{path.name}: {function.name}"


def test_public_names_exist_and_are_documented() -> None:
    for name in fastiou.__all__:
        value = getattr(fastiou, name)
        if name == "__version__":
            continue
        assert name in dir(fastiou)
        text = inspect.getdoc(value)
        assert text, name
        # The site takes what stands between two powers, as in 2**b and -2**b, for bold.
        assert not re.search(r"\w\*\*\w", text), name
        if inspect.isfunction(value):
            assert "Examples\n--------" in text, name
            annotations = inspect.signature(value).parameters.values()
            assert all(parameter.annotation is not parameter.empty for parameter in annotations)
    with pytest.raises(AttributeError, match="no attribute 'box_iuo'"):
        fastiou.box_iuo  # noqa: B018
    assert "Any" not in dir(fastiou)


def test_static_names_equal_the_lazy_ones() -> None:
    """What type checkers see under TYPE_CHECKING is what is loaded."""
    tree = ast.parse((PACKAGE / "__init__.py").read_text())
    blocks = [node for node in tree.body if isinstance(node, ast.If)]
    static = {
        alias.name: node.module
        for node in ast.walk(blocks[0])
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert static == {name: f"fastiou.{home}" for name, home in fastiou._HOMES.items()}
    assert set(fastiou.__all__) == {*static, "__version__"}


def test_numpy_alone_is_what_the_reference_imports() -> None:
    names = imported(ast.parse((PACKAGE / "reference.py").read_text()))
    assert {name.split(".")[0] for name in names} == {"__future__", "typing", "numpy"}


@pytest.mark.parametrize("metric", METRICS)
def test_formulas_hold_as_plain_python(rng: np.random.Generator, metric: str) -> None:
    """The functions that the kernels compile, called without compiling them."""
    row = metrics.METRICS[metric]
    measure = BOX.measures[row.needs]
    boxes = random_boxes(rng, 12)

    def measured(box: Array) -> tuple[float, ...]:
        left, top, right, bottom = map(float, box)
        width, height = right - left, bottom - top
        aspect = math.atan2(width, height)
        return (
            left, top, right, bottom,
            width * height, aspect, (left + right) / 2, (top + bottom) / 2,
        )  # fmt: skip

    actual = [
        [row.formula(*measure(measured(one), measured(other))) for other in boxes] for one in boxes
    ]
    expected = reference.box_iou(boxes, boxes, metric=metric)
    np.testing.assert_allclose(actual, expected, rtol=1e-13, atol=1e-15)


def test_every_metric_is_tested() -> None:
    assert BOX.metrics() == METRICS
    assert list(metrics.METRICS) == [*METRICS, "probiou"]  # test_gaussians.py


@pytest.mark.parametrize("optional", ["click", "rich"])
def test_the_command_says_what_it_lacks(optional: str) -> None:
    ended = subprocess.run(
        [
            sys.executable,
            "-c",
            f"import sys; sys.modules[{optional!r}] = None\n"
            "from fastiou.cli.main import main\nmain(['info'])",
        ],
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHONPATH": str(PACKAGE.parent)},
    )
    assert ended.returncode == 2
    assert "pip install 'fastiou[cli]'" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_links_between_pages_lead_somewhere() -> None:
    root = PACKAGE.parent
    if not (root / "docs").is_dir():
        pytest.skip("this is an installed package, without its pages")
    pages = [*root.glob("*.md"), *root.glob("docs/**/*.md"), *root.glob("bench/*.md")]
    links = [
        (page, target)
        for page in pages
        for target in re.findall(r"\]\(([^)#]+)", page.read_text())
        if "://" not in target
    ]
    assert len(links) > 10
    for page, target in links:
        assert (page.parent / target).exists(), f"{page.name} links to {target}"
