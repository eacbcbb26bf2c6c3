"""Label images: what is read of each format, and what is said of what is none."""

import gzip
import io
import struct
from pathlib import Path

import numpy as np
import pytest
from command_for_tests import without
from images_for_tests import (
    PALETTE,
    image_bytes,
    npy_bytes,
    png_bytes,
    png_of_chunks,
    tiff_bytes,
)

from fastiou.formats.errors import FileError
from fastiou.formats.images import LabelFile, looks_like_labels, read_labels, shared_frames
from fastiou.formats.numpy_files import read_npy

pytest.importorskip("PIL", reason="images need the extra images")
from PIL import Image

LABELS = np.array([[0, 1, 3, 2, 0], [1, 0, 0, 2, 3]], np.uint8)
WIDE = LABELS.astype(np.uint16) * 20_000
STACK = np.stack([LABELS, LABELS[::-1], LABELS * 2])


def pages_bytes(*pages, **options):
    buffer = io.BytesIO()
    first, *others = map(Image.fromarray, pages)
    first.save(buffer, "TIFF", save_all=True, append_images=others, **options)
    return buffer.getvalue()


SIGNED = LABELS.astype(np.int32) - 1
IMAGES = {
    "PNG, grey": (image_bytes(LABELS, "PNG"), LABELS),
    "PNG, grey of 16 bits": (image_bytes(WIDE, "PNG"), WIDE),
    "PNG, palette": (image_bytes(LABELS, "PNG", "P"), LABELS),
    "PNG, palette with transparency": (image_bytes(LABELS, "PNG", "P", transparency=0), LABELS),
    "PNG, palette of 2 bits": (png_bytes(LABELS, 2, PALETTE), LABELS),
    "PNG, palette of 4 bits": (png_bytes(LABELS * 5, 4, PALETTE), LABELS * 5),
    "PNG, black and white": (image_bytes(LABELS > 1, "PNG"), LABELS > 1),
    "PNG, grey of 1 bit": (png_bytes(LABELS & 1, 1), LABELS & 1),
    "PNG, grey of 2 bits": (png_bytes(LABELS, 2), LABELS),
    "PNG, grey of 4 bits": (png_bytes(LABELS * 5, 4), LABELS * 5),
    "TIFF, grey": (image_bytes(LABELS, "TIFF"), LABELS),
    "TIFF, palette": (image_bytes(LABELS, "TIFF", "P"), LABELS),
    "TIFF, black and white": (image_bytes(LABELS > 1, "TIFF"), LABELS > 1),
    "TIFF, int32": (image_bytes(SIGNED * 10**9, "TIFF"), SIGNED * 10**9),
    "TIFF, compressed": (image_bytes(WIDE, "TIFF", compression="tiff_lzw"), WIDE),
    "TIFF, compressed int32": (
        image_bytes(SIGNED, "TIFF", compression="tiff_adobe_deflate"),
        SIGNED,
    ),
    **{
        f"TIFF, plain {pixels.dtype}": (tiff_bytes(pixels), pixels)
        for pixels in (
            LABELS * 80,
            SIGNED.astype(np.int8) * 60,
            WIDE,
            (SIGNED * 9000).astype(np.int16),
            LABELS.astype(np.uint32) * 2**30,
            SIGNED * 10**9,
        )
    },
    "npy": (npy_bytes(LABELS), LABELS),
    "npy, bool": (npy_bytes(LABELS > 1), LABELS > 1),
    "npy, big-endian": (npy_bytes(WIDE.astype(">u2")), WIDE),
    "npy, uint64": (npy_bytes(LABELS.astype(np.uint64) << 62), LABELS.astype(np.uint64) << 62),
}


