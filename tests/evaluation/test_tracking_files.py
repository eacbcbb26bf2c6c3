"""What tracks are read from: files, folders, arrays, tables and frames; and what is refused."""

import numpy as np
import pytest
from track_files_for_tests import GT, TRACKS, array, data_set, written

import fastiou
from fastiou.parsing import number_rows

EXPECTED = fastiou.tracking_metrics(array(GT), array(TRACKS)).as_dict()


# ---- sources -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text,
        lambda text: text.replace("\n", "\r\n"),
        lambda text: text.rstrip("\n"),
        lambda text: "\n\n" + text.replace("\n", "\n\n"),
        lambda text: text.replace(",", ", "),
        lambda text: text.replace(",", " "),
        lambda text: text.replace(",", "\t"),
        lambda text: text.replace(",", ";"),
        lambda text: text.replace("\n", ",\n"),
        lambda text: "\ufeff" + text,
        lambda text: text.replace("10,", "1e1,").replace("20,", "+.2e+2,"),
        lambda text: text.replace("50,", "50.0000000000000000000000000000,"),
        lambda text: "frame,id,x,y,w,h,conf,class,visibility\n" + text.replace(",-1,-1,-1", ",1,1"),
    ],
)
@pytest.mark.parametrize("ending", ["txt", "txt.gz"])
def test_a_file_may_be_written_in_many_ways(tmp_path, change, ending):
    gt, tracks = (
        written(tmp_path / f"{name}.{ending}", change(text))
        for name, text in (("gt", GT), ("tracks", TRACKS))
    )
    result = fastiou.tracking_metrics(gt, str(tracks))
    assert result.as_dict() == EXPECTED
    assert list(result.sequences) == ["gt"]


def test_numbers_are_read_to_the_last_bit(rng):
    numbers = rng.normal(size=(3000, 3)) * 10.0 ** rng.integers(-30, 30, (3000, 3))
    ways = ("{!r}", "{:.3f}", "{:.25e}", "{:.17g}", "{:+.6f}")
    cells = [[ways[rng.integers(5)].format(number) for number in row] for row in numbers.tolist()]
    text = "\n".join(map(",".join, cells)).encode()
    unusual = []

    def other(place, line):
        assert text[place:].startswith(line)
        unusual.append(line)
        return list(map(float, line.split(b",")))

    read = number_rows.rows_of_numbers(text, ",", 3, other)
    np.testing.assert_array_equal(read, [list(map(float, row)) for row in cells])
    assert 0 < len(unusual) < len(cells)


def test_rows_are_read_in_portions(monkeypatch):
    monkeypatch.setattr(number_rows, "PORTION", 7)
    text = "".join(f"{n} {n / 8}\n" for n in range(100)).encode()
    read = number_rows.rows_of_numbers(text, None, 2, lambda *_: pytest.fail("unusual"))
    np.testing.assert_array_equal(read[:, 1], np.arange(100) / 8)


def test_there_may_be_more_rows_than_their_beginning_promises():
    long = "".join(f"{n}.000000000000000,{n}\n" for n in range(4000))
    short = "".join(f"{n % 10},1\n" for n in range(100_000))
    read = number_rows.rows_of_numbers((long + short).encode(), ",", 2, lambda *_: [], kept=1)
    expected = [*range(4000), *(n % 10 for n in range(100_000))]
    np.testing.assert_array_equal(read, np.array(expected, float)[:, None])


def test_an_empty_file_is_a_tracker_that_found_nothing(tmp_path):
    gt, tracks = written(tmp_path / "gt.txt", GT), written(tmp_path / "tracks.txt", "")
    result = fastiou.tracking_metrics(gt, tracks)
    assert (result["CLR_FN"], result["LocA"], result["Frames"]) == (3, 1, 2)


@pytest.mark.parametrize("kind", ["list", "float32", "torch", "six"])
def test_arrays_of_any_library(kind):
    gt, tracks = array(GT), array(TRACKS)
    if kind == "list":
        gt, tracks = gt.tolist(), tracks.tolist()
    elif kind == "float32":
        gt, tracks = gt.astype(np.float32), np.asfortranarray(tracks.astype(np.float32))
    elif kind == "torch":
        torch = pytest.importorskip("torch", exc_type=ImportError)
        gt, tracks = torch.tensor(gt), torch.tensor(tracks)
    else:
        gt, tracks = gt[:, :6].astype(np.int64), tracks[:, :6]
    assert fastiou.tracking_metrics(gt, tracks).as_dict() == EXPECTED


