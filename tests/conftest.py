import os

# Before TensorFlow is imported: it writes its greeting to stderr from C++.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
