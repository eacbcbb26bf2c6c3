"""Files of two short sequences."""

import gzip

import numpy as np

GT = "1,1,0,0,10,20,1,1,1\n2,1,2,0,10,20,1,1,1\n1,2,50,0,10,20,1,1,1\n"
TRACKS = "1,5,0,0,10,20,0.9,-1,-1,-1\n2,5,2.5,0,10,20,0.9,-1,-1,-1\n"


def array(text):
    return np.array([list(map(float, line.split(","))) for line in text.split()])


def written(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(text.encode()))
    else:
        path.write_bytes(text.encode())
    return path


def data_set(tmp_path, *, flat=False, data=False, ending="txt"):
    """Folders of two sequences, of which the second has no tracks in its file."""
    for name, text in (("A-01", TRACKS), ("B-02", "")):
        place = f"gt/{name}.{ending}" if flat else f"gt/{name}/gt/gt.{ending}"
        written(tmp_path / place, GT)
        written(tmp_path / ("tracks/data" if data else "tracks") / f"{name}.{ending}", text)
    return tmp_path / "gt", tmp_path / "tracks"
