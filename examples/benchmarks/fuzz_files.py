"""Damaged and hostile files: each is read correctly or rejected by name, fast, in little memory.

    python examples/benchmarks/fuzz_files.py
    python examples/benchmarks/fuzz_files.py --files 500 --seed 1

Drawn faces in every format that Pillow writes are cut short, have their bits flipped or absurd
sizes in their headers, are joined with other kinds of files, or are replaced by bombs. Each file
goes through `FaceResizer`, `load_face_folder`, and `predict` of a classifier; `fer2013.csv`,
damaged in the same ways, goes through `load_fer2013`. A file that results in anything but an image,
or a ValueError that names it, is kept in --output, and the script fails.
"""

import argparse
import io
import struct
import tempfile
import time
import warnings
import zipfile
import zlib
from pathlib import Path

import numpy as np
from _memory import resident
from PIL import Image

from sklearn_patt_lite import PAttLiteClassifier
from sklearn_patt_lite.datasets import load_face_folder, load_fer2013, make_expression_faces
from sklearn_patt_lite.preprocessing import FaceResizer

FORMATS = ("JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP", "ICO", "PPM", "TGA", "JPEG2000", "PCX")
MODES = ("RGB", "L", "RGBA", "P", "I;16", "1")
SIDE = 64


def main():
    arguments = parse_arguments()
    arguments.output.mkdir(parents=True, exist_ok=True)
    faces = make_expression_faces(n_subjects=2, image_size=SIDE, random_state=0)
    readers = make_readers(faces)
    originals = make_originals(faces.images[0])
    table = make_table(faces.images)
    rng = np.random.default_rng(arguments.seed)
    n_read, slowest, failures = 0, 0.0, []
    Path("/proc/self/clear_refs").write_text("5")  # resets the peak, which is TensorFlow's
    memory = resident()
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's, about damage that it tolerates
        good = Path(folder, "faces", "sad", "good.png")
        good.parent.mkdir(parents=True)
        Image.fromarray(faces.images[0]).save(good)
        for i in range(arguments.files):
            path = Path(folder, "faces", "happy", f"{i}.png")
            if i % 50 == 0:
                path = Path(folder, "fer2013.csv")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(damage(rng, originals, table, is_table=path.suffix == ".csv"))
            start = time.perf_counter()
            try:
                n_read += read(path, readers)
            except Exception as error:
                kept = arguments.output / f"{arguments.seed}_{i}{path.suffix}"
                kept.write_bytes(path.read_bytes())
                failures.append(f"{kept}: {error!r}")
            slowest = max(slowest, time.perf_counter() - start)
            path.unlink()
    taken = resident("VmHWM") - memory
    print(
        f"{arguments.files} files: {n_read} read, {arguments.files - n_read - len(failures)} "
        f"refused by name, {len(failures)} otherwise; the slowest took {slowest:.2f} s; "
        f"reading took at most {taken / 1024:.2f} GiB, besides the {memory / 1024:.2f} GiB of the "
        "process"
    )
    if failures:
        raise SystemExit("\n".join(failures))


def parse_arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, default=Path("fuzzed"))
    return parser.parse_args()


# Readers


def make_readers(faces):
    classifier = PAttLiteClassifier(
        recipe="paper",
        backbone_weights="drawn",
        alpha=0.25,
        input_size=SIDE,
        patch_size=2,
        epochs=1,
        unfreeze_layers=0,
        random_state=0,
    ).fit(faces.images, faces.target)
    resizer = FaceResizer(size=SIDE)
    return [
        lambda path: resizer.transform([path]).shape == (1, SIDE, SIDE, 3),
        lambda path: np.isfinite(classifier.predict_proba([path])).all(),
        lambda path: load_face_folder(path.parents[1], image_size=SIDE).images.shape[0] == 2,
    ]


def read(path, readers):
    """Check whether a file is read: by all readers, or by none, with errors that name it."""
    if path.suffix == ".csv":
        readers = [lambda path: load_fer2013(path).images.shape[1:] == (48, 48)]
    outcomes = []
    for reader in readers:
        try:
            if not reader(path):
                raise AssertionError("the result has a wrong shape or is not finite")
            outcomes.append(True)
        except ValueError as error:
            if path.name not in str(error):
                raise AssertionError(f"the error does not name the file: {error}") from error
            outcomes.append(False)
    if len(set(outcomes)) > 1:
        raise AssertionError(f"some readers read it, others do not: {outcomes}")
    return outcomes[0]


# Files


