import os

# Before TensorFlow is imported: it would log from C++ to stderr all that it does.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
if "PYTEST_XDIST_WORKER" in os.environ:
    # The workers take the cores already: more threads would only wait for each other. Tables of
    # logistic regressions take a quarter of the time.
    for library in ("OPENBLAS_NUM_THREADS", "TF_NUM_INTEROP_THREADS", "TF_NUM_INTRAOP_THREADS"):
        os.environ.setdefault(library, "1")
