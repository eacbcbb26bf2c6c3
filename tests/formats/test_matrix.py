"""Each format is told from every other by content, in both directions: boxes, masks and labels."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from images_for_tests import image_bytes, npy_bytes, png_bytes, tiff_bytes

from fastiou.formats.content import Wanted, kind_of
from fastiou.formats.errors import FileError
from fastiou.formats.table import FORMATS, READERS, formats_of, read_boxes, recognized

BOXES = np.array([[10, 20, 110, 220.5], [0, 0, 30, 40]])
LABELS = np.array([[0, 1, 1, 0, 7, 7, 0], [0, 1, 1, 0, 7, 7, 0]] * 4, np.uint8)
COLOURS = np.stack([LABELS, LABELS * 0, LABELS * 0], axis=-1)

SQUARE = [[1, 1, 5, 1, 5, 5, 1, 5]]
RUNS = {"size": [8, 8], "counts": [9, 5, 50]}


def npz_bytes(**arrays: Any) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def arrow_bytes(kind: str) -> bytes:
    arrow = pytest.importorskip("pyarrow", exc_type=ImportError)
    parquet = pytest.importorskip("pyarrow.parquet", exc_type=ImportError)
    ipc = pytest.importorskip("pyarrow.ipc", exc_type=ImportError)
    table = arrow.table(dict(zip(("x1", "y1", "x2", "y2"), BOXES.T, strict=True)))
    buffer = io.BytesIO()
    if kind == "parquet":
        parquet.write_table(table, buffer)
    else:
        with ipc.new_file(buffer, table.schema) as file:
            file.write_table(table)
    return buffer.getvalue()


def picture_bytes(pixels: Any, kind: str, mode: str | None = None) -> bytes:
    pytest.importorskip("PIL", reason="images need the extra images")
    return bytes(image_bytes(pixels, kind, mode))


def coco_bytes(mask: Any) -> bytes:
    entry = {"id": 1, "image_id": 1, "category_id": 1, "segmentation": mask, "bbox": [1, 1, 4, 4]}
    images = [{"id": 1, "height": 8, "width": 8, "file_name": "a.png"}]
    return json.dumps({"images": images, "annotations": [entry]}).encode()


VOC = (
    "<annotation><object><name>cat</name><bndbox><xmin>1</xmin><ymin>2</ymin><xmax>3</xmax>"
    "<ymax>4</ymax></bndbox></object></annotation>"
)
SHAPE = {"label": "cat", "points": [[1, 2], [3, 4]], "shape_type": "rectangle"}

CVAT = (
    '<annotations><version>1.1</version><image id="0" name="a.jpg" width="64" height="48">'
    '<box label="car" occluded="0" xtl="1" ytl="2" xbr="3.5" ybr="4"/></image></annotations>'
)
VIA = {
    "a.jpg123": {
        "filename": "a.jpg", "size": 123, "file_attributes": {},
        "regions": [{
            "shape_attributes": {"name": "rect", "x": 1, "y": 2, "width": 3, "height": 4},
            "region_attributes": {"class": "car"},
        }],
    },
}  # fmt: skip

#: For each name the format, what such a file holds, and how one is made. The formats of rows and
#: tables of text have more samples in files_for_tests.
SAMPLES: dict[str, tuple[str, tuple[str, ...], Callable[[], bytes]]] = {
    "csv": ("csv", ("box",), lambda: b"10,20,110,220.5\n0,0,30,40\n"),
    "csv, header": ("csv", ("box",), lambda: b"image,x,y,w,h\na,10,20,100,200.5\n"),
    "mot": ("mot", ("box",), lambda: b"1,1,900,20,100,200,1,1,1\n"),
    "visdrone": ("visdrone", ("box",), lambda: b"10,20,100,200,1,4,0,0\n"),
    "visdrone-vid": ("visdrone-vid", ("box",), lambda: b"1,0,1,2,10,20,1,4,0,0\n" * 20),
    "yolo": ("yolo", ("box",), lambda: b"1 0.25 0.5 0.125 0.25\n"),
    "yolo-seg": ("yolo-seg", ("box",), lambda: b"2 0.1 0.5 0.3 0.1 0.2 0.9\n"),
    "kitti": ("kitti", ("box",), lambda: b"Car 0 0 -1.57 1 2 11 22 1 1 3 1 2 30 0.1\n"),
    "kitti-tracking": (
        "kitti-tracking", ("box",), lambda: b"0 2 Car 0 0 -1.57 1 2 11 22 1 1 3 1 2 30 0.1\n",
    ),
    "retinanet": ("retinanet", ("box",), lambda: b"a.jpg,10,20,110,220,cat\n"),
    "dota": ("dota", ("box",), lambda: b"10 20 60 10 70 50 15 60 plane 0\n"),
    "dota-results": ("dota-results", ("box",), lambda: b"P1 0.9 10 20 60 10 70 50 15 60\n"),
    "voc": ("voc", ("box",), VOC.encode),
    "cvat": ("cvat", ("box",), CVAT.encode),
    "via": ("via", ("box",), lambda: json.dumps(VIA).encode()),
    "via, project": (
        "via", ("box",), lambda: json.dumps({"_via_img_metadata": VIA}, indent=1).encode(),
    ),
    "activitynet": (
        "activitynet", ("box",),
        lambda: b'{"results": {"a": [{"label": "Surfing", "score": 0.5, "segment": [6.5, 20]}]}}',
    ),
    "activitynet, truth": (
        "activitynet", ("box",),
        lambda: b'{"database": {"a": {"annotations": [{"label": "x", "segment": [6.5, 20]}]}}}',
    ),
    "labelme": ("labelme", ("box",), lambda: json.dumps({"shapes": [SHAPE]}).encode()),
    "jsonl": ("jsonl", ("box",), lambda: b'{"x": 1, "y": 2, "w": 3, "h": 4}\n' * 2),
    "jsonl, lists": (
        "jsonl", ("box",), lambda: b'{"image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4]}\n',
    ),
    "json": ("json", ("box",), lambda: b'[{"image": "a", "x1": 1, "y1": 2, "x2": 3, "y2": 4}]'),
    "npy": ("npy", ("box",), lambda: npy_bytes(BOXES)),
    "npy, integers": ("npy", ("box",), lambda: npy_bytes(BOXES.astype(int))),
    "npy, scores": ("npy", ("box",), lambda: npy_bytes(np.c_[BOXES, [0.5, 0.25]])),
    "npz": ("npz", ("box",), lambda: npz_bytes(boxes=BOXES)),
    "parquet": ("parquet", ("box",), lambda: arrow_bytes("parquet")),
    "arrow": ("arrow", ("box",), lambda: arrow_bytes("arrow")),
    "coco, results": (
        "coco", ("box",), lambda: b'[{"image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4]}]',
    ),
    "coco, polygons": ("coco", ("box", "mask"), lambda: coco_bytes(SQUARE)),
    "coco, run lengths": ("coco", ("box", "mask"), lambda: coco_bytes(RUNS)),
    "labels, grey PNG": ("labels", ("labels",), lambda: picture_bytes(LABELS, "PNG")),
    "labels, palette": ("labels", ("labels",), lambda: picture_bytes(LABELS, "PNG", "P")),
    "labels, one bit": ("labels", ("labels",), lambda: png_bytes(LABELS > 0, 1)),
    "labels, TIFF": ("labels", ("labels",), lambda: tiff_bytes(LABELS.astype(np.uint16))),
    "labels, npy": ("labels", ("labels",), lambda: npy_bytes(LABELS)),
    "labels, stack": ("labels", ("labels",), lambda: npy_bytes(np.stack([LABELS] * 3))),
}  # fmt: skip


@pytest.mark.parametrize("name", SAMPLES)
def test_each_is_told_from_every_other(tmp_path: Path, name: str) -> None:
    format_, held, make = SAMPLES[name]
    data = make()
    path = tmp_path / "file"
    path.write_bytes(data)
    fits = {row.name for row in FORMATS.values() if row.fits(data, Wanted())}
    assert fits - {"npy"} == {format_} - {"npy"}  # which of arrays is meant is told together
    row = recognized(path, data, Wanted(), *READERS)
    assert row is not None
    assert row.name == format_
    for kind, read in READERS.items():
        if name == "npy, integers" and kind == "labels":
            continue  # which an option may say to be labels
        if kind in held:
            assert read(path, None).path == path
        else:
            with pytest.raises(FileError):
                read(path, None)


@pytest.mark.parametrize("name", SAMPLES)
@pytest.mark.parametrize("kind", READERS)
def test_a_wrong_format_is_no_crash(tmp_path: Path, name: str, kind: str) -> None:
    _, _, make = SAMPLES[name]
    path = tmp_path / "file"
    path.write_bytes(make())
    for format_ in formats_of(kind):
        with contextlib.suppress(FileError, ImportError):  # of an extra that is not installed
            READERS[kind](path, None, format=format_)


def test_colours_are_told_from_labels(tmp_path: Path) -> None:
    pytest.importorskip("PIL", reason="images need the extra images")
    path = tmp_path / "file"
    for pixels in (COLOURS, np.concatenate([COLOURS, COLOURS[..., :1]], axis=-1)):
        path.write_bytes(image_bytes(pixels, "PNG"))
        with pytest.raises(FileError, match="--format panoptic"):
            READERS["labels"](path, None).read(0)
        with pytest.raises(FileError, match="label images"):
            read_boxes(path)
    path.write_bytes(image_bytes(COLOURS, "PNG"))
    np.testing.assert_array_equal(READERS["labels"](path, None, format="panoptic").read(0), LABELS)
    path.write_bytes(image_bytes(LABELS, "PNG"))
    with pytest.raises(FileError, match="a PNG of colours"):
        READERS["labels"](path, None, format="panoptic").read(0)
    path.write_bytes(npy_bytes(COLOURS))
    with pytest.raises(FileError, match="colour"):
        READERS["labels"](path, None).read(0)


def test_every_format_has_a_sample() -> None:
    asked_for = {"panoptic", "yolo-obb", "kitti-3d", "kitti-tracking-3d"}  # no content tells these
    assert {format_ for format_, *_ in SAMPLES.values()} == FORMATS.keys() - asked_for
    kinds = {kind_of(make()) for name, (*_, make) in SAMPLES.items() if name.startswith("npy")}
    assert kinds == {"NPY"}
