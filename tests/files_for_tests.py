"""Files of boxes as tests write them, and what they hold."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fastiou.formats.table import read_boxes

#: A file of each format of text with the same two boxes, if it has room for them.
SAMPLES = {
    "csv, corners": ("csv", "10,20,110,220\n0,0,30,40\n"),
    "csv, scores": ("csv", "10,20,110,220,0.5\n0,0,30,40,0.25\n"),
    "csv, blanks": ("csv", "10 20 110 220\n0 0 30 40\n"),
    "csv, header": ("csv", "image,x1,y1,x2,y2\n1,10,20,110,220\n1,0,0,30,40\n"),
    "mot": ("mot", "1,-1,10,20,100,200,0.9,-1,-1,-1\n2,-1,0,0,30,40,0.5,-1,-1,-1\n"),
    "mot, truth": ("mot", "1,1,10,20,100,200,1,1,1.0\n2,1,0,0,30,40,1,1,0.5\n"),
    "mot, six": ("mot", "1,1,900,20,100,200\n2,1,0,0,30,40\n"),
    "mot, seven blanks": ("mot", "1 1 10 20 100 200 0.5\n2 1 0 0 30 40 0.5\n"),
    "visdrone": ("visdrone", "10,20,100,200,1,4,0,0\n0,0,30,40,0,0,0,2\n"),
    "visdrone, found": ("visdrone", "684,8,273,116,1,4,-1,-1\n0,0,30,40,0.25,1,-1,-1\n"),
    "visdrone-vid": ("visdrone-vid", "1,0,10,20,100,200,1,4,0,0\n2,0,0,0,30,40,1,1,0,1\n"),
    "visdrone-vid, found": (
        "visdrone-vid",
        "1,-1,10,20,100,200,0.9,4,-1,-1\n1,-1,0,0,30,40,0.5,5,-1,-1\n",
    ),
    "yolo": ("yolo", "1 0.25 0.5 0.125 0.25\n0 0.5 0.5 0.25 0.5\n"),
    "yolo, scores": ("yolo", "1 0.25 0.5 0.125 0.25 0.9\n0 0.5 0.5 0.25 0.5 0.75\n"),
    "kitti": (
        "kitti",
        "Car 0.00 0 -1.57 10 20 110 220 1.5 1.6 3.7 1 2 30 0.1\n"
        "DontCare -1 -1 -10 0 0 30 40 -1 -1 -1 -1000 -1000 -1000 -10\n",
    ),
    "kitti, found": ("kitti", "Car -1 -1 -10 10 20 110 220 1 1 3 1 2 30 0.1 0.9\n"),
    "kitti-tracking": (
        "kitti-tracking",
        "0 2 Car 0 0 -1.57 10 20 110 220 1.5 1.6 3.7 1 2 30 0.1\n",
    ),
    "retinanet": ("retinanet", "a.jpg,10,20,110,220,cat\nb.jpg,0,0,30,40,dog\n"),
    "retinanet, found": ("retinanet", "a.jpg,10,20,110,220,cat,0.5\nb.jpg,0,0,30,40,dog,1\n"),
    "dota": ("dota", "10 20 60 10 70 50 15 60 plane 0\n80.5 20 120 20 95 35 80 60 ship 1\n"),
    "dota, first version": ("dota", "10 20 60 10 70 50 15 60 plane\n"),
    "dota-results": ("dota-results", "P0001 0.9 10 20 60 10 70 50 15 60\n"),
    "csv, quadrilaterals": (
        "csv",
        "x1,y1,x2,y2,x3,y3,x4,y4,class\n10,20,60,10,70,50,15,60,plane\n",
    ),
    "coco": ("coco", '[{"image_id": 1, "category_id": 1, "bbox": [10, 20, 100, 200]}]'),
}


def read(folder: Path, content: str, **wanted: Any) -> Any:
    path = folder / "boxes"
    path.write_text(content)
    return read_boxes(path, **wanted)


VOC = """<annotation><filename>a.jpg</filename><size><width>500</width><height>300</height></size>
<object><name>cat</name><difficult>0</difficult>
<bndbox><xmin>10</xmin><ymin>20</ymin><xmax>110</xmax><ymax>220</ymax></bndbox></object>
<object><name>dog</name><bndbox><xmin>0</xmin><ymin>0</ymin><xmax>30.5</xmax><ymax>40</ymax>
</bndbox></object></annotation>
"""


LABELME = {
    "version": "5.0",
    "shapes": [
        {"label": "cat", "points": [[110, 20], [10, 220]], "shape_type": "rectangle"},
        {"label": "dog", "points": [[0, 0], [30.5, 9], [4, 40]], "shape_type": "polygon"},
    ],
    "imagePath": "a.jpg",
}


BOTH = [[10, 20, 110, 220], [0, 0, 30.5, 40]]


LINES = (
    '{"file_name": "a.jpg", "xmin": 10, "ymin": 20, "xmax": 110, "ymax": 220, "label": "cat", '
    '"score": 0.5}\n{"file_name": "b.jpg", "xmin": 0, "ymin": 0, "xmax": 30.5, "ymax": 40, '
    '"label": "dog", "score": 1}\n'
)


def folder_of(path: Path, **files: str) -> Path:
    path.mkdir()
    for name, content in files.items():
        (path / name.replace("__", ".")).write_text(content)
    return path


BY_NUMBER_AND_NAME = "image_id,file_name,x1,y1,x2,y2\n1,a.jpg,0,0,10,10\n2,b.jpg,50,50,60,60\n"


def tree_of(path: Path, *files: str, content: str = "1 0.5 0.5 0.5 0.5\n") -> Path:
    for name in files:
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_text(content)
    return path


MOT = "1,1,900,20,100,200,1\n"
