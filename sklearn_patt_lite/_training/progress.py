"""Progress of a long fit: a display, and a warning if it may take hours."""

import shutil
import sys
import time
import warnings

_SOON = 10  # seconds into an epoch before its progress is shown and the fit's duration estimated
_RENEWED = 1, 30  # seconds between updates: one line on a terminal, a new line in other streams
_LONG = 3600  # estimated seconds above which a fit gets a warning


class Progress:
    """Progress display of each epoch, with one warning if the fit may take hours.

    Parameters
    ----------
    stages : sequence of Stage, default=()
        All stages of the fit, in order. If empty, there is no warning.
    passes : dict, default=None
        Number of epochs, by stage, in which images go through the frozen layers; 0 by default.
    shows : bool, default=False
        Whether to show progress.
    ways_out : str, default=""
        Advice at the end of the warning.
    stream : file, default=None
        Stream to print progress to; standard output by default.
    clock : callable, default=time.monotonic
        Returns the time in seconds.
    """

    def __init__(
        self, stages=(), *, passes=None, shows=False, ways_out="", stream=None, clock=time.monotonic
    ):
        self._stages, self._passes = list(stages), passes or {}
        self._shows, self._ways_out = shows, ways_out
        self._stream, self._clock = stream, clock
        self._has_warned = self._judges = False
        self._width = 0  # of the line on the terminal

    @property
    def watches(self):
        """Whether `step` needs to be called after each step."""
        return self._shows or self._judges

    def begin_stage(self, stage, n_steps):
        """Begin a stage whose epochs have `n_steps` steps."""
        self._stage, self._n_steps = stage, n_steps
        self._judges = stage in self._stages and not self._has_warned
        self._last_epoch = None  # its duration in seconds

    def begin_epoch(self, epoch, *, is_first):
        """Begin an epoch; `is_first` if it is its stage's first in this process."""
        self._epoch, self._once = epoch, 0.0
        self._began = self._shown = self._clock()
        # The first step compiles, so the pace is measured on later steps.
        self._start = None if is_first else (self._began, 0)

    def step(self, n_done, once=0.0):
        """Record that steps of the epoch have been taken.

        Parameters
        ----------
        n_done : int
            Number of steps of this epoch so far.
        once : float, default=0.0
            Seconds that the last of them waited for features of frozen layers, which will not be
            computed again.
        """
        if not self.watches:
            return
        now = self._clock()
        if self._start is None:
            self._start = now, n_done
            return
        self._once += once
        if self._judges and (now - self._start[0] >= _SOON or n_done == self._n_steps):
            self._judge(now, n_done)
        if self._shows and now - self._began >= _SOON and now - self._shown >= self._interval():
            self._shown = now
            self._show(self._describe(now, n_done, computes=once > 0))

    def end_epoch(self):
        """End an epoch, including its validation."""
        self._last_epoch = self._clock() - self._began
        self._clear()

    def _per_step(self, now, n_done):
        began, n_before = self._start
        return (now - began) / (n_done - n_before)

    def _describe(self, now, n_done, *, computes):
        per_step, stage = self._per_step(now, n_done), self._stage
        left = per_step * (self._n_steps - n_done)
        whole = max(per_step * self._n_steps, self._last_epoch or 0.0)
        of_stage = left + whole * (stage.epochs - self._epoch - 1)
        return (
            f"epoch {self._epoch + 1}/{stage.epochs}: step {n_done}/{self._n_steps}, "
            f"{duration(left)} left (at most {duration(of_stage)} of the stage)"
            + ("; computing features" if computes else "")
        )

    def _judge(self, now, n_done):
        """Warn if the rest of the fit would take long at the pace so far."""
        self._judges = False
        # An epoch takes `once` seconds to compute features of frozen layers, which only the first
        # `passes` epochs of a stage do, and `again` seconds for everything else, in every epoch.
        n_steps = n_done - self._start[1]
        once = self._once / n_steps * self._n_steps
        again = self._per_step(now, n_done) * self._n_steps - once
        stages = self._stages[self._stages.index(self._stage) :]
        seconds = {}
        for stage in stages:
            n_epochs = stage.epochs - (self._epoch if stage is stages[0] else 0)
            passes = min(n_epochs, self._passes.get(stage, 0))
            seconds[stage] = n_epochs * again + passes * once
        if sum(seconds.values()) > _LONG:
            self._has_warned = True
            self._clear()
            warnings.warn(self._warning(seconds), UserWarning, stacklevel=2)

    def _warning(self, seconds):
        # Later stages train more layers than the first, whose pace was measured.
        more = " or more" if len(seconds) > 1 else ""
        parts = [
            f"{duration(s)}{more if i else ''} for up to {stage.epochs} epochs of stage "
            f"{stage.name!r}"
            for i, (stage, s) in enumerate(seconds.items())
        ]
        sentences = [f"This fit may take {duration(sum(seconds.values()))}{more}: "]
        sentences[0] += f"{', '.join(parts)}."
        if any(stage.patience is not None for stage in seconds):
            sentences.append("Early stopping may end a stage sooner.")
        return " ".join([*sentences, self._ways_out]).rstrip()

    def _interval(self):
        return _RENEWED[0] if self._file().isatty() else _RENEWED[1]

    def _file(self):
        return sys.stdout if self._stream is None else self._stream

    def _show(self, line):
        if not self._file().isatty():
            print(line, file=self._file(), flush=True)
            return
        line = line[: shutil.get_terminal_size().columns - 1]  # a longer one cannot be overwritten
        print("\r" + line.ljust(self._width), end="", file=self._file(), flush=True)
        self._width = len(line)

    def _clear(self):
        if self._width:
            print("\r" + " " * self._width, end="\r", file=self._file(), flush=True)
            self._width = 0


def duration(seconds):
    """Format a duration with the precision that a reader needs.

    Examples
    --------
    >>> [duration(seconds) for seconds in (7.2, 400, 9000, 280_000)]
    ['7 s', '7 min', '2.5 hours', '78 hours']
    """
    if seconds < 100:
        return f"{seconds:.0f} s"
    if seconds < 6000:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} hours" if seconds < 36_000 else f"{seconds / 3600:.0f} hours"


def timed(items):
    """Iterate over items, and measure how many seconds each one was waited for.

    Yields
    ------
    tuple of float and object
        Seconds, and the item.
    """
    asked = time.monotonic()
    for item in items:
        yield time.monotonic() - asked, item
        asked = time.monotonic()
