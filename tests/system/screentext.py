# SPDX-License-Identifier: BSD-2-Clause
"""The text on a screen that Umbra's own font has drawn (arch/x86/font.c): the self-test's, the hypervisor's. A screenshot of
QEMU's is a PPM file; each cell of 8x16 pixels is compared with the glyphs."""
import re
import struct
import zlib

CELL_WIDTH, CELL_HEIGHT, TOP, LEFT = 8, 16, 1, 1
COLUMNS, ROWS = 5, 7
GLYPH = re.compile(r"\['(\\?.)' - FONT_FIRST\] = GLYPH\(([^)]*)\)")


def glyphs(path="arch/x86/font.c"):
    """Characters by their rows."""
    with open(path) as file:
        return {tuple(int(row, 16) for row in rows.split(",")): char[-1] for char, rows in GLYPH.findall(file.read())}


def read_ppm(path):
    """Width, height, and the pixels in rows of three bytes each."""
    with open(path, "rb") as file:
        data = file.read()
    found = re.match(rb"P6\s+(\d+)\s+(\d+)\s+255\s", data)
    return int(found[1]), int(found[2]), data[found.end():]


def cell(pixels, width, x, y):
    """The rows of dots of one cell: whatever has another colour than its corner, where no glyph has a dot."""
    def at(column, row):
        begin = 3 * ((y + row) * width + x + column)
        return pixels[begin:begin + 3]

    back = at(0, 0)
    return tuple(sum((at(LEFT + column, TOP + 2 * row) != back) << (COLUMNS - 1 - column) for column in range(COLUMNS))
                 for row in range(ROWS))


def read(path):
    """The screen's lines; what is no character of the font is a NUL."""
    width, height, pixels = read_ppm(path)
    known, lines = glyphs(), []
    for y in range(0, height - CELL_HEIGHT + 1, CELL_HEIGHT):
        chars = [known.get(cell(pixels, width, x, y), "\0") for x in range(0, width - CELL_WIDTH + 1, CELL_WIDTH)]
        lines.append("".join(chars).rstrip())
    return lines


def as_png(path):
    """The same picture beside it, as PNG (RFC 2083: colours of 8 bits, no filter)."""
    width, height, pixels = read_ppm(path)
    rows = b"".join(b"\0" + pixels[3 * width * y:3 * width * (y + 1)] for y in range(height))

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    with open(path.removesuffix(".ppm") + ".png", "wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)) +
                   chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b""))
