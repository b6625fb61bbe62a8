import os

# Before TensorFlow is imported: it would log from C++ to stderr all that it does.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
