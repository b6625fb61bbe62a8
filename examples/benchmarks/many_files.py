"""Measure `write_predictions` over many files: speed, memory, and recovery from a kill.

    python examples/benchmarks/many_files.py
    python examples/benchmarks/many_files.py --images 1000 --chunk-size 100
    python examples/benchmarks/many_files.py --dask

Predicts small JPEG files, one in a thousand of them damaged, with the pretrained classifier: once
in an undisturbed process, and once in a process that is killed when half of the chunks are done and
then restarted. With --dask, two Dask workers also predict them, and one of the workers is killed.
Prints whether the tables are the same.
"""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
from _memory import resident
from peak_memory import draw
from pyarrow import csv, parquet, table

from sklearn_patt_lite import PAttLiteClassifier
from sklearn_patt_lite.prediction import write_predictions


def main():
    arguments = parse_arguments()
    if arguments.worker is not None:
        work(*arguments.worker, arguments.chunk_size)
        return
    with tempfile.TemporaryDirectory() as folder:
        faces, folder = Path(folder, "faces"), Path(folder)
        faces.mkdir()
        draw(faces, arguments.images)
        for path in sorted(faces.iterdir())[::1000]:
            path.write_bytes(path.read_bytes()[:100])
        whole, killed = folder / "whole.parquet", folder / "killed.parquet"
        print("undisturbed:", output_of(start(faces, whole, arguments)), flush=True)
        n_left = kill_half_way(start(faces, killed, arguments), killed, arguments)
        print(f"killed with {n_left} files done; the rest:", end=" ", flush=True)
        print(output_of(start(faces, killed, arguments)))
        expected = parquet.read_table(whole)
        print(f"the same table: {parquet.read_table(killed).equals(expected)}")
        print(f"the same bytes: {killed.read_bytes() == whole.read_bytes()}", flush=True)
        if arguments.dask:
            predict_by_dask(faces, folder, expected)


def parse_arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--chunk-size", type=int, default=2000)
    parser.add_argument("--dask", action="store_true")
    parser.add_argument("--worker", nargs=2, help=argparse.SUPPRESS)
    return parser.parse_args()


def start(faces, output, arguments):
    """Start a process that predicts all faces."""
    what = ["--worker", faces, output, "--chunk-size", str(arguments.chunk_size)]
    command = [sys.executable, __file__, *map(str, what)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def output_of(process):
    """Wait for a process to end, and return what it printed."""
    told, _ = process.communicate()
    if process.returncode != 0:
        raise SystemExit(f"a worker exited with {process.returncode}")
    return told.strip()


def work(faces, output, chunk_size):
    """Predict all faces, and print what it took."""
    paths = sorted(map(str, Path(faces).iterdir()))
    classifier = PAttLiteClassifier.from_pretrained("fer2013")
    before, start = resident("VmHWM"), time.perf_counter()
    n_unread = write_predictions(classifier, paths, output, chunk_size=chunk_size)
    seconds = time.perf_counter() - start
    print(
        f"{len(paths)} files, {n_unread} not read, {seconds:.0f} s, resident memory at most "
        f"{resident('VmHWM'):.0f} MiB ({before:.0f} before the first)"
    )


def kill_half_way(process, output, arguments):
    """Kill a process once half of its chunks exist; return the number of files in them."""
    parts = output.with_name(f"{output.name}.parts")
    half = arguments.images // arguments.chunk_size // 2
    while len(list(parts.glob("0*.parquet"))) < half:
        if process.poll() is not None:
            raise SystemExit("nothing was left to kill: use more images or smaller chunks")
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    return len(list(parts.glob("0*.parquet"))) * arguments.chunk_size


def predict_by_dask(faces, folder, expected):
    """Predict all faces with two workers, kill one, and compare the tables."""
    sys.path.insert(0, str(Path(__file__).parents[1]))
    from dask.distributed import LocalCluster
    from predict_on_cluster import predict_with_dask

    paths, output = folder / "paths.csv", folder / "predictions"
    csv.write_csv(table({"path": sorted(map(str, faces.iterdir()))}), paths)

    def kill(worker):
        while len(list(output.glob("*.parquet"))) < 10:
            time.sleep(0.05)
        os.kill(worker, signal.SIGKILL)

    start = time.perf_counter()
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
        worker = next(iter(cluster.workers.values())).pid
        killer = threading.Thread(target=kill, args=[worker], daemon=True)
        killer.start()
        classifier = PAttLiteClassifier.from_pretrained("fer2013")
        predict_with_dask(classifier, str(paths), str(output), cluster.scheduler_address)
        killer.join(60)
        is_dead = worker not in [each.pid for each in cluster.workers.values()]
    found = parquet.read_table(output).sort_by("path").cast(expected.schema)
    same = all(found[name].equals(expected[name]) for name in ("path", "label", "error"))
    names = [name for name in expected.column_names if name.startswith("probability_")]
    difference = max(np.nanmax(np.abs(found[name].to_numpy() - expected[name])) for name in names)
    print(
        f"Dask, two workers, one killed: {is_dead}; {time.perf_counter() - start:.0f} s; the same "
        f"paths, labels and errors: {same}; probabilities differ by at most {difference:.0e}"
    )


if __name__ == "__main__":
    main()
