"""Files of fitted classifiers, for this library and for other runtimes."""