@pytest.mark.parametrize("compress", [bytes, gzip.compress], ids=["plain", "gzip"])
@pytest.mark.parametrize("name", IMAGES)
def test_pixels_are_the_labels(tmp_path, name, compress):
    content, expected = IMAGES[name]
    path = tmp_path / "image.dat"
    path.write_bytes(compress(content))
    read = read_labels(path)
    assert (read.path, read.kind, read.count) == (path, name[:4].rstrip(",").upper(), 1)
    labels = read.read(0)
    assert labels.dtype.kind in "biu"
    np.testing.assert_array_equal(labels, expected)
    assert looks_like_labels(content)


@pytest.mark.parametrize("content", [npy_bytes(STACK), pages_bytes(*STACK)], ids=["npy", "TIFF"])
def test_frames_come_in_any_order(tmp_path, content):
    path = tmp_path / "frames"
    path.write_bytes(content)
    read = read_labels(path)
    assert read.count == 3
    for number in (2, 0, 1, 0):
        np.testing.assert_array_equal(read.read(number), STACK[number])


def test_boxes_are_not_taken_for_labels():
    for array in (LABELS[:, :4], LABELS.astype(float), LABELS[0], np.zeros((1, 2, 3, 4), int)):
        assert not looks_like_labels(npy_bytes(array))
    for content in (b"1,2,3,4\n", b"[]", npy_bytes(LABELS)[:9], b"\x93NUMPY\x09\x00"):
        assert not looks_like_labels(content)
    assert looks_like_labels(npy_bytes(np.zeros((2, 3, 4), int)))


def animation_bytes():
    buffer = io.BytesIO()
    first, second = Image.fromarray(LABELS), Image.fromarray(LABELS[::-1])
    first.save(buffer, "PNG", save_all=True, append_images=[second])
    return buffer.getvalue()


COLOURS = np.zeros((2, 5, 3), np.uint8)
BAD = {
    "PNG, colours": (
        image_bytes(COLOURS, "PNG"),
        ": an image of colours (RGB), expected a palette or grey, where a pixel is a label; "
        "--format panoptic reads colours of PNG as COCO's ids, R + 256 G + 65536 B",
    ),
    "PNG, transparent colours": (
        image_bytes(COLOURS, "PNG", "RGBA"),
        ": an image of colours (RGBA), expected",
    ),
    "PNG, transparent grey": (image_bytes(COLOURS, "PNG", "LA"), ": an image of colours (LA)"),
    "TIFF, colours": (image_bytes(COLOURS, "TIFF"), ": an image of colours (RGB), expected"),
    "TIFF, three frames": (
        image_bytes(COLOURS, "TIFF"),
        ": an image of colours (RGB), expected a palette or grey, where a pixel is a label; "
        "--format panoptic reads colours of PNG as COCO's ids, R + 256 G + 65536 B; tifffile "
        "writes three frames as colours but with photometric='minisblack'",
    ),
    "TIFF, floats": (
        tiff_bytes(LABELS.astype(np.float32)),
        ": pixels of floating point, expected integers",
    ),
    "TIFF, white is 0": (tiff_bytes(LABELS, photometric=0), ": an image with 0 for white"),
    "TIFF, the second page": (
        pages_bytes(LABELS, COLOURS),
        ":frame 1: an image of colours (RGB), expected",
    ),
    "PNG, truncated": (image_bytes(LABELS, "PNG")[:-30], ": cannot be read as PNG ("),
    "PNG, damaged": (
        image_bytes(WIDE, "PNG").replace(b"IDAT", b"IDAT\xff\xff"),
        ": cannot be read as PNG (",
    ),
    "PNG, its beginning": (image_bytes(LABELS, "PNG")[:20], ": cannot be read as PNG ("),
    "PNG, animated": (animation_bytes(), ": an animation of 2 frames, expected one image"),
    "TIFF, truncated": (image_bytes(WIDE, "TIFF")[:-8], ": cannot be read as TIFF ("),
    "TIFF, damaged": (b"II*\0" + b"\xff" * 40, ": cannot be read as TIFF ("),
    "npy, floats": (
        npy_bytes(LABELS * 1.0),
        ":array: shape (2, 5), dtype float64, expected integers of shape (H, W) or (T, H, W); .ast",
    ),
    "npy, one row": (npy_bytes(LABELS[0]), ":array: shape (5,), dtype uint8, expected integers"),
    "npy, too deep": (npy_bytes(STACK[None]), ":array: shape (1, 3, 2, 5), dtype uint8, expected"),
    "npy, truncated": (npy_bytes(LABELS)[:-1], ": cannot be read as .npy"),
    "boxes": (b"1,2,3,4\n", ": text, expected a label image: PNG, TIFF or .npy (--geometry box"),
    "JSON": (b"[]", ": JSON, expected a label image: PNG, TIFF or .npy (--geometry box compares"),
    "nothing": (b"", ": the file is empty"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_images_say_what_is_wrong(tmp_path, name):
    content, message = BAD[name]
    path = tmp_path / "bad"
    path.write_bytes(content)

    def read_all():
        labels = read_labels(path)
        for number in range(labels.count):
            labels.read(number)

    with pytest.raises(FileError) as caught:
        read_all()
    assert str(caught.value).startswith(f"{path}{message}")
    assert "\n" not in str(caught.value)


def test_an_image_too_large_for_pillow_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 4)
    path = tmp_path / "large.png"
    path.write_bytes(image_bytes(LABELS, "PNG"))
    with pytest.raises(FileError, match=r"too large for Pillow .* expected fewer pixels"):
        read_labels(path)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 8)  # Pillow would only warn
    assert read_labels(path).read(0).shape == (2, 5)


