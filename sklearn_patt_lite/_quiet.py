"""TensorFlow, imported without what it says about itself in C++: none of it is the user's business.

Its own switch is `TF_CPP_MIN_LOG_LEVEL`. The first messages come while its libraries are being
loaded, before they have read it, and LiteRT has no switch at all: of these, what the switch would
leave out is taken away from the process' standard error, and everything else is handed on.
"""

import contextlib
import os
import re
import sys
import tempfile
import threading

LEVEL = "TF_CPP_MIN_LOG_LEVEL"
_SILENT = 3  # errors too: TensorFlow logs some on each machine without a GPU, and on each dataset
_MESSAGES = (
    rb"I0000 |INFO: |WARNING: All log messages before absl::InitializeLog",
    rb"W0000 ",
    rb"E0000 ",
)
_LOCK = threading.RLock()  # there is one standard error


def import_tensorflow():
    """Import TensorFlow, quietly unless the user has chosen what it logs, or imported it before."""
    if "tensorflow" not in sys.modules:
        os.environ.setdefault(LEVEL, str(_SILENT))
        with without_chatter():
            import tensorflow  # noqa: F401


@contextlib.contextmanager
def without_chatter():
    """Take away from standard error, of C++ too, the lines that TensorFlow's switch leaves out."""
    chatter = _chatter()
    with contextlib.ExitStack() as stack:
        if chatter is not None:
            stack.enter_context(_LOCK)
            stack.enter_context(_filtered_stderr(chatter))
        yield


def _chatter():
    """Compile a pattern of the lines to leave out; None if none is left out."""
    level = os.environ.get(LEVEL, str(_SILENT))
    level = int(level) if level.isdigit() else 0
    return re.compile(b"|".join(_MESSAGES[:level])) if level else None


@contextlib.contextmanager
def _filtered_stderr(chatter):
    try:
        stderr = os.dup(2)
    except OSError:  # a process without one
        yield
        return
    with tempfile.TemporaryFile() as caught:
        os.dup2(caught.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
            caught.seek(0)
            rest = b"".join(line for line in caught if not chatter.match(line))
            if rest:
                os.write(2, rest)