@pytest.mark.parametrize("library", ["pandas", "polars"])
@pytest.mark.parametrize(
    "names",
    [
        ("frame", "id", "x", "y", "w", "h", "conf", "class"),
        ("frame_id", "track_id", "bb_left", "bb_top", "bb_width", "bb_height", "score", "label"),
    ],
)
def test_data_frames_by_the_names_of_their_columns(library, names):
    frames = pytest.importorskip(library, exc_type=ImportError)
    gt, tracks = (
        frames.DataFrame(dict(reversed(list(zip(names, rows.T, strict=False)))))
        for rows in (array(GT), array(TRACKS)[:, :7])
    )
    assert fastiou.tracking_metrics(gt, tracks).as_dict() == EXPECTED


def test_a_frame_of_corners_with_ids_of_rows_beside_those_of_tracks():
    pandas = pytest.importorskip("pandas", exc_type=ImportError)

    def frame(rows):
        x, y, w, h = rows[:, 2:6].T
        return pandas.DataFrame(
            {
                "id": np.arange(len(rows)), "frame": rows[:, 0].astype(int), "x1": x, "y1": y,
                "x2": x + w, "y2": y + h, "track_id": rows[:, 1].astype(int),
            }
        )  # fmt: skip

    result = fastiou.tracking_metrics(frame(array(GT)), frame(array(TRACKS)))
    assert result.as_dict() == EXPECTED
    with pytest.raises(ValueError, match="gt has no column id"):
        fastiou.tracking_metrics(
            frame(array(GT)).drop(columns=["id", "track_id"]), frame(array(TRACKS))
        )


def test_a_table_that_was_read(tmp_path):
    gt = fastiou.read(written(tmp_path / "gt.txt", GT))
    tracks = fastiou.read(written(tmp_path / "tracks.txt", TRACKS), format="mot")
    assert fastiou.tracking_metrics(gt, tracks, benchmark="mot17").as_dict() == EXPECTED


def test_a_parquet_file(tmp_path):
    pandas = pytest.importorskip("pandas", exc_type=ImportError)
    pytest.importorskip("pyarrow", exc_type=ImportError)
    names = ["frame", "id", "x", "y", "w", "h", "conf"]
    for name, text in (("gt", GT), ("tracks", TRACKS)):
        frame = pandas.DataFrame(array(text)[:, :7], columns=names)
        frame.astype({"frame": int, "id": int}).to_parquet(tmp_path / f"{name}.parquet")
    result = fastiou.tracking_metrics(tmp_path / "gt.parquet", tmp_path / "tracks.parquet")
    assert result.as_dict() == EXPECTED


# ---- several sequences -------------------------------------------------------------------------


@pytest.mark.parametrize("flat", [False, True])
@pytest.mark.parametrize("data", [False, True])
@pytest.mark.parametrize("ending", ["txt", "txt.gz"])
def test_folders_as_mot_challenge_lays_them_out(tmp_path, flat, data, ending):
    folders = data_set(tmp_path, flat=flat, data=data, ending=ending)
    written(tmp_path / "tracks" / "other.txt", TRACKS)
    result = fastiou.tracking_metrics(*folders)
    assert list(result.sequences) == ["A-01", "B-02"]
    assert result.sequences["A-01"].as_dict() == EXPECTED
    both = {"A-01": (array(GT), array(TRACKS)), "B-02": (array(GT), [])}
    assert result.as_dict() == fastiou.tracking_metrics(both).as_dict()
    sides = ({name: pair[side] for name, pair in both.items()} for side in (0, 1))
    assert result.as_dict() == fastiou.tracking_metrics(*sides).as_dict()


