"""Run a grid search on a cluster: its fits run on Dask workers.

    python examples/cluster_search.py
    python examples/cluster_search.py --scheduler tcp://10.0.0.1:8786 --fits /shared/fits
    python examples/cluster_search.py --gpus 0 1 2 3

Without --scheduler it starts two worker processes on this machine, or with --gpus one for each GPU.
Such a worker sees only its own GPU (CUDA_VISIBLE_DEVICES) and runs one fit at a time. With --fits
each fit is saved in that folder, which all workers must share. If a worker dies, its fits continue
on another one from their last epoch, and a search that is started again skips finished fits.

Needs the extra "cluster": pip install ".[cluster]"
"""

import argparse
import contextlib
from pathlib import Path

import joblib
import sklearn
from dask.distributed import Client, LocalCluster, Nanny, Scheduler, SpecCluster
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from sklearn_patt_lite import PAttLiteClassifier
from sklearn_patt_lite.datasets import make_expression_faces
from sklearn_patt_lite.model_selection import SubjectKFold
from sklearn_patt_lite.preprocessing import FaceResizer

#: On loopback: anyone who can reach a scheduler can run any code.
HERE = {"host": "127.0.0.1", "dashboard_address": "127.0.0.1:0"}


def main():
    arguments = parse_arguments()
    sklearn.set_config(enable_metadata_routing=True)
    faces = make_expression_faces(n_subjects=12, random_state=0)
    search = make_search(arguments.fits)
    with connect(arguments.scheduler, arguments.gpus) as client:
        n_workers = len(client.scheduler_info(n_workers=-1)["workers"])
        print(f"{n_workers} workers; watch them at {client.dashboard_link}")
        with joblib.parallel_config(backend="dask"):
            search.fit(list(faces.images), faces.target, groups=faces.groups)
    report(search.cv_results_)


def parse_arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--scheduler", help="address of a running cluster")
    where.add_argument("--gpus", nargs="+", help="numbers of GPUs on this machine")
    parser.add_argument("--fits", type=Path, help="folder for checkpoints, shared by all workers")
    return parser.parse_args()


@contextlib.contextmanager
def connect(scheduler=None, gpus=None):
    """Connect to a cluster; by default to one of two processes, on loopback."""
    if scheduler is not None:
        with Client(scheduler) as client:
            yield client
        return
    # A fit uses all threads that it may; two fits in one process would wait for each other.
    starting = (
        LocalCluster(n_workers=2, threads_per_worker=1, **HERE)
        if gpus is None
        else cluster_of_gpus(gpus)
    )
    with starting as cluster, Client(cluster) as client:
        yield client


def cluster_of_gpus(gpus):
    """Start one worker per GPU; it sees only that GPU."""
    workers = {
        gpu: {
            "cls": Nanny,
            "options": {
                "nthreads": 1,
                "host": HERE["host"],
                "memory_limit": None,
                "env": {"CUDA_VISIBLE_DEVICES": str(gpu)},
            },
        }
        for gpu in gpus
    }
    return SpecCluster(scheduler={"cls": Scheduler, "options": HERE}, workers=workers)


def make_search(fits=None):
    """Make a search like the README's, with the paper's recipe."""
    classifier = PAttLiteClassifier(
        recipe="paper",
        backbone_weights="drawn",
        alpha=0.25,
        input_size=64,
        patch_size=2,
        epochs=3,
        learning_rate=3e-3,
        finetune_epochs=2,
        checkpoint_dir=fits and fits.resolve(),  # a worker may run in another folder
        random_state=0,
    )
    grid = {
        "pattliteclassifier__unfreeze_layers": [0, 10],
        "pattliteclassifier__patch_size": [1, 2],
    }
    return GridSearchCV(
        make_pipeline(FaceResizer(size=64), classifier), grid, cv=SubjectKFold(2), n_jobs=-1
    )


def report(results):
    for parameters, score, spread in zip(
        results["params"], results["mean_test_score"], results["std_test_score"], strict=True
    ):
        named = ", ".join(f"{name.split('__')[-1]}={value}" for name, value in parameters.items())
        print(f"{named}: {score:.3f} +- {spread:.3f}")


if __name__ == "__main__":
    main()
