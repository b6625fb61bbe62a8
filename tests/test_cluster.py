"""A search over a cluster has the scores of one without, and outlives its workers."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from sklearn_patt_lite.datasets import make_expression_faces

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