def test_the_folder_of_one_sequence(tmp_path):
    gt, tracks = data_set(tmp_path)
    for truth, found in (
        (gt / "A-01", tracks / "A-01.txt"),
        (gt / "A-01", tracks),
        (gt / "A-01" / "gt" / "gt.txt", tracks / "A-01.txt"),
    ):
        result = fastiou.tracking_metrics(truth, found)
        assert list(result.sequences) == ["A-01"]
        assert result.as_dict() == EXPECTED


def test_seqinfo_tells_how_many_frames_there_are(tmp_path):
    gt, tracks = data_set(tmp_path)
    written(gt / "A-01" / "seqinfo.ini", "[Sequence]\nname=A-01\nseqLength=600\n")
    result = fastiou.tracking_metrics(gt, tracks)
    assert [result.sequences[name]["Frames"] for name in ("A-01", "B-02")] == [600, 2]
    assert result.sequences["A-01"]["CLR_Frames"] == 600
    given = fastiou.tracking_metrics(array(GT), array(TRACKS), frames=600)
    assert given["FP_per_frame"] == result.sequences["A-01"]["FP_per_frame"]
    written(gt / "A-01" / "seqinfo.ini", "[Sequence]\nseqLength=1\n")
    with pytest.raises(ValueError, match=r"gt.txt:2: frame 2, expected a frame up to 1 \(seqLen"):
        fastiou.tracking_metrics(gt, tracks)
    written(gt / "A-01" / "seqinfo.ini", "[Sequence]\n")
    with pytest.raises(ValueError, match=r"seqinfo.ini: no seqLength, expected \[Sequence\]"):
        fastiou.tracking_metrics(gt, tracks)


def test_folders_that_do_not_fit(tmp_path):
    gt, tracks = data_set(tmp_path)
    (tracks / "B-02.txt").unlink()
    with pytest.raises(ValueError, match=r"tracks: no B-02\.txt, expected the tracks of each"):
        fastiou.tracking_metrics(gt, tracks)
    with pytest.raises(ValueError, match="this is a file, expected a folder with the tracks"):
        fastiou.tracking_metrics(gt, tracks / "A-01.txt")
    with pytest.raises(ValueError, match="no such folder"):
        fastiou.tracking_metrics(gt, tmp_path / "none")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"no truth of sequences, expected SEQ/gt/gt\.txt, or SEQ"):
        fastiou.tracking_metrics(tmp_path / "empty", tracks)
    with pytest.raises(ValueError, match="this is a folder, expected a file of one sequence"):
        fastiou.tracking_metrics(gt / "A-01" / "gt" / "gt.txt", tracks)
    written(tracks / "B-02.txt", "")
    written(tracks / "B-02.txt.gz", "")
    with pytest.raises(ValueError, match=r"B-02\.txt and B-02\.txt\.gz for one sequence"):
        fastiou.tracking_metrics(gt, tracks)


def test_dicts_that_do_not_fit():
    gt, tracks = array(GT), array(TRACKS)
    with pytest.raises(ValueError, match="tracks lacks the sequence 'b', which gt has"):
        fastiou.tracking_metrics({"a": gt, "b": gt}, {"a": tracks})
    with pytest.raises(ValueError, match="gt lacks the sequence 'b', which tracks has"):
        fastiou.tracking_metrics({"a": gt}, {"a": tracks, "b": tracks})
    with pytest.raises(TypeError, match="gt and tracks must both be dicts of sequences"):
        fastiou.tracking_metrics({"a": gt}, tracks)
    with pytest.raises(
        ValueError, match=r"gt\['a'\] must be a pair \(gt, tracks\) where tracks is"
    ):
        fastiou.tracking_metrics({"a": gt})
    with pytest.raises(TypeError, match="tracks must be given: a file, an array or a data frame"):
        fastiou.tracking_metrics(gt)
    with pytest.raises(ValueError, match="frames names the sequence 'b', which is not there"):
        fastiou.tracking_metrics({"a": (gt, tracks)}, frames={"b": 3})
    with pytest.raises(ValueError, match="there is no sequence to score"):
        fastiou.tracking_metrics({})


# ---- what is refused ---------------------------------------------------------------------------