@pytest.mark.parametrize(("dtype", "bits"), [(np.uint64, 64), (np.int64, 64), (np.float64, 64)])
def test_pixels_that_pillow_does_not_read(tmp_path, monkeypatch, dtype, bits):
    path = tmp_path / "wide.tif"
    path.write_bytes(tiff_bytes(LABELS.astype(dtype)))
    without(monkeypatch, "tifffile")
    with pytest.raises(FileError) as caught:
        read_labels(path)
    assert str(caught.value) == (
        f"{path}: a TIFF image with pixels of {bits} bits, which Pillow does not read, expected "
        "8, 16 or 32 bits, or tifffile (pip install tifffile), or the labels as .npy"
    )


def test_tifffile_reads_what_pillow_does_not(tmp_path):
    pytest.importorskip("tifffile")
    path = tmp_path / "wide.tif"
    for labels in (LABELS.astype(np.uint64) << 62, LABELS.astype(np.int64) - 2**40):
        path.write_bytes(tiff_bytes(labels))
        read = read_labels(path)
        assert (read.kind, read.count) == ("TIFF", 1)
        np.testing.assert_array_equal(read.read(0), labels)
    for content, message in (
        (tiff_bytes(LABELS.astype(float)), "pixels of shape (2, 5), dtype float64, expected integ"),
        (tiff_bytes(LABELS.astype(int), photometric=0), "an image with 0 for white"),
        (tiff_bytes(LABELS.astype(int))[:-90], "cannot be read as TIFF ("),
    ):
        path.write_bytes(content)
        with pytest.raises(FileError) as caught:
            read_labels(path).read(0)
        assert str(caught.value).startswith(f"{path}: {message}")


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_without_pillow_images_are_refused(tmp_path, monkeypatch, kind):
    path = tmp_path / "image"
    path.write_bytes(image_bytes(LABELS, kind))
    without(monkeypatch, "PIL")
    with pytest.raises(ImportError, match=rf"reading {kind} needs: pip install 'fastiou\[images\]"):
        read_labels(path)
    path.write_bytes(npy_bytes(LABELS))
    assert read_labels(path).count == 1


# ---- colours -----------------------------------------------------------------------------------

