"""A search over a cluster has the scores of one without, and outlives its workers."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose
from PIL import Image

from sklearn_patt_lite import PAttLiteClassifier
from sklearn_patt_lite.datasets import make_expression_faces
from sklearn_patt_lite.prediction import predict_files

EXAMPLES = Path(__file__).parents[1] / "examples"
PROGRAM = """
import json, os, signal, sys, threading, time
from pathlib import Path

import joblib, sklearn
from cluster_search import connect, make_search
from sklearn_patt_lite.datasets import make_expression_faces

fits = Path("fits")

def kill_a_worker_half_way(worker):
    while len(list(fits.glob("*.npz"))) < 3:  # of 4: the second of this worker has begun
        time.sleep(0.05)
    os.kill(worker, signal.SIGKILL)

def fitted(search):
    search.set_params(
        estimator__pattliteclassifier__epochs=2, estimator__pattliteclassifier__finetune_epochs=1
    )
    search.param_grid = {"pattliteclassifier__unfreeze_layers": [0, 10]}
    search.fit(list(faces.images), faces.target, groups=faces.groups)
    results = search.cv_results_
    return [results[f"split{i}_test_score"].tolist() for i in range(2)]

if __name__ == "__main__":
    sklearn.set_config(enable_metadata_routing=True)
    faces = make_expression_faces(n_subjects=4, image_size=64, random_state=0)
    plain = fitted(make_search().set_params(n_jobs=1))
    with connect() as client:
        workers = client.run(os.getpid)
        killer = threading.Thread(
            target=kill_a_worker_half_way, args=[list(workers.values())[0]], daemon=True
        )
        killer.start()
        with joblib.parallel_config(backend="dask"):
            clustered = fitted(make_search(fits))
        killer.join(60)
        survivors = client.run(os.getpid)
    told = [plain, clustered, list(workers.values()), list(survivors.values())]
    Path("told.json").write_text(json.dumps(told))
"""

PREDICTIONS = """
import json, os, signal, sys
from pathlib import Path

import numpy as np
from dask.distributed import Client
from sklearn_patt_lite import PAttLiteClassifier

def predict(paths, classifier):
    return classifier.predict_proba(paths)

def heavy_modules():
    return sorted({"tensorflow", "keras"} & set(sys.modules))

if __name__ == "__main__":
    classifier = PAttLiteClassifier.from_pretrained("fer2013")
    paths = [str(path.resolve()) for path in sorted(Path("faces").iterdir())]
    parts = [paths[i : i + 5] for i in range(0, len(paths), 5)]
    with Client(n_workers=2, threads_per_worker=1, dashboard_address=None) as client:
        workers = list(client.run(os.getpid).values())
        sent = client.scatter(classifier, broadcast=True)
        futures = client.map(predict, parts, classifier=sent)
        client.gather(futures[0])
        os.kill(workers[0], signal.SIGKILL)
        found = np.concatenate(client.gather(futures))
        survivors = list(client.run(os.getpid).values())
        heavy = list(client.run(heavy_modules).values())
    same = np.array_equal(found, classifier.predict_proba(paths))
    told = [same, len(found), workers, survivors, heavy]
    Path("told.json").write_text(json.dumps(told))
"""
DEVICES = """
import json, os
from pathlib import Path

import joblib
from cluster_search import connect, make_search
from sklearn_patt_lite.datasets import make_expression_faces

def device(classifier, X, y):
    return int(os.environ["CUDA_VISIBLE_DEVICES"])

if __name__ == "__main__":
    faces = make_expression_faces(n_subjects=4, image_size=64, random_state=0)
    search = make_search().set_params(
        estimator__pattliteclassifier__epochs=1,
        estimator__pattliteclassifier__unfreeze_layers=0,
        param_grid={"pattliteclassifier__random_state": [0, 1, 2, 3]},
        scoring=device,
        refit=False,
        cv=2,
    )
    with connect(gpus=[3, 5]), joblib.parallel_config(backend="dask"):
        search.fit(list(faces.images), faces.target)
    devices = [search.cv_results_[f"split{i}_test_score"].tolist() for i in range(2)]
    Path("told.json").write_text(json.dumps(devices))
"""

RAY = """
import json
from pathlib import Path

import joblib
from cluster_search import make_search
from ray.util.joblib import register_ray
from sklearn_patt_lite.datasets import make_expression_faces

if __name__ == "__main__":
    register_ray()
    faces = make_expression_faces(n_subjects=4, image_size=64, random_state=0)
    told = []
    for backend in ("threading", "ray"):
        search = make_search().set_params(
            estimator__pattliteclassifier__epochs=1,
            estimator__pattliteclassifier__finetune_epochs=1,
            refit=False,
            cv=2,
            n_jobs=1 if backend == "threading" else 2,
        )
        with joblib.parallel_config(backend=backend):
            search.fit(list(faces.images), faces.target)
        told.append([search.cv_results_[f"split{i}_test_score"].tolist() for i in range(2)])
    Path("told.json").write_text(json.dumps(told))