REFUSED = [
    ("1,1,0,0,10\n", "a.txt:1: 5 numbers in a row, expected rows of frame, id, x, y, width"),
    (GT + "3,1,0,0,10,20,1,1\n", "a.txt:4: 8 cells, expected 9, as in the first row"),
    (GT + "3,1,0,0,ten,20,1,1,1\n", "a.txt:4: 'ten', expected a number"),
    (GT + "\n3,1,0,0,,20,1,1,1\n", "a.txt:5: '', expected a number"),
    (GT + "3,1,0,0,nan,20,1,1,1\n", "a.txt:4: w nan, expected a finite number"),
    (GT + "3,1,0,0,1e999,20,1,1,1\n", "a.txt:4: w inf, expected a finite number"),
    (GT + "3.5,1,0,0,10,20,1,1,1\n", "a.txt:4: frame 3.5, expected a whole number below"),
    (GT + "-3,1,0,0,10,20,1,1,1\n", "a.txt:4: frame -3, expected a frame of 0 or more"),
    (GT + "3,1.5,0,0,10,20,1,1,1\n", "a.txt:4: id 1.5, expected a whole number below"),
    (GT + "3,1e300,0,0,10,20,1,1,1\n", "a.txt:4: id 1"),
    (GT + "\n2,1,0,0,10,20,1,1,1\n", "a.txt:5: id 1 for the second time in frame 2, expected"),
    (GT + "3,1,0,0,10,20,0.9,1,1\n", "a.txt:4: conf 0.9, expected 0 for a box that does not"),
    (GT + "3,1,0,0,10,20,300,1,1\n", "a.txt:4: conf 300, expected 0 for a box that does not"),
    ('{"a": 1}', "a.txt: "),
    ("\x00\x01", "a.txt: "),
    ("é\n", "a.txt:"),
]


@pytest.mark.parametrize(("text", "message"), REFUSED)
def test_what_is_wrong_in_a_file_is_told_with_its_line(tmp_path, text, message):
    path = written(tmp_path / "a.txt", text)
    with pytest.raises(ValueError, match=r"a\.txt") as error:
        fastiou.tracking_metrics(path, array(TRACKS))
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_damaged_files_are_read_or_refused_in_one_line(tmp_path, rng):
    path, tracks = tmp_path / "gt.txt", array(TRACKS)
    marks = [b",", b"\n", b"-", b"e", b"9" * 25, b"nan", b"1e400", b" ", b"\r", b"\xc3", b'"', b"_"]
    read, messages = 0, []
    for n in range(400):
        text = bytearray(GT.encode())
        for _ in range(rng.integers(1, 4)):
            place = int(rng.integers(len(text)))
            way = rng.integers(4)
            if way == 0:
                text[place] = rng.integers(256)
            elif way == 1:
                del text[place : place + int(rng.integers(1, 9))]
            elif way == 2:
                text[place:place] = marks[rng.integers(len(marks))]
            else:
                text = text[:place]
            text = text or bytearray(b"\x1f")
        path.write_bytes(bytes(text))
        try:
            fastiou.tracking_metrics(path, tracks, benchmark=(None, "mot17")[n % 2])
            read += 1
        except ValueError as error:
            messages.append(str(error))
    assert 0 < read < 200
    assert all(message.startswith(f"{path}:") and "\n" not in message for message in messages)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ([1, 1, 0, 0, np.nan, 1], "tracks: row 1 has w nan, expected a finite number"),
        ([1, 1, 0, 0, 1, np.inf], "tracks: row 1 has h inf, expected a finite number"),
        ([0.5, 1, 0, 0, 1, 1], "tracks: row 1 has frame 0.5, expected a whole number below 2**53"),
        ([1, 2.0**53, 0, 0, 1, 1], "tracks: row 1 has id 9007199254740992, expected a whole"),
        (
            [1, 5, 0, 0, 1, 1],
            "tracks: row 1 has id 5 for the second time in frame 1, expected each",
        ),
    ],
)
def test_what_is_wrong_in_an_array_is_told_with_its_row(row, message):
    with pytest.raises(ValueError, match="tracks") as error:
        fastiou.tracking_metrics(array(GT), [[1, 5, 0, 0, 1, 1], row])
    assert message in str(error.value)


