"""Sizes of images that tables tell in columns of their own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command_for_tests import run, run_well

HEAD = "filename,{},class,xmin,ymin,xmax,ymax\n"
ROWS = (
    "a.jpg,640,480,cat,64,48,128,96\nb.jpg,320,240,cat,64,48,128,96\n"
    "a.jpg,640,480,cat,0,0,640,480\n"
)


def sizes_in(path: Path) -> dict[str, tuple[int | None, int | None]]:
    images = json.loads(path.read_text())["images"]
    return {image["file_name"]: (image.get("width"), image.get("height")) for image in images}


@pytest.mark.parametrize("names", ["width,height", "Image Width,image_height", "img_w,img_h"])
def test_sizes_of_images_in_columns(tmp_path: Path, names: str) -> None:
    path, out = tmp_path / "in.csv", tmp_path / "labels"
    path.write_text(HEAD.format(names) + ROWS)
    run_well("convert", path, out, "--to", "yolo")
    assert (out / "a.txt").read_text() == "0 0.15 0.15 0.1 0.1\n0 0.5 0.5 1 1\n"
    assert (out / "b.txt").read_text() == "0 0.3 0.3 0.2 0.2\n"
    shown = run_well("convert", path, tmp_path / "out.json")
    assert "not used" not in shown.stderr
    sizes = {"a.jpg": (640, 480), "b.jpg": (320, 240)}
    assert sizes_in(tmp_path / "out.json") == sizes
    refused = run("convert", path, tmp_path / "again", "--to", "yolo", "--image-size", "9,9")
    assert "files that do not tell the sizes of images" in refused.stderr
    lines = [
        dict(zip((HEAD.format(names) + ROWS).split("\n")[0].split(","), cells, strict=True))
        for cells in (row.split(",") for row in ROWS.splitlines())
    ]
    numbers = [
        {name: int(cell) if cell.isdigit() else cell for name, cell in line.items()}
        for line in lines
    ]
    (tmp_path / "in.jsonl").write_text("\n".join(map(json.dumps, numbers)))
    run_well("convert", tmp_path / "in.jsonl", tmp_path / "lines.json")
    assert sizes_in(tmp_path / "lines.json") == sizes


@pytest.mark.parametrize(
    "rows",
    [
        "a.jpg,64,48,cat,64,48,128,96\n",  # sizes of boxes
        "a.jpg,640,480,cat,0,0,1,1\na.jpg,320,240,cat,0,0,1,1\n",
        "a.jpg,640,,cat,0,0,1,1\n",
        "a.jpg,640,wide,cat,0,0,1,1\n",
        "a.jpg,640,4.5,cat,0,0,1,1\n",
        "a.jpg,640,-1,cat,0,0,1,1\n",
    ],
)
def test_what_are_no_sizes_of_images_is_told(tmp_path: Path, rows: str) -> None:
    path = tmp_path / "in.csv"
    path.write_text(HEAD.format("width,height") + rows)
    shown = run_well("convert", path, tmp_path / "out.json", "--quiet")
    assert shown.stderr == f"fastiou: {path}: not used: width, height\n"
    assert sizes_in(tmp_path / "out.json") == {"a.jpg": (None, None)}


def test_some_sizes_may_be_missing(tmp_path: Path) -> None:
    path = tmp_path / "in.csv"
    rows = [
        "a.jpg,640,480,car,10,20,641,120",  # the box ends a pixel outside of its image
        "b.jpg,800,600,bus,80,60,160,120",
        "c.jpg,,,car,0,0,9,9",
        "d.jpg,64,48,car,0,0,9,9",
        "d.jpg,65,48,car,0,0,9,9",
    ]
    path.write_text(HEAD.format("width,height") + "\n".join(rows) + "\n")
    shown = run_well("convert", path, tmp_path / "out.json", "--quiet")
    words = "width and height tell no size or several of 2 of 4 images, such as c.jpg"
    assert shown.stderr == f"fastiou: {path}: {words}\n"
    sizes = {"a.jpg": (640, 480), "b.jpg": (800, 600), "c.jpg": (None, None), "d.jpg": (None, None)}
    assert sizes_in(tmp_path / "out.json") == sizes
    refused = run("convert", path, tmp_path / "out", "--to", "yolo")
    assert "yolo needs the size of image 'c.jpg'" in refused.stderr


def test_sizes_of_boxes_beside_those_of_images(tmp_path: Path) -> None:
    path, out = tmp_path / "in.csv", tmp_path / "out.csv"
    head = "filename,image_width,image_height,xmin,ymin,xmax,ymax,width,height\n"
    path.write_text(f"{head}a.jpg,640,480,10,20,30,60,20,40\n")
    shown = run_well("convert", path, tmp_path / "out.json")
    assert sizes_in(tmp_path / "out.json") == {"a.jpg": (640, 480)}
    assert "not used: width, height\n" in shown.stderr
    shown = run_well("convert", path, out)  # which has no place for sizes
    assert "not used: image_width, image_height, width, height\n" in shown.stderr


def test_one_size_of_images_without_one(tmp_path: Path) -> None:
    path, out = tmp_path / "in.csv", tmp_path / "labels"
    path.write_text(HEAD.format("width,height") + ROWS + "c.jpg,,,cat,5,5,15,25\n")
    refused = run("convert", path, out, "--to", "yolo").stderr
    words = "yolo needs the size of image 'c.jpg', which the file does not tell: --image-size W,H"
    assert words in " ".join(refused.split())
    run_well("convert", path, out, "--to", "yolo", "--image-size", "100,50")
    assert (out / "a.txt").read_text() == "0 0.15 0.15 0.1 0.1\n0 0.5 0.5 1 1\n"
    assert (out / "c.txt").read_text() == "0 0.1 0.3 0.1 0.4\n"


def test_one_size_of_images_without_boxes(tmp_path: Path) -> None:
    """Those whose size is told keep it."""
    path, out = tmp_path / "in.csv", tmp_path / "out.json"
    bare = "y.jpg,70,60,,,,,\nz.jpg,,,,,,,\n"
    for rows in ("", "c.jpg,,,cat,5,5,15,25\n"):
        path.write_text(HEAD.format("width,height") + ROWS + rows + bare)
        run_well("convert", path, out)
        told = sizes_in(out)
        run_well("convert", path, out, "--image-size", "100,50")
        lacking = {"z.jpg", "c.jpg"} if rows else {"z.jpg"}
        assert sizes_in(out) == {**told, **dict.fromkeys(lacking, (100, 50))}


def test_sizes_in_tables_of_one_image_each(tmp_path: Path) -> None:
    folder, out = tmp_path / "in", tmp_path / "labels"
    folder.mkdir()
    head = "width,height,class,xmin,ymin,xmax,ymax\n"
    (folder / "a.csv").write_text(f"{head}640,480,cat,64,48,128,96\n640,480,cat,0,0,640,480\n")
    (folder / "b.csv").write_text(f"{head}320,240,cat,64,48,128,96\n")
    shown = run_well("convert", folder, out, "--to", "yolo", "--quiet")
    assert shown.stderr == ""
    assert (out / "a.txt").read_text() == "0 0.15 0.15 0.1 0.1\n0 0.5 0.5 1 1\n"
    assert (out / "b.txt").read_text() == "0 0.3 0.3 0.2 0.2\n"
    run_well("convert", folder, tmp_path / "out.json")
    assert sizes_in(tmp_path / "out.json") == {"a": (640, 480), "b": (320, 240)}
    run_well("convert", folder / "b.csv", tmp_path / "one.csv")
    (folder / "b.csv").write_text(f"{head}320,240,cat,64,48,128,96\n300,240,cat,0,0,9,9\n")
    shown = run("convert", folder, tmp_path / "again", "--to", "yolo")
    assert "needs the size of image 'b'" in " ".join(shown.stderr.split())


def test_images_without_boxes_keep_their_size(tmp_path: Path) -> None:
    path, lines = tmp_path / "in.csv", tmp_path / "in.jsonl"
    path.write_text(HEAD.format("width,height") + ROWS + "z.jpg,70,60,,,,,\n")
    names, *rows = (line.split(",") for line in path.read_text().splitlines())
    entries = (
        {name: int(cell) if cell.isdigit() else cell or None
         for name, cell in zip(names, row, strict=False)}
        for row in rows
    )  # fmt: skip
    lines.write_text("\n".join(map(json.dumps, entries)))
    for source in (path, lines):
        run_well("convert", source, tmp_path / "out.json")
        assert sizes_in(tmp_path / "out.json")["z.jpg"] == (70, 60)


def test_parts_of_the_image_in_tables_against_pixels(tmp_path: Path) -> None:
    parts, pixels = tmp_path / "a.csv", tmp_path / "b.csv"
    parts.write_text("x1,y1,x2,y2\n" + "0.1,0.1,0.5,0.5\n" * 9)
    pixels.write_text("x1,y1,x2,y2\n" + "10,10,50,50\n" * 9)
    told = " ".join(run("match", parts, pixels).stderr.split())
    assert "fastiou convert with --image-size WIDTH,HEIGHT makes pixels of parts" in told
    told = " ".join(run("match", parts, pixels, "--image-size", "100,100").stderr.split())
    assert "not of the format csv: fastiou convert makes pixels of others" in told
