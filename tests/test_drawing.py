"""Pictures: those of `plot`, and those that notebooks show of tables, masks and pairs."""

from __future__ import annotations

import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from typing import Any

import numpy as np
import pytest
from boxes_for_tests import random_boxes
from masks_for_tests import noise

import fastiou as fi
from fastiou.arrays import svg
from fastiou.geometries.masks.painting import painted

TRUTH = np.array([[10.0, 10, 50, 60], [70, 20, 90, 80], [0, 0, 5, 5]])
FOUND = np.array([[12.0, 11, 50, 62]])


def pictures(text: str) -> Any:
    """The parsed HTML, which must be well-formed."""
    return ElementTree.fromstring(text)


# ---- notebooks -----------------------------------------------------------------------------------


def test_masks_are_painted_as_they_are(rng: np.random.Generator) -> None:
    dense = noise(rng, 5, (150, 90))
    dense[1, :70], dense[2] = False, False
    dense[2, 100:130, 20:30] = True
    masks = fi.Masks.from_dense(dense)
    numbers = np.zeros((150, 90), np.uint8)
    for place, mask in enumerate(dense[:4]):
        numbers[mask] = place + 1
    for shrink in (1, 2, 7):
        np.testing.assert_array_equal(painted(masks, 4, shrink), numbers[::shrink, ::shrink])
    np.testing.assert_array_equal(painted(masks[2:], 1) != 0, dense[2])


def test_masks_in_a_notebook() -> None:
    pillow = pytest.importorskip("PIL.Image", exc_type=ImportError)
    import base64
    import io

    masks = fi.Masks.from_dense([[[0, 1, 1], [0, 1, 0]]])
    page = pictures(masks._repr_html_())
    assert page.find("code").text == repr(masks)
    png = base64.b64decode(page.find("img").get("src").partition(",")[2])
    image = np.asarray(pillow.open(io.BytesIO(png)).convert("RGB"))
    blue, white = list(bytes.fromhex(svg.COLOURS[0][1:])), [255, 255, 255]
    assert image.tolist() == [[white, blue, blue], [white, blue, white]]
    assert "img" not in fi.Masks.from_rle([], (3, 4))._repr_html_()


def test_tables_in_a_notebook_show_the_first_group() -> None:
    keys = {"image": ["<a>", "b", "<a>"]}
    table = fi.BoxTable(TRUTH, keys=keys)
    page = pictures(table._repr_html_())
    assert page.find("code").text == repr(table)
    assert len(page.findall(".//{*}polygon")) == 2
    assert len(pictures(table.by()._repr_html_()).findall(".//{*}polygon")) == 3
    assert "svg" not in table[[]]._repr_html_()
    masks = fi.BoxTable(masks=fi.Masks.from_dense(np.ones((2, 3, 3), np.bool_)))
    assert pictures(masks._repr_html_()).find(".//img") is not None
    turned = fi.BoxTable([[50, 40, 60, 20, 30], [np.nan, 0, 1, 1, 0]], "cxcywhr")
    assert len(pictures(turned._repr_html_()).findall(".//{*}polygon")) == 1


@pytest.mark.parametrize("found", [fi.pairs, fi.match, lambda a, b: fi.topk(a, b, 2)])
def test_pairs_in_a_notebook(found: Any) -> None:
    page = pictures(found(TRUTH, FOUND)._repr_html_())
    cells = [cell.text for cell in page.findall(".//td")]
    assert cells == ["0", "0", "0.896917"]
    assert page.find(".//{*}svg") is None  # nothing tells the boxes
    a = fi.BoxTable(TRUTH, keys={"image": ["x", "y", "x"]})
    b = fi.BoxTable(FOUND, keys={"image": ["x"]})
    page = pictures(found(a, b)._repr_html_())
    assert [cell.text for cell in page.findall(".//td")] == [*cells, "x"]
    assert len(page.findall(".//{*}polygon")) == 2
    assert len(page.findall(".//{*}line")) == 1


def test_labels_in_a_notebook() -> None:
    page = pictures(fi.label_overlap([[1, 1, 0]], [[7, 0, 0]])._repr_html_())
    assert len(page.findall(".//tr")) == 4


@pytest.mark.slow
def test_pictures_of_much_are_small_and_quick(rng: np.random.Generator) -> None:
    """Of a few members at most, whatever there is."""
    table = fi.BoxTable(random_boxes(rng, 300_000))
    rows = np.arange(1_000_000)
    pairs = fi.Pairs(rows, rows, np.ones(1_000_000), (1_000_000, 1_000_000), 1)
    masks = fi.Masks.from_rle([{"size": [30_000, 20_000], "counts": [0, 600_000_000]}] * 30)
    start = time.process_time()
    for shown in (table, pairs, masks):
        assert len(shown._repr_html_()) < 30_000
    assert time.process_time() - start < 2
    assert len(pictures(pairs._repr_html_()).findall(".//tr")) == 11


