"""What is costly to make, kept in the process for whoever needs the same again."""

import collections
import threading


class Kept:
    """Keeps the items that were used last; threads may share it.

    Parameters
    ----------
    n : int
        How many at most.

    Examples
    --------
    >>> kept = Kept(1)
    >>> kept.get("a", lambda: "made"), kept.get("a", lambda: "made again")
    ('made', 'made')
    >>> kept.get("b", lambda: "made"), len(kept)
    ('made', 1)
    """

    def __init__(self, n):
        self._n = n
        self._items = collections.OrderedDict()
        self._lock = threading.Lock()

    def __len__(self):
        return len(self._items)

    def get(self, key, make):
        """Get what is kept under a key, or else make it and keep it.

        Parameters
        ----------
        key : hashable
            Tells items apart.
        make : callable
            Makes the item, without arguments.

        Returns
        -------
        object
            The item.
        """
        with self._lock:
            if key not in self._items:
                while len(self._items) >= self._n:
                    self._items.popitem(last=False)
                self._items[key] = make()
            self._items.move_to_end(key)
            return self._items[key]
