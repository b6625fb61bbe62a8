"""Databases as they lie on a user's disk, small or of the published size, with all their traps."""

import csv
import io

import numpy as np
from PIL import Image

#: Labelled sequences of CK+'s subjects.
_SUBJECTS = """
005:1 010:3 011:6 014:4 022:3 026:4 028:1 029:1 032:5 034:3 035:3 037:3 042:4 044:3 045:2 046:4
050:4 051:2 052:3 053:2 054:3 055:5 056:3 057:3 058:3 059:2 060:3 061:3 062:4 063:2 064:3 065:4
066:4 067:4 068:4 069:3 070:3 071:5 072:2 073:2 074:4 075:4 076:3 077:2 078:3 079:3 080:3 081:3
082:3 083:1 084:2 085:3 086:2 087:4 088:2 089:3 090:3 091:2 092:3 093:2 094:2 095:4 096:3 097:3
098:2 099:3 100:3 101:1 102:3 105:1 106:3 107:2 108:3 109:3 110:1 111:3 112:1 113:3 114:2 115:3
116:3 117:3 119:3 122:1 124:4 125:5 126:2 127:3 128:2 129:4 130:5 131:4 132:5 133:3 134:3 135:2
136:4 137:3 138:5 139:1 147:1 148:1 149:1 151:1 154:1 155:1 156:1 157:1 158:1 160:1 501:3 502:3
503:3 504:4 505:2 506:4 895:1 999:2
"""
CKPLUS_SUBJECTS = {f"S{part[:3]}": int(part[4:]) for part in _SUBJECTS.split()}
CKPLUS_SEQUENCES = {
    "angry": 45,
    "contempt": 18,
    "disgust": 59,
    "fear": 25,
    "happy": 69,
    "sad": 28,
    "surprise": 83,
}
CKPLUS_CODES = {
    name: code
    for code, name in enumerate(
        ("neutral", "angry", "contempt", "disgust", "fear", "happy", "sad", "surprise")
    )
}


def ckplus_sequences():
    """Give CK+'s labelled sequences their expressions: (subject, number, expression).

    As in CK+, nobody shows one twice, and the tenth fold of subjects shows no fear.
    """
    left = dict(CKPLUS_SEQUENCES)
    tenth = sorted(CKPLUS_SUBJECTS)[9::10]
    rows = []
    for subject in sorted(CKPLUS_SUBJECTS, key=lambda s: (s not in tenth, -CKPLUS_SUBJECTS[s])):
        names = [name for name in left if name != "fear" or subject not in tenth]
        names = sorted(names, key=lambda name: -left[name])[: CKPLUS_SUBJECTS[subject]]
        for number, name in enumerate(names, 1):
            left[name] -= 1
            rows.append((subject, f"{number:03}", name))
    assert not any(left.values()), left
    return sorted(rows)


def image_bytes(image, form="PNG"):
    """Encode an image: an array, a PIL image, or a grey level of one pixel."""
    if isinstance(image, int):
        image = Image.new("L", (1, 1), image)
    if isinstance(image, np.ndarray):
        image = Image.fromarray(image)
    stream = io.BytesIO()
    image.save(stream, form)
    return stream.getvalue()


def write(path, content=b""):
    """Write bytes, text, or an image in the form that the file's name tells."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, str):
        content = content.encode()
    if not isinstance(content, bytes):
        form = "JPEG" if path.suffix.lower() in (".jpg", ".jpeg") else "PNG"
        content = image_bytes(content, form)
    path.write_bytes(content)
    return path


def litter(folder):
    """Leave what macOS, Windows and archives leave in folders."""
    write(folder / ".DS_Store", b"\0\0\0\1Bud1")
    write(folder / "Thumbs.db", b"\xd0\xcf\x11\xe0")
    write(folder / "desktop.ini", "[.ShellClassInfo]\r\n")
    for path in [p for p in folder.iterdir() if not p.name.startswith(".")]:
        write(folder / f"._{path.name}", b"\0\5\26\7")


def make_ckplus(root, sequences, draw=None):
    """Make CK+'s official tree, of four frames a sequence.

    Parameters
    ----------
    root : Path
        Where.
    sequences : list of (subject, number, expression)
        Those that have a label.
    draw : callable, default=None
        Of subject, expression and i_frame, gives an image; a grey level by default.
    """
    images, emotions = root / "cohn-kanade-images", root / "Emotion"
    for i, (subject, number, expression) in enumerate(sequences):
        for i_frame in range(4):
            name = f"{subject}_{number}_{8 + i_frame:08}"
            image = draw(subject, expression, i_frame) if draw else i % 60 * 4 + i_frame
            write(images / subject / number / f"{name}.png", image)
        code = float(CKPLUS_CODES[expression])
        write(emotions / subject / number / f"{name}_emotion.txt", f"   {code:.7e}\n")
    return root


def make_ckplus48(root, sequences):
    """Make CK+48, three frames a sequence."""
    folders = {"angry": "anger", "sad": "sadness"}
    for subject, number, expression in sequences:
        for i_frame in range(3):
            name = f"{subject}_{number}_{9 + i_frame:08}.png"
            write(root / "CK+48" / folders.get(expression, expression) / name, i_frame)
    return root


def pixels(level):
    """One image of 48×48 as text, its first pixel 1 brighter than the others."""
    return " ".join([str(level + 1), *[str(level)] * (48 * 48 - 1)])


def write_csv(path, header, rows):
    """Write a CSV file as Python does."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as stream:
        csv.writer(stream).writerows([header, *rows])
    return path


RAFDB_NAMES = "surprise", "fear", "disgust", "happy", "sad", "angry", "neutral"  # 1 to 7
RAFDB_IMAGES = {
    "train": (1290, 281, 717, 4772, 1982, 705, 2524),
    "test": (329, 74, 160, 1185, 478, 162, 680),
}


def rafdb_rows(n):
    """List RAF-DB's images as (name, code), n of each split."""
    rows = []
    for split, digits in (("train", 5), ("test", 4)):
        rows += [(f"{split}_{i:0{digits}}", 1 + i % 7) for i in range(1, n + 1)]
    return rows


def make_rafdb(root, rows, newline="\n", image=7):
    """Make RAF-DB's official tree."""
    lines = [f"{name}.jpg {code}" for name, code in rows]
    write(root / "EmoLabel" / "list_patition_label.txt", newline.join([*lines, ""]))
    for name, code in rows:
        write(root / "Image" / "aligned" / f"{name}_aligned.jpg", _level(image, code))
        write(root / "Image" / "original" / f"{name}.jpg", _level(image, code + 100))
    return root


def make_rafdb_kaggle(root, rows):
    """Make RAF-DB as Kaggle has it."""
    for split in ("train", "test"):
        of_split = [(f"{name}_aligned.jpg", code) for name, code in rows if name.startswith(split)]
        write_csv(root / f"{split}_labels.csv", ["image", "label"], of_split)
        for name, code in of_split:
            write(root / "DATASET" / split / str(code) / name, _level(7, code))
    return root


def _level(image, code):
    return image if isinstance(image, bytes) else image + 10 * (code % 20)


FER2013_NAMES = "angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"
FER2013_IMAGES = {
    "Training": (3995, 436, 4097, 7215, 4830, 3171, 4965),
    "PublicTest": (467, 56, 496, 895, 653, 415, 607),
    "PrivateTest": (491, 55, 528, 879, 594, 416, 626),
}