"""
needs_dask = pytest.mark.skipif(
    not importlib.util.find_spec("distributed"), reason="optional: extra 'cluster'"
)


def run(program, folder):
    """Run a program in a folder; what it left in told.json."""
    (folder / "program.py").write_text(program)
    result = subprocess.run(
        [sys.executable, "program.py"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(EXAMPLES)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr[-2000:]
    return json.loads((folder / "told.json").read_text())


@pytest.mark.slow
@needs_dask
def test_predictions_outlive_a_worker_and_import_no_tensorflow(tmp_path):
    (tmp_path / "faces").mkdir()
    faces = make_expression_faces(n_subjects=3, image_size=48, random_state=0)
    for i, image in enumerate(faces.images):
        Image.fromarray(image).save(tmp_path / "faces" / f"{i:03}.png")
    same, n, before, after, heavy = run(PREDICTIONS, tmp_path)
    assert same
    assert n == len(faces.images)
    assert len(before) == 2
    assert before[0] not in after  # it was killed
    assert set(map(tuple, heavy)) == {()}


@pytest.mark.slow
@needs_dask
def test_a_worker_is_killed_half_way(tmp_path):
    plain, clustered, before, after = run(PROGRAM, tmp_path)
    assert len(before) == 2
    assert before[0] not in after  # it was killed
    assert clustered == plain
    assert len(set(plain[0] + plain[1])) > 1


@pytest.mark.slow
@needs_dask
def test_each_worker_has_a_gpu_of_its_own(tmp_path):
    """Simulated: a score is the number of the only device that the fit's process saw."""
    devices = run(DEVICES, tmp_path)
    assert set(devices[0] + devices[1]) == {3, 5}


@pytest.mark.slow
def test_a_search_on_ray_has_the_same_scores(tmp_path):
    pytest.importorskip("ray.util.joblib", reason="optional: ray")
    alone, on_ray = run(RAY, tmp_path)
    assert on_ray == alone


TABLES = """
import json, os, signal, threading, time
from pathlib import Path

from dask.distributed import LocalCluster
from predict_on_cluster import predict_with_dask
from sklearn_patt_lite import PAttLiteClassifier

def kill(worker):
    while not list(Path("predictions").glob("*.parquet")):
        time.sleep(0.02)
    os.kill(worker, signal.SIGKILL)

if __name__ == "__main__":
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
        before = [worker.pid for worker in cluster.workers.values()]
        killer = threading.Thread(target=kill, args=before[:1], daemon=True)
        killer.start()
        table, output = (str(Path(name).resolve()) for name in ("paths.csv", "predictions"))
        classifier = PAttLiteClassifier.from_pretrained("fer2013")
        predict_with_dask(classifier, table, output, cluster.scheduler_address, blocksize="300B")
        killer.join(60)
        after = [worker.pid for worker in cluster.workers.values()]
    Path("told.json").write_text(json.dumps([before, after]))
"""


@pytest.fixture
def table(tmp_path):
    """Table of 28 faces and of a file that is not there: its columns, once they are predicted."""
    (tmp_path / "faces").mkdir()
    faces = make_expression_faces(n_subjects=2, image_size=48, random_state=0)
    for i, image in enumerate(faces.images):
        Image.fromarray(image).save(tmp_path / "faces" / f"{i:03}.png")
    paths = [str(path) for path in sorted((tmp_path / "faces").iterdir())]
    paths.insert(7, str(tmp_path / "missing.png"))
    (tmp_path / "paths.csv").write_text("\n".join(["path", *paths, ""]))
    return predict_files(PAttLiteClassifier.from_pretrained("fer2013"), paths)


def check_predictions(folder, expected):
    """Check that the Parquet files of a folder hold the same columns, in whichever order."""
    from pyarrow import parquet

    found = parquet.read_table(folder).sort_by("path").to_pydict()
    rows = np.argsort(expected["path"])
    assert list(found) == list(expected)
    for name, column in expected.items():
        if name.startswith("probability_"):
            values = np.array(found[name], dtype=float)  # nan where it is null
            assert_allclose(values, column[rows], rtol=0, atol=1e-5)
        else:
            assert found[name] == column[rows].tolist()


@pytest.mark.slow
@needs_dask
def test_tables_outlive_a_worker_of_dask(tmp_path, table):
    pytest.importorskip("dask.dataframe", reason="optional: dask[dataframe]", exc_type=ImportError)
    before, after = run(TABLES, tmp_path)
    assert len(before) == 2
    assert before[0] not in after  # it was killed
    check_predictions(tmp_path / "predictions", table)


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["ray", "spark"])
def test_tables_by_other_engines(tmp_path, table, engine):
    needed = {"ray": "ray.data", "spark": "pyspark"}[engine]
    pytest.importorskip(needed, reason=f"optional: {needed}", exc_type=ImportError)
    if engine == "spark" and not (shutil.which("java") or os.environ.get("JAVA_HOME")):
        pytest.skip("optional: a Java runtime for Spark")
    subprocess.run(
        [sys.executable, EXAMPLES / "predict_on_cluster.py", engine, "paths.csv", "predictions"],
        cwd=tmp_path,
        env={**os.environ, "PYSPARK_PYTHON": sys.executable},
        check=True,
    )
    check_predictions(tmp_path / "predictions", table)