#: Labels up to the largest that a colour can be, and their colours by COCO's rule.
IDS = np.array([[0, 1, 255, 256], [65535, 65536, 2**24 - 1, 4_260_867]])
COLOURED = np.stack([IDS % 256, IDS // 256 % 256, IDS // 65536], axis=-1).astype(np.uint8)


@pytest.mark.parametrize("compress", [bytes, gzip.compress], ids=["plain", "gzip"])
@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_colours_are_read_as_labels_where_that_is_asked(tmp_path, mode, compress):
    path = tmp_path / "a.png.gz"
    path.write_bytes(compress(image_bytes(COLOURED, "PNG", mode)))
    read = read_labels(path, format="panoptic")
    assert (read.kind, read.count) == ("panoptic PNG", 1)
    np.testing.assert_array_equal(read.read(0), IDS)
    folder = read_labels(tmp_path, format="panoptic")
    assert (folder.kind, folder.count, folder.names) == ("panoptic folder", 1, ("a",))
    np.testing.assert_array_equal(folder.read(0), IDS)
    for format_ in (None, "labels"):
        for plain in (path, tmp_path):
            with pytest.raises(FileError, match=r"image of colours .* --format panoptic reads"):
                read_labels(plain, format=format_).read(0)


def wide_colours():
    """A PNG with 16 bits for each of red, green and blue."""
    rows = b"".join(b"\0" + bytes(6 * 4) for _ in range(2))
    return png_of_chunks(struct.pack(">IIBBBBB", 4, 2, 16, 2, 0, 0, 0), rows)


TRANSPARENT = np.concatenate([COLOURED, np.full((2, 4, 1), 254, np.uint8)], axis=-1)
NO_COLOURS = {
    "grey": (image_bytes(LABELS, "PNG"), "an image of the mode L, 8 bits"),
    "palette": (image_bytes(LABELS, "PNG", "P"), "an image of the mode P, 8 bits"),
    "16 bits": (wide_colours(), "an image of the mode RGB, 16 bits"),
    "transparent": (image_bytes(TRANSPARENT, "PNG"), "colours that are transparent"),
    "TIFF": (image_bytes(COLOURED, "TIFF"), "a TIFF image"),
    "JPEG": (image_bytes(COLOURED, "JPEG"), "a JPEG image"),
    "npy": (npy_bytes(COLOURED), "a .npy file"),
    "text": (b"1,2,3,4\n", "text"),
}


@pytest.mark.parametrize("name", NO_COLOURS)
def test_images_that_have_no_ids_as_colours(tmp_path, name):
    content, found = NO_COLOURS[name]
    path = tmp_path / "bad"
    path.write_bytes(content)
    with pytest.raises(FileError) as caught:
        read_labels(path, format="panoptic").read(0)
    assert str(caught.value) == (
        f"{path}: {found}, expected a PNG of colours (RGB, 8 bits) for --format panoptic; "
        "--format labels has others"
    )


@pytest.mark.parametrize("channels", [3, 4])
@pytest.mark.parametrize("dtype", ["uint8", "int32", "int64"])
def test_arrays_of_colours_are_no_stack_of_frames(tmp_path, channels, dtype):
    path = tmp_path / "a.npy"
    path.write_bytes(npy_bytes(np.full((9, 8, channels), 255, dtype)))
    with pytest.raises(FileError) as caught:
        read_labels(path)
    assert str(caught.value) == (
        f"{path}:array: shape (9, 8, {channels}), dtype {dtype}: an image of colours, or frames as "
        "narrow, expected --format labels for frames; [..., 0] for one image; of colours a PNG, "
        "and --format panoptic reads colours of PNG as COCO's ids, R + 256 G + 65536 B"
    )
    assert read_labels(path, format="labels").count == 9


def test_frames_as_narrow_as_colours_may_be_rows_of_an_image(tmp_path):
    path = tmp_path / "a.npy"
    for width, largest, is_refused in (
        (1, 900, True),
        (3, 255, True),
        (3, 256, False),
        (5, 9, False),
    ):
        np.save(path, np.full((9, 8, width), largest))
        if is_refused:
            with pytest.raises(FileError, match="frames as narrow, expected --format labels for"):
                read_labels(path)
        else:
            assert read_labels(path).count == 9
    np.save(path, np.ones((3, 8, 3), int))  # fewer frames than an image has rows
    assert read_labels(path).count == 3
    tifffile = pytest.importorskip("tifffile")
    tiff = tmp_path / "a.tif"
    tifffile.imwrite(tiff, np.full((9, 8, 3), 7, np.uint8), photometric="minisblack")
    with pytest.raises(FileError, match=r"9 frames of shape \(8, 3\): an image of colours, or"):
        read_labels(tiff).read(0)
    assert read_labels(tiff, format="labels").read(0).shape == (8, 3)


# ---- folders -----------------------------------------------------------------------------------


def fill(folder, **contents):
    """A folder of files; `_` in a name stands for a point."""
    folder.mkdir()
    for name, content in contents.items():
        (folder / name.replace("_", ".")).write_bytes(content)
    return folder


def test_images_of_a_folder_are_sorted_by_name(tmp_path):
    folder = fill(
        tmp_path / "a",
        b_PNG=image_bytes(LABELS, "PNG"),
        a_npy_gz=gzip.compress(npy_bytes(LABELS * 2)),
        c_tif=image_bytes(LABELS * 3, "TIFF"),
        notes_txt=b"",
    )
    (folder / "d.png").mkdir()
    read = read_labels(folder)
    assert (read.kind, read.count, read.names, read.ignored) == ("folder", 3, ("a", "b", "c"), 2)
    for number, factor in ((0, 2), (1, 1), (2, 3)):
        np.testing.assert_array_equal(read.read(number), LABELS * factor)


def test_folders_that_cannot_be_used(tmp_path):
    with pytest.raises(FileError, match=r"empty: a folder without label images, expected \.png or"):
        read_labels(fill(tmp_path / "empty", notes_txt=b"-"))
    twice = fill(tmp_path / "twice", a_npy=npy_bytes(LABELS), a_png=image_bytes(LABELS, "PNG"))
    with pytest.raises(FileError, match=r"a\.png: another image 'a', expected .* \(a\.npy is"):
        read_labels(twice)
    deep = read_labels(fill(tmp_path / "deep", a_npy=npy_bytes(STACK)))
    with pytest.raises(FileError, match=r"a\.npy: 3 frames, expected one in each file of a folder"):
        deep.read(0)


def label_file(path, count, *names):
    return LabelFile(path, "folder" if names else "NPY", count, lambda _: LABELS, names)


def test_frames_are_shared_by_name_or_by_number(tmp_path):
    a, b = tmp_path / "a", tmp_path / "b"
    assert shared_frames(label_file(a, 2), label_file(b, 2)) == ([(0, 0), (1, 1)], [], [])
    assert shared_frames(label_file(a, 0), label_file(b, 0)).numbers == []
    shared = shared_frames(label_file(a, 3, "1", "3", "4"), label_file(b, 3, "0", "3", "4"))
    assert shared == ([(1, 1), (2, 2)], ["1"], ["0"])
    for one, other, message in (
        (label_file(a, 2), label_file(b, 3), f"{b}: 3 frames, expected 2, as {a} has"),
        (label_file(a, 1, "x"), label_file(b, 1), f"{b}: a file, expected a folder, as {a} is"),
        (label_file(a, 1), label_file(b, 1, "x"), f"{b}: a folder, expected a file, as {a} is"),
        (
            label_file(a, 1, "x"),
            label_file(b, 1, "y"),
            f"{b}: no image is named as one in {a}, as 'y', expected names such as 'x'",
        ),
    ):
        with pytest.raises(FileError) as caught:
            shared_frames(one, other)
        assert str(caught.value) == message


def test_a_broken_header_is_told(tmp_path: Path) -> None:
    content = io.BytesIO()
    np.save(content, np.zeros((4, 4), np.uint8))
    broken = bytearray(content.getvalue())
    broken[broken.index(b")")] = 32  # NumPy reads the header as Python
    path = tmp_path / "broken.npy"
    path.write_bytes(broken)
    with pytest.raises(FileError, match="cannot be read as"):
        read_npy(path, bytes(broken))
