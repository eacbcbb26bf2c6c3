"""Image files that Pillow does not write, and those that it does, as bytes."""

import io
import struct
import zlib

import numpy as np

GREY, PALETTE = 0, 3


def npy_bytes(array):
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def image_bytes(pixels, kind, mode=None, **options):
    """A file as Pillow writes it; "P" takes the pixels as indices of a palette."""
    from PIL import Image

    image = Image.fromarray(np.asarray(pixels))
    if mode == "P":
        # One colour twice, and no index that equals a colour.
        image.putpalette([200, 100, 50] * 2 + [value for i in range(254) for value in (255, i, 7)])
    elif mode is not None:
        image = image.convert(mode)
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def png_bytes(pixels, bits, colour=GREY):
    """A PNG of few bits a pixel."""
    height, width = pixels.shape
    digits = (pixels[..., None] >> np.arange(bits - 1, -1, -1)) & 1
    rows = np.packbits(digits.reshape(height, -1).astype(np.uint8), axis=1)
    lines = b"".join(b"\0" + row.tobytes() for row in rows)
    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    return png_of_chunks(header, lines, bytes(range(3 * 2**bits)) if colour == PALETTE else b"")


def png_of_chunks(header, lines, palette=b""):
    """A PNG with this header, these lines, each after a byte for its filter, and this palette."""
    chunks = [
        (b"IHDR", header),
        (b"PLTE", palette),
        (b"IDAT", zlib.compress(lines)),
        (b"IEND", b""),
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in chunks
        if data or name != b"PLTE"
    )


def tiff_bytes(pixels, photometric=1):
    """A TIFF of one page, with the type of the pixels."""
    height, width = pixels.shape
    data = pixels.astype(pixels.dtype.newbyteorder("<")).tobytes()
    tags = {
        256: width,
        257: height,
        258: 8 * pixels.itemsize,
        259: 1,
        262: photometric,
        273: 8,
        277: 1,
        278: height,
        279: len(data),
        339: {"u": 1, "i": 2, "f": 3}[pixels.dtype.kind],
    }
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    directory = struct.pack("<H", len(tags)) + entries + bytes(4)
    return b"II*\0" + struct.pack("<I", 8 + len(data)) + data + directory