@pytest.mark.parametrize("rules", ["mot17", "mot20"])
def test_a_benchmark_asks_for_its_classes(rules):
    gt, tracks = array(GT), array(TRACKS)
    with pytest.raises(ValueError, match="gt: row 0 has 6 numbers, expected a class as the 8th, f"):
        fastiou.tracking_metrics(gt[:, :6], tracks, benchmark=rules)
    for class_ in (200, 1.5):
        gt[1, 7] = class_
        with pytest.raises(
            ValueError, match=f"gt: row 1 has class {class_}, expected one of the cl"
        ):
            fastiou.tracking_metrics(gt, tracks, benchmark=rules)
    gt[1, 7] = 14
    with pytest.raises(ValueError, match=f"gt: row 1 has class 14, expected one of .* {rules}"):
        fastiou.tracking_metrics(gt, tracks, benchmark=rules)
    tracks[1, 7] = 2
    with pytest.raises(ValueError, match=f"tracks: row 1 has class 2, expected 1, since {rules}"):
        fastiou.tracking_metrics(array(GT), tracks, benchmark=rules)


def test_tables_that_are_no_tracks():
    boxes = [[0, 0, 1, 1]]
    with pytest.raises(ValueError, match="gt has no column id: rows of frame, id, x, y, width"):
        fastiou.tracking_metrics(fastiou.BoxTable(boxes, keys={"image": [1]}), boxes)
    named = fastiou.BoxTable(boxes, keys={"image": ["a.jpg"]}, ids=[1])
    with pytest.raises(ValueError, match="gt must have numbers in the column frame, got names"):
        fastiou.tracking_metrics(named, boxes)
    masks = fastiou.Masks.from_dense(np.ones((1, 2, 2), bool))
    table = fastiou.BoxTable(masks=masks, keys={"image": [1]}, ids=[1])
    with pytest.raises(TypeError, match="gt must have boxes, got masks"):
        fastiou.tracking_metrics(table, boxes)


def test_other_arguments_that_are_refused(tmp_path):
    gt, tracks = array(GT), array(TRACKS)
    for value in (gt[:, :5], gt[0], np.zeros((1, 2, 6))):
        with pytest.raises(ValueError, match=r"gt must have the shape \(N, 6\) or more columns"):
            fastiou.tracking_metrics(value, tracks)
    with pytest.raises(TypeError, match="gt must hold booleans, integers, or floats"):
        fastiou.tracking_metrics([["a"] * 6], tracks)
    with pytest.raises(ValueError, match="metrics must be one of 'HOTA', 'CLEAR', 'Identity', got"):
        fastiou.tracking_metrics(gt, tracks, "MOTA")
    with pytest.raises(ValueError, match="metrics must be some of HOTA, CLEAR, Identity, got none"):
        fastiou.tracking_metrics(gt, tracks, ())
    with pytest.raises(ValueError, match="benchmark must be one of 'mot17', 'mot20', got 'MOT17'"):
        fastiou.tracking_metrics(gt, tracks, benchmark="MOT17")
    with pytest.raises(FileNotFoundError, match=r"none\.txt: no such file"):
        fastiou.tracking_metrics(tmp_path / "none.txt", tracks)
    with pytest.raises(ValueError, match="frame 2, expected a frame up to 1"):
        fastiou.tracking_metrics(gt, tracks, frames=1)
    with pytest.raises(TypeError, match="frames must be an integer of at least 0, got"):
        fastiou.tracking_metrics(gt, tracks, frames=1.5)
    evaluator = fastiou.TrackingEvaluator()
    with pytest.raises(ValueError, match="sequence must be given where gt is no file"):
        evaluator.update(gt, tracks)
    with pytest.raises(TypeError, match="sequence must be a string, got 3"):
        evaluator.update(gt, tracks, 3)


def test_tracks_of_other_frames_are_refused(tmp_path):
    gt, tracks = tmp_path / "gt.txt", tmp_path / "tracks.txt"
    gt.write_text("1,1,10,20,30,40,1,1,1\n2,1,10,20,30,40,1,1,1\n")
    tracks.write_text("1001,1,10,20,30,40,1,-1,-1,-1\n")
    message = "tracks.txt:1: frame 1001, expected a frame of the truth, such as 1: no frame is in"
    with pytest.raises(ValueError, match=message):
        fastiou.tracking_metrics(gt, tracks)
    tracks.write_text("")
    assert fastiou.tracking_metrics(gt, tracks).HOTA == 0


