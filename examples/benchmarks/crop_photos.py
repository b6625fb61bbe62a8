"""Measure how long photographs take to crop, and whether memory grows.

    python examples/benchmarks/crop_photos.py
    python examples/benchmarks/crop_photos.py --photos 20 --n-jobs 2
    python examples/benchmarks/crop_photos.py --size 640 480   # frames of a video

The photograph is scikit-image's astronaut, resized to 12 megapixels or to --size, as a JPEG file.
Resident memory is compared after a tenth of the photographs and after the last, so what is loaded
at first does not count.
"""

import argparse
import tempfile
import time
from pathlib import Path

from _memory import resident
from PIL import Image
from skimage.data import astronaut

from sklearn_patt_lite.preprocessing import FaceCropper

AT_ONCE = 10


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--photos", type=int, default=200)
    parser.add_argument(
        "--size", type=int, nargs=2, default=[4000, 3000], metavar=("WIDTH", "HEIGHT")
    )
    parser.add_argument("--n-jobs", type=int, default=1)
    arguments = parser.parse_args()
    cropper = FaceCropper(n_jobs=arguments.n_jobs)
    with tempfile.TemporaryDirectory() as folder:
        photo = Path(folder, "astronaut.jpg")
        Image.fromarray(astronaut()).resize(arguments.size).save(photo, quality=92)
        seconds, memory = measure(cropper, photo, -(-arguments.photos // AT_ONCE))
    first, (width, height) = memory[len(memory) // 10], arguments.size
    print(
        f"{arguments.photos} photographs of {width} × {height} pixels, {arguments.n_jobs} "
        f"thread(s): {sorted(seconds)[len(seconds) // 2]:.3f} s each (median; the slowest ten "
        f"{max(seconds):.3f} s each)"
    )
    print(f"resident memory {first:.0f} MiB after a tenth, {memory[-1]:.0f} MiB at the end")


def measure(cropper, photo, n_rounds):
    """Measure seconds per photograph, and resident memory in MiB, for every ten photographs."""
    seconds, memory = [], []
    cropper.transform([photo])  # loads the detector
    for _ in range(n_rounds):
        start = time.perf_counter()
        cropper.transform([photo] * AT_ONCE)
        seconds.append((time.perf_counter() - start) / AT_ONCE)
        memory.append(resident())
    return seconds, memory


if __name__ == "__main__":
    main()