@pytest.mark.parametrize("scale", [0.0, 1e-300, 1e300, 1e-3])
def test_outlines_of_any_size_are_drawn(scale: float) -> None:
    drawn = svg.outlines_svg([scale * np.array([[[0.0, 0], [1, 0], [1, 1], [0, 1]]])])
    assert len(pictures(drawn).findall("{*}polygon")) == 1
    assert "nan" not in drawn
    assert "inf" not in drawn


# ---- plot ----------------------------------------------------------------------------------------


@pytest.fixture
def axes() -> Any:
    figure = pytest.importorskip("matplotlib.figure", exc_type=ImportError)
    return figure.Figure().subplots()


def test_boxes_and_their_matches(axes: Any) -> None:
    assert fi.plot(TRUTH, FOUND, fi.match(TRUTH, FOUND), axes=axes) is axes
    styles = [patch.get_linestyle() for patch in axes.patches]
    assert styles == ["-", "--", "--", "-"]
    ((xs, ys),) = [line.get_data() for line in axes.lines]
    assert (xs.tolist(), ys.tolist()) == ([30, 31], [35, 36.5])
    low, high = axes.get_ylim()
    assert low > 80 > 0 > high  # downwards, as images


def test_other_shapes_and_formats(axes: Any) -> None:
    fi.plot([[50, 40, 60, 20, 90]], fmt="cxcywhr", axes=axes)
    corners = axes.patches[0].get_xy()[:4]
    np.testing.assert_allclose(sorted(corners.tolist()), [[40, 10], [40, 70], [60, 10], [60, 70]])
    fi.plot([[0, 0, 1, 0, 1, 1, 0, 1]], fmt="xyxyxyxy", axes=axes)
    fi.plot([[0, 0, 4, 4]], [[2, 2, 4, 4]], fmt=("xywh", "cxcywh"), axes=axes)
    np.testing.assert_array_equal(axes.patches[-1].get_xy(), axes.patches[-2].get_xy())
    fi.plot(fi.BoxTable([[np.nan, 0, 1, 1]]), axes=axes)
    assert len(axes.patches) == 4


def test_polygons_and_boxes_that_are_not_flat(axes: Any) -> None:
    holed = fi.Polygons([[[[0, 0], [9, 0], [9, 9], [0, 9]], [[3, 3], [6, 3], [6, 6]]]])
    fi.plot(holed, axes=axes)
    assert len(axes.patches) == 2
    solids = [[0, 0, 0, 1, 1, 1]]
    with pytest.raises(ValueError, match="a must be boxes in the plane, got 3-D boxes"):
        fi.plot(solids, fmt="xyzxyz", axes=axes)
    table = fi.BoxTable(solids, "xyzxyz")
    assert "svg" not in table._repr_html_()
    assert "svg" not in fi.pairs(table, table)._repr_html_()


def test_pairs_within_one_set(axes: Any) -> None:
    boxes = np.array([[0, 0, 4, 4], [0, 0, 4, 3], [9, 9, 12, 12]])
    fi.plot(boxes, None, fi.pairs(boxes), axes=axes)
    assert len(axes.lines) == 1
    # Both members of a pair have a partner.
    assert [patch.get_linestyle() for patch in axes.patches] == ["-", "-", "--"]


def test_masks_on_an_image(axes: Any) -> None:
    masks = np.zeros((2, 20, 30), np.bool_)
    masks[0, 2:8, 3:9], masks[1, 10:15, 12:25] = True, True
    image = np.zeros((20, 30, 3), np.uint8)
    fi.plot(masks, masks[1:], fi.match(masks, masks[1:]), image=image, axes=axes)
    assert len(axes.images) == 2
    layer = (
        axes.images[0].get_array() if axes.images[0].get_zorder() else axes.images[1].get_array()
    )
    np.testing.assert_array_equal(np.asarray(layer)[..., 3] > 0, masks.any(axis=0))
    assert len(axes.patches) == 1
    assert len(axes.lines) == 1


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ((TRUTH, FOUND, [(0, 0)]), TypeError, "pairs must be Pairs, Match or TopK, got"),
        (
            (TRUTH[:1], FOUND, fi.Pairs(np.array([2]), np.array([0]), np.ones(1), (3, 1), 3)),
            ValueError,
            "pairs must be of these sets, got position 2 of 1 in a",
        ),
        ((np.ones((10_001, 4)),), ValueError, "a must be at most 10,000 boxes to be drawn"),
        (([[1, 2, 3]],), ValueError, "^a must "),
    ],
)
def test_what_cannot_be_drawn(axes: Any, arguments: Any, error: Any, words: str) -> None:
    with pytest.raises(error, match=words):
        fi.plot(*arguments, axes=axes)


def test_matplotlib_is_imported_only_when_something_is_drawn() -> None:
    code = """
import sys
sys.modules["matplotlib"] = None
import fastiou as fi
table = fi.BoxTable([[0, 0, 1, 1]])
assert "<svg" in table._repr_html_()
try:
    fi.plot(table)
except ImportError as error:
    assert str(error) == "plot() needs: pip install 'fastiou[plot]'", error
"""
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
