"""A search over a cluster has the scores of one without, and outlives its workers."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

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


@pytest.mark.slow
@pytest.mark.skipif(not importlib.util.find_spec("distributed"), reason="optional: extra 'cluster'")
def test_a_worker_is_killed_half_way(tmp_path):
    (tmp_path / "program.py").write_text(PROGRAM)
    command = [sys.executable, "program.py"]
    result = subprocess.run(
        command,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(EXAMPLES)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr[-2000:]
    plain, clustered, before, after = json.loads((tmp_path / "told.json").read_text())
    assert len(before) == 2
    assert before[0] not in after  # it was killed
    assert clustered == plain
    assert len(set(plain[0] + plain[1])) > 1
