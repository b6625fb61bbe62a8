"""The network and its training are plain Keras: they run on other backends too."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
# One fit of each kind of stage: each is compiled anew, for seconds, and the callbacks, which the
# other tests are about, know no backend.
TRIED = "own_image_only[separable] or saving or head_only or end_to_end"


@pytest.mark.slow
@pytest.mark.skipif(not importlib.util.find_spec("jax"), reason="needs the extra 'jax'")
def test_network_and_training_on_jax():
    result = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-n0", "-q", "-k", TRIED),
            *(str(TESTS / name) for name in ("test_network.py", "test_training.py")),
        ],
        cwd=TESTS.parent,
        env={**os.environ, "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout
    assert " passed" in result.stdout