def test_frames_of_one_side_that_begin_at_0_are_told(tmp_path):
    rows = np.array([[frame, 1, 10 + frame, 10, 20, 20] for frame in range(5)])
    later = np.add(rows, [1, 0, 0, 0, 0, 0])
    told = "frame 0 only in gt and 5 only in tracks: one may count from 0 and the other from 1"
    with pytest.warns(UserWarning, match=told):
        fastiou.tracking_metrics(rows, later)
    told = "frame 5 only in gt and 0 only in tracks: one may"
    with pytest.warns(UserWarning, match=told):
        fastiou.tracking_metrics(later, rows)
    fastiou.tracking_metrics(rows, rows)
    fastiou.tracking_metrics(later, later[:3])  # which finds nothing in the last frames


def test_parts_of_the_image_against_pixels_are_refused():
    rows = np.array([[frame, 1, 100, 50, 80, 120] for frame in range(1, 6)], float)
    parts = np.hstack([rows[:, :2], rows[:, 2:] / 500])
    with pytest.raises(ValueError, match="the boxes of tracks lie between 0 and 1, as normalized"):
        fastiou.tracking_metrics(rows, parts)
    with pytest.raises(ValueError, match="the boxes of gt lie between 0 and 1, as normalized"):
        fastiou.tracking_metrics(parts, rows)
    assert fastiou.tracking_metrics(parts, parts)["HOTA"] == 1


def test_detections_are_no_tracks():
    rows = np.array([[1, 1, 10, 10, 20, 20], [2, 1, 10, 10, 20, 20]])
    with pytest.raises(ValueError, match="id -1, as in all rows, expected the numbers of tracks"):
        fastiou.tracking_metrics(rows, np.where([False, True] + [False] * 4, -1, rows))


def test_truth_that_does_not_count_is_told():
    rows = np.array([[frame, 1, 10, 10, 20, 20, 0] for frame in (1, 2)])
    with pytest.warns(UserWarning, match="gt: all boxes are marked by 0: none counts"):
        fastiou.tracking_metrics(rows, rows)


def test_boxes_that_are_rather_corners_are_told(tmp_path):
    rows = np.array([[frame, 1, 100 + frame, 50, 180 + frame, 120] for frame in range(1, 21)])
    sizes = rows - [[0, 0, 0, 0, 100, 100]]
    path = tmp_path / "gt.txt"
    np.savetxt(path, rows, fmt="%d", delimiter=",")
    words = "gt.txt: x, y, width and height are in order as two corners are, in all rows"
    with pytest.warns(UserWarning, match=words):
        fastiou.tracking_metrics(path, sizes)
    fastiou.tracking_metrics(rows, rows)  # who passes an array knows


def test_few_frames_may_have_none_in_common_by_chance():
    truth, tracks = [[1, 23, 51, 69, 15, 9, 1]], [[100, 7, 54, 66, 9, 9]]
    result = fastiou.tracking_metrics(truth, tracks)
    assert (result.HOTA, result.MOTA, result.CLR_FN, result.CLR_FP) == (0, -1, 1, 1)
    tracks[0][0] = 101
    with pytest.raises(ValueError, match="row 0 has frame 101, expected a frame of the truth"):
        fastiou.tracking_metrics(truth, tracks)


def test_boxes_of_negative_size_are_told(tmp_path):
    gt, tracks = tmp_path / "gt.txt", tmp_path / "tracks.txt"
    gt.write_text("1,1,10,20,30,40,1,1,1\n")
    tracks.write_text("1,7,1,2,3,4,1\n\n1,1,10,20,-30,40,1\n1,2,10,20,30,-40,1\n")
    message = r"tracks.txt:3: width -30 and height 40, expected sizes of 0 or more \(and 1 more\)"
    with pytest.warns(UserWarning, match=message):
        fastiou.tracking_metrics(gt, tracks)
