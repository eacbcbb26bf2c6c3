"""`pycocotools.coco`: annotations of COCO, looked up by image, class and id.

It prints nothing but what `info` and `showAnns` are for. ``docs/compat.md`` has what differs.
"""
# ruff: noqa: N802, N803

from __future__ import annotations

import copy
import itertools
import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from fastiou.compat.pycocotools import mask as masks
from fastiou.runtime.extras import import_extra
from fastiou.runtime.words import described
from fastiou.typing import Array

__all__ = ["COCO"]

#: Columns of results as an array: image, left, top, width, height, score, class.
RESULT_COLUMNS = 7


class COCO:
    """Annotations, images and categories of a file of COCO.

    Attributes
    ----------
    dataset : dict
        What the file holds.
    anns, imgs, cats : dict
        Annotations, images and categories by their ids.
    imgToAnns, catToImgs : dict of list
        Annotations by the id of the image, and ids of images by the id of the category.

    Examples
    --------
    >>> from fastiou.compat.pycocotools.coco import COCO
    >>> coco = COCO()
    >>> box = {"image_id": 1, "category_id": 3, "bbox": [10, 20, 30, 40]}
    >>> coco.dataset = {
    ...     "images": [{"id": 1}],
    ...     "categories": [{"id": 3, "name": "boat"}],
    ...     "annotations": [{**box, "id": 8, "area": 1200, "iscrowd": 0}],
    ... }
    >>> coco.createIndex()
    >>> coco.getAnnIds(imgIds=[1]), coco.getCatIds(catNms=["boat"])
    ([8], [3])
    >>> coco.loadRes([{**box, "score": 0.8}]).anns[1]["area"]
    1200
    """

    def __init__(self, annotation_file: Any = None) -> None:
        self.dataset: dict[str, Any] = {}
        self.anns: dict[Any, Any] = {}
        self.cats: dict[Any, Any] = {}
        self.imgs: dict[Any, Any] = {}
        self.imgToAnns: dict[Any, list[Any]] = defaultdict(list)
        self.catToImgs: dict[Any, list[Any]] = defaultdict(list)
        if annotation_file is not None:
            dataset = json.loads(Path(annotation_file).read_bytes())
            if not isinstance(dataset, dict):
                raise ValueError(
                    f"{annotation_file}: expected an object with annotations, got "
                    f"{described(dataset)}"
                )
            self.dataset = dataset
            self.createIndex()

    def createIndex(self) -> None:
        """Fill the dicts by ids with what `dataset` holds."""
        self.anns, self.imgs, self.cats = (
            {entry["id"]: entry for entry in self.dataset.get(name, ())}
            for name in ("annotations", "images", "categories")
        )
        self.imgToAnns, self.catToImgs = defaultdict(list), defaultdict(list)
        for annotation in self.dataset.get("annotations", ()):
            self.imgToAnns[annotation["image_id"]].append(annotation)
            if "categories" in self.dataset:
                self.catToImgs[annotation["category_id"]].append(annotation["image_id"])

    def info(self) -> None:
        """Print what the file says of itself."""
        for key, value in self.dataset["info"].items():
            print(f"{key}: {value}")

    # ---- ids -----------------------------------------------------------------------------------

    def getAnnIds(
        self, imgIds: Any = (), catIds: Any = (), areaRng: Any = (), iscrowd: Any = None
    ) -> list[Any]:
        """Ids of annotations of some images, categories, areas between two, and crowds or not."""
        images, categories = _listed(imgIds), _listed(catIds)
        if len(images):
            found: Iterable[Any] = itertools.chain.from_iterable(
                self.imgToAnns[image] for image in images if image in self.imgToAnns
            )
        else:
            found = self.dataset["annotations"]
        if len(categories):
            among = set(categories)
            found = [entry for entry in found if entry["category_id"] in among]
        if len(areaRng):
            found = [entry for entry in found if areaRng[0] < entry["area"] < areaRng[1]]
        if iscrowd is not None:
            found = [entry for entry in found if entry["iscrowd"] == iscrowd]
        return [entry["id"] for entry in found]

    def getCatIds(self, catNms: Any = (), supNms: Any = (), catIds: Any = ()) -> list[Any]:
        """Ids of categories of some names, names of those above, and ids."""
        found = self.dataset["categories"]
        for key, values in (("name", catNms), ("supercategory", supNms), ("id", catIds)):
            chosen = _listed(values)
            if len(chosen):
                found = [entry for entry in found if entry[key] in chosen]
        return [entry["id"] for entry in found]

    def getImgIds(self, imgIds: Any = (), catIds: Any = ()) -> list[Any]:
        """Ids of images among some that have all of some categories."""
        images, categories = _listed(imgIds), _listed(catIds)
        if not len(images) and not len(categories):
            return list(self.imgs)
        found = set(images)
        for place, category in enumerate(categories):
            own = set(self.catToImgs[category])
            found = own if place == 0 and not found else found & own
        return list(found)

    # ---- entries -------------------------------------------------------------------------------

    def loadAnns(self, ids: Any = ()) -> list[Any]:
        """The annotations of some ids, or of one."""
        return [self.anns[number] for number in _listed(ids)]

    def loadCats(self, ids: Any = ()) -> list[Any]:
        """The categories of some ids, or of one."""
        return [self.cats[number] for number in _listed(ids)]

    def loadImgs(self, ids: Any = ()) -> list[Any]:
        """The images of some ids, or of one."""
        return [self.imgs[number] for number in _listed(ids)]

    # ---- results -------------------------------------------------------------------------------

    def loadRes(self, resFile: Any) -> COCO:
        """Results as a set of their own: a file, a list of dicts, or an array (N, 7).

        The dicts are given ids, areas, and boxes or outlines, in place.
        """
        results = type(self)()
        results.dataset = {
            "info": copy.deepcopy(self.dataset.get("info", {})),
            "images": list(self.dataset["images"]),
        }
        entries = resFile
        if isinstance(resFile, str | Path):
            entries = json.loads(Path(resFile).read_bytes())
        elif isinstance(resFile, np.ndarray):
            entries = self.loadNumpyAnnotations(resFile)
        if not isinstance(entries, list):
            raise TypeError(f"resFile must hold a list of results, got {described(entries)}")
        for place, entry in enumerate(entries):
            if not isinstance(entry, dict) or entry.get("image_id") not in self.imgs:
                raise ValueError(
                    f"resFile[{place}] must have an image_id of this set, got {described(entry)}"
                )
        if entries and "caption" in entries[0]:
            captioned = {entry["image_id"] for entry in entries}
            images = results.dataset["images"]
            results.dataset["images"] = [image for image in images if image["id"] in captioned]
        else:  # captions have no categories
            results.dataset["categories"] = copy.deepcopy(self.dataset.get("categories", []))
        if entries:
            self._complete(entries)
        results.dataset["annotations"] = entries
        results.createIndex()
        return results

    def _complete(self, entries: list[Any]) -> None:
        """Give results what annotations have, by what the first of them has."""
        first = entries[0]
        if "caption" not in first:
            if first.get("bbox"):
                for entry in entries:
                    left, top, width, height = entry["bbox"]
                    right, bottom = left + width, top + height
                    outline = [left, top, left, bottom, right, bottom, right, top]
                    entry.setdefault("segmentation", [outline])
                    entry["area"] = width * height
            elif "segmentation" in first:
                outlines = [entry["segmentation"] for entry in entries]
                areas, boxes = masks.area(outlines), masks.toBbox(outlines)
                for entry, area, box in zip(entries, areas, boxes, strict=True):
                    entry["area"] = area
                    entry.setdefault("bbox", box)
            elif "keypoints" in first:
                for entry in entries:
                    x, y = entry["keypoints"][0::3], entry["keypoints"][1::3]
                    width, height = max(x) - min(x), max(y) - min(y)
                    entry["bbox"] = [min(x), min(y), width, height]
                    entry["area"] = width * height
        for place, entry in enumerate(entries):
            entry["id"] = place + 1
            if "caption" not in first and "keypoints" not in first:
                entry["iscrowd"] = 0

    def loadNumpyAnnotations(self, data: Array) -> list[dict[str, Any]]:
        """Rows of image, left, top, width, height, score and class as results."""
        rows = np.asarray(data)
        if rows.ndim != 2 or rows.shape[1] != RESULT_COLUMNS:
            raise ValueError(
                f"data must have the shape (N, {RESULT_COLUMNS}), got {rows.shape}: image, left, "
                "top, width, height, score, class"
            )
        return [
            {
                "image_id": int(row[0]), "bbox": row[1:5], "score": row[5],
                "category_id": int(row[6]),
            }
            for row in rows.tolist()
        ]  # fmt: skip

    # ---- masks ---------------------------------------------------------------------------------

    def annToRLE(self, ann: Mapping[str, Any]) -> Any:
        """The run lengths of an annotation: of its polygons, or those that it has."""
        outline = ann["segmentation"]
        if isinstance(outline, Mapping) and not isinstance(outline["counts"], list):
            return outline
        image = self.imgs[ann["image_id"]]
        runs = masks.frPyObjects(outline, image["height"], image["width"])
        return masks.merge(runs) if isinstance(runs, list) else runs

    def annToMask(self, ann: Mapping[str, Any]) -> Array:
        """The mask (h, w) of an annotation, uint8."""
        return masks.decode(self.annToRLE(ann))

    def showAnns(self, anns: list[Any], draw_bbox: bool = False) -> Any:
        """Draw annotations into the current axes of matplotlib, or print captions."""
        if not anns:
            return 0
        if "segmentation" not in anns[0] and "keypoints" not in anns[0]:
            if "caption" not in anns[0]:
                raise ValueError("anns must have segmentation, keypoints or caption")
            for entry in anns:
                print(entry["caption"])
            return None
        plt = import_extra("matplotlib.pyplot", "plot", "COCO.showAnns")
        axes = plt.gca()
        axes.set_autoscale_on(False)
        for number, entry in enumerate(anns):
            color = plt.get_cmap("hsv")(number * 0.618 % 1)
            self._draw(axes, entry, color, plt.Polygon, draw_bbox)
        return None

    def _draw(
        self, axes: Any, entry: Any, color: Any, polygon: Callable[..., Any], draw_bbox: bool
    ) -> None:
        outline = entry.get("segmentation", [])
        rings = [np.reshape(ring, (-1, 2)) for ring in outline if isinstance(outline, list)]
        if isinstance(outline, Mapping):
            pixels = self.annToMask(entry)
            axes.imshow(pixels[..., None] * np.array([*color[:3], 0.5]))
        if draw_bbox:
            left, top, width, height = entry["bbox"]
            right, bottom = left + width, top + height
            rings.append(np.array([[left, top], [left, bottom], [right, bottom], [right, top]]))
        for ring in rings:
            axes.add_patch(polygon(ring, facecolor=color, alpha=0.4, linewidth=0))
            axes.add_patch(polygon(ring, fill=False, edgecolor=color, linewidth=2))
        points = entry.get("keypoints")
        if isinstance(points, list):
            x, y, seen = np.reshape(points, (-1, 3)).T
            for bone in np.array(self.cats[entry["category_id"]]["skeleton"]) - 1:
                if (seen[bone] > 0).all():
                    axes.plot(x[bone], y[bone], linewidth=3, color=color)
            axes.plot(x[seen > 0], y[seen > 0], "o", color=color, markeredgecolor="k")


def _listed(ids: Any) -> Any:
    """One id as a list of it."""
    return ids if hasattr(ids, "__iter__") and not isinstance(ids, str | bytes) else [ids]