def make_originals(image):
    """Encode a face in all formats, in all modes that they support."""
    originals = []
    for mode in MODES:
        face = Image.fromarray(image).convert("L" if mode == "I;16" else mode)
        if mode == "I;16":
            face = Image.fromarray(np.asarray(face).astype(np.uint16) * 257)
        for kind in FORMATS:
            stream = io.BytesIO()
            try:
                face.save(stream, kind)
            except (OSError, KeyError, ValueError):
                continue  # this format does not support the mode
            originals.append(stream.getvalue())
    return originals


def make_table(images):
    rows = [
        f"{i % 7},{' '.join(map(str, image[:48, :48, 0].ravel()))},Training\n"
        for i, image in enumerate(images[:7])
    ]
    return "".join(["emotion,pixels,Usage\n", *rows]).encode()


def damage(rng, originals, table, *, is_table):
    """Make a file's bytes, damaged in up to three ways."""
    content = table if is_table else originals[rng.integers(len(originals))]
    if not is_table and rng.random() < 0.1:
        content = BOMBS[rng.integers(len(BOMBS))](rng)
    for _ in range(rng.integers(0, 4)):
        content = DAMAGES[rng.integers(len(DAMAGES))](rng, content, originals)
    return content


def cut_short(rng, content, originals):
    return content[: rng.integers(len(content) + 1)]


def flip_bits(rng, content, originals):
    changed = bytearray(content)
    for _ in range(rng.integers(1, 20) if changed else 0):
        changed[rng.integers(len(changed))] ^= 1 << rng.integers(8)
    return bytes(changed)


def claim_absurd_numbers(rng, content, originals):
    """Write an extreme number into the header, where sizes and offsets are."""
    number = (0, 1, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, 20_000, 100_000)[rng.integers(8)]
    place, order = rng.integers(64), "<>"[rng.integers(2)]
    packed = (
        struct.pack(f"{order}I", number)
        if rng.random() < 0.5
        else struct.pack(f"{order}H", number & 0xFFFF)
    )
    return content[:place] + packed + content[place + len(packed) :]


def join(rng, content, originals):
    """Mix two kinds of files: insert another kind before, after or inside this one."""
    other = (b"%PDF-1.7\n", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", b"GIF89a", b"MZ")
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("a", b"b")
    further = (*other, stream.getvalue(), originals[rng.integers(len(originals))])
    added = further[rng.integers(len(further))]
    place = (0, len(content), rng.integers(len(content) + 1))[rng.integers(3)]
    return content[:place] + added + content[place:]


def repeat(rng, content, originals):
    """Repeat a piece many times."""
    start = rng.integers(len(content) + 1)
    piece = content[start : start + rng.integers(1, 64)]
    return content[:start] + piece * int(rng.integers(2, 500)) + content[start:]


def swap_for_noise(rng, content, originals):
    return rng.bytes(rng.integers(0, 2000))


DAMAGES = (cut_short, flip_bits, flip_bits, claim_absurd_numbers, join, repeat, swap_for_noise)


def png(width, height, chunks, depth=8, colour=2):
    """Make a PNG with any header, true or false."""

    def chunk(kind, content):
        checksum = zlib.crc32(kind + content)
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)

    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    parts = [chunk(b"IHDR", header), *(chunk(*each) for each in chunks), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def large_png(rng):
    """Make few bytes that hold many pixels: up to the limit, and far beyond it."""
    side = (3_000, 8_000, 9_000, 13_000, 30_000)[rng.integers(5)]
    colour, channels = ((2, 3), (6, 4), (0, 1), (4, 2))[rng.integers(4)]
    rows = zlib.compress(bytes((1 + channels * side) * min(side, 200)), 9)
    return png(side, side, [(b"IDAT", rows)], colour=colour)


def long_text(rng):
    """Make a PNG with text that unpacks to a hundred megabytes."""
    text = b"Comment\0\0" + zlib.compress(bytes(10**8), 9)
    pixels = zlib.compress(bytes(4), 9)
    return png(1, 1, [(b"zTXt", text), (b"IDAT", pixels)])


def long_line(rng):
    return png(int(rng.integers(1, 2**31)), 1, [(b"IDAT", zlib.compress(bytes(1000)))])


def many_frames(rng):
    frames = [Image.new("P", (16, 16), i) for i in range(200)]
    stream = io.BytesIO()
    frames[0].save(stream, "GIF", save_all=True, append_images=frames[1:])
    content = bytearray(stream.getvalue())
    content[6:10] = struct.pack("<HH", *rng.integers(1, 65536, 2))
    return bytes(content)


BOMBS = (large_png, long_text, long_line, many_frames)


if __name__ == "__main__":
    main()
