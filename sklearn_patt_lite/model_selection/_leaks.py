"""Find images or people that are on both sides of a split."""

import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.neighbors import NearestNeighbors
from sklearn.utils import check_consistent_length, gen_batches

from sklearn_patt_lite._images.check import LUMA
from sklearn_patt_lite._images.columns import check_subjects
from sklearn_patt_lite._images.decode import decode_images
from sklearn_patt_lite._typing import CrossValidation, Photographs, validate_params
from sklearn_patt_lite.model_selection._manifest import digests, list_splits

_SIDE = 36  # pixels of the thumbnails: so few that JPEG leaves hardly a trace
_WAVES = 8  # spatial frequencies, in each direction, that are compared first
_NEIGHBOURS = 5  # images that are compared closely, for each image
_SHIFT = 3  # pixels of the thumbnails: two pixels of a 24-pixel image
_SIMILAR = 0.991  # two thumbnails of at least this correlation count as one image
_PROMISING = 0.92  # correlation at whole-pixel shifts from which subpixel shifts are tried
_BATCH = 2000  # pairs at a time


@dataclass(frozen=True, eq=False)
class Leaks:
    """
    Result of `find_leaks`; print it for a summary.

    A classifier remembers the images and people it was trained on. If they are also in the test
    data, scores are better than they will be on new people.

    Parameters
    ----------
    pairs : ndarray of shape (n_pairs, 2), dtype int64
        Rows of equal or nearly equal images that are on both sides of a fold. A row that a fold
        both trains and tests on is paired with itself.
    similarity : ndarray of shape (n_pairs,), dtype float64
        Correlation of each pair's thumbnails, after the best flip and shift; up to 1.
    is_exact : ndarray of shape (n_pairs,), dtype bool
        Whether a pair's contents are equal byte for byte.
    subjects : dict of int to list of str
        Subjects that a fold both trains and tests on, by fold number; empty without groups.
    n_images : int
        Number of images that were compared.

    See Also
    --------
    find_leaks : Computes it.
    SubjectKFold : Makes folds that share no subjects.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_patt_lite.datasets import make_expression_faces
    >>> from sklearn_patt_lite.model_selection import SubjectKFold, find_leaks
    >>> faces = make_expression_faces(n_subjects=2, n_per_expression=1, random_state=0)
    >>> images = np.concatenate([faces.images, faces.images[:1]])  # the first one again
    >>> leaks = find_leaks(images, [*faces.groups, 1], SubjectKFold(2))  # of the other subject
    >>> leaks.pairs.tolist(), leaks.is_exact.tolist(), leaks.subjects
    ([[0, 14]], [True], {})
    """

    pairs: NDArray[np.int64]
    similarity: NDArray[np.float64]
    is_exact: NDArray[np.bool_]
    subjects: dict[int, list[str]]
    n_images: int

    @property
    def found(self) -> bool:
        """
        Whether there is any leak.

        It is True if there are `pairs` of images or `subjects` on both sides of a fold. Assert in a
        test that it is False, so that no later change of the folds goes unnoticed.

        See Also
        --------
        find_leaks : Looks for leaks.

        Examples
        --------
        >>> import numpy as np
        >>> from sklearn_patt_lite.datasets import make_expression_faces
        >>> from sklearn_patt_lite.model_selection import SubjectKFold, find_leaks
        >>> faces = make_expression_faces(n_subjects=2, n_per_expression=1, random_state=0)
        >>> find_leaks(faces.images, faces.groups, SubjectKFold(2)).found
        False
        >>> find_leaks(faces.images, faces.groups, 3).found  # folds of images, not of subjects
        True
        """
        return bool(len(self.pairs) or self.subjects)

    def __str__(self):
        if not self.found:
            return f"No leaks among {self.n_images} images."
        lines = []
        is_one = self.pairs[:, 0] == self.pairs[:, 1]
        if is_one.any():
            rows = ", ".join(map(str, self.pairs[is_one, 0][:5].tolist()))
            more = ", …" if is_one.sum() > 5 else ""
            lines.append(f"rows that a fold both trains and tests on: {rows}{more}")
        if not is_one.all():
            n_exact = int(self.is_exact[~is_one].sum())
            pairs = self.pairs[~is_one]
            rows = ", ".join(f"{a} and {b}" for a, b in pairs[:5].tolist())
            lines.append(
                f"pairs of images of which one is trained and one tested on: {n_exact} equal, "
                f"{len(pairs) - n_exact} nearly equal: rows {rows}"
                + (", …" if len(pairs) > 5 else "")
            )
        for fold, names in self.subjects.items():
            shown = ", ".join(names[:5]) + (", …" if len(names) > 5 else "")
            lines.append(f"fold {fold} trains and tests on {len(names)} subjects: {shown}")
        return "\n".join(lines)


@validate_params({"n_jobs": [int, None]})
def find_leaks(
    X: Photographs,
    groups: ArrayLike | None,
    cv: CrossValidation,
    *,
    y: ArrayLike | None = None,
    n_jobs: int | None = None,
) -> Leaks:
    """
    Find images and subjects that are on both sides of a cross-validation's folds.

    Images are compared by content: equal images are found, and so are images that were saved again
    as JPEG, mirrored, or shifted by about two pixels.

    Parameters
    ----------
    X : sequence of length n
        Images of any kind and size, or paths of their files, as `FaceResizer` takes them.
    groups : array-like of shape (n,) or None
        Subject of each image.
    cv : int, cross-validation generator or iterable
        As in scikit-learn's `cross_validate`.
    y : array-like of shape (n,), default=None
        Labels, for splitters that need them, and for stratified folds if `cv` is an int.
    n_jobs : int, default=None
        Number of threads that read images, as in joblib.

    Returns
    -------
    Leaks
        Print it for a summary; `found` says whether there is any leak.

    Raises
    ------
    ValueError
        If lengths differ, if an image cannot be read, or as raised by `cv`.
    FileNotFoundError
        If a path does not lead to a file.

    See Also
    --------
    SubjectKFold : Makes folds that share no subjects.
    verify_manifest : Checks recorded folds.

    Notes
    -----
    Each image is described by the magnitudes of its low spatial frequencies [1]_, which shifting or
    mirroring hardly changes. It is then correlated with its five nearest neighbours, mirrored or
    not, at the best shift. Of 500 planted copies among 10,000 drawn faces, all are found at 96×96
    pixels, and 96 % at 48×48 pixels; 0.1 % of the images are reported although they are not copies
    (examples/benchmarks/find_leaks.py). Frames of one sequence may be reported, and rightly so.

    If an image occurs many times, each copy is paired with only some of the others.

    References
    ----------
    .. [1] D. Casasent and D. Psaltis, "Position, rotation, and scale invariant optical
       correlation", Applied Optics 15 (7), 1976: magnitudes of the Fourier transform.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_patt_lite.datasets import make_expression_faces
    >>> from sklearn_patt_lite.model_selection import SubjectKFold, find_leaks
    >>> faces = make_expression_faces(n_subjects=4, n_per_expression=1, random_state=0)
    >>> print(find_leaks(faces.images, faces.groups, SubjectKFold(4)))
    No leaks among 28 images.
    >>> images = np.concatenate([faces.images, faces.images[:1, :, ::-1]])  # one mirrored
    >>> print(find_leaks(images, [*faces.groups, 3], SubjectKFold(4)))
    pairs of images of which one is trained and one tested on: 0 equal, 1 nearly equal: rows ...
    """
    check_consistent_length(X, y, groups)
    splits = list_splits(cv, X, y, groups)
    contents = np.array(digests(X))
    pairs = _find_equal(contents)
    colors = decode_images(X, (_SIDE, _SIDE, 3), n_jobs)
    thumbnails = colors @ LUMA  # n × 36 × 36
    near, similarity = _find_similar(thumbnails)
    near, similarity = _without(near, similarity, pairs)
    similarity = np.concatenate([np.ones(len(pairs)), similarity])
    pairs = np.concatenate([pairs, near])
    is_exact = contents[pairs[:, 0]] == contents[pairs[:, 1]]
    split = _are_split(pairs, splits, len(thumbnails))
    order = np.lexsort(pairs[split].T[::-1])
    return Leaks(
        pairs=pairs[split][order],
        similarity=similarity[split][order],
        is_exact=is_exact[split][order],
        subjects={} if groups is None else _shared_subjects(groups, splits),
        n_images=len(thumbnails),
    )


def _find_equal(contents):
    """Pair images of equal content: each with itself, the previous one, and the first one.

    With itself, because a fold may train and test on the same row.
    """
    rows, pairs = {}, set()
    for row, digest in enumerate(contents.tolist()):
        equal = rows.setdefault(digest, [])
        pairs |= {(other, row) for other in (*equal[:1], *equal[-1:], row)}
        equal.append(row)
    return np.array(sorted(pairs), dtype=np.int64).reshape(-1, 2)


def _find_similar(thumbnails):
    """Pair images that differ only by mirroring, a shift or noise; return pairs, correlations."""
    n = len(thumbnails)
    if n < 2:
        return np.empty((0, 2), dtype=np.int64), np.empty(0)
    finder = NearestNeighbors(n_neighbors=min(_NEIGHBOURS, n - 1), algorithm="brute")
    neighbours = finder.fit(_describe(thumbnails)).kneighbors(return_distance=False)
    pairs = np.stack([np.repeat(np.arange(n), neighbours.shape[1]), neighbours.ravel()], axis=1)
    pairs = np.unique(np.sort(pairs, axis=1), axis=0)
    similarity = np.concatenate(
        [_correlate(thumbnails, pairs[part]) for part in gen_batches(len(pairs), _BATCH)]
    )
    return pairs[similarity >= _SIMILAR], similarity[similarity >= _SIMILAR]


def _describe(thumbnails):
    """Describe images by features that shifts and mirroring hardly change: (n, 128)."""
    window = np.hanning(_SIDE + 2)[1:-1].astype(np.float32)
    centered = thumbnails - thumbnails.mean(axis=(1, 2), keepdims=True)
    strengths = np.abs(np.fft.rfft2(centered * np.outer(window, window)))  # n × 36 × 19
    down = strengths[:, :_WAVES, :_WAVES]  # waves that run down to the right
    up = strengths[:, -np.arange(_WAVES), :_WAVES]  # up to the right: mirroring swaps the two
    features = np.concatenate([down + up, np.abs(down - up)], axis=1).reshape(len(strengths), -1)
    features = np.sqrt(features)
    lengths = np.linalg.norm(features, axis=1, keepdims=True)
    return features / np.maximum(lengths, np.finfo(np.float32).tiny)


def _correlate(thumbnails, pairs):
    """Correlate pairs of images at the best shift, mirrored or not: (n_pairs,)."""
    first, second = thumbnails[pairs[:, 0]], thumbnails[pairs[:, 1]]
    mirrored = second[:, :, ::-1]
    return np.maximum(_correlate_shifted(first, second), _correlate_shifted(first, mirrored))


def _correlate_shifted(first, second):
    """Correlate at the best whole-pixel shift, and near misses at quarter-pixel shifts, too."""
    spectra = [np.fft.rfft2(x - x.mean(axis=(1, 2), keepdims=True)) for x in (first, second)]
    # Low frequencies are the strongest, and by themselves make a broad peak. Dividing by the square
    # root of the magnitude (between cross-correlation and phase correlation) sharpens it.
    product = np.conj(spectra[0]) * spectra[1]
    product /= np.maximum(np.sqrt(np.abs(product)), np.finfo(np.float32).tiny)
    shifts = _best_shifts(np.fft.irfft2(product))
    found = _correlate_at(first, spectra[1], shifts)
    close = found >= _PROMISING
    for quarters in itertools.product(np.arange(-1, 1.01, 0.25), repeat=2):
        refined = _correlate_at(first[close], spectra[1][close], shifts[close] + quarters)
        found[close] = np.maximum(found[close], refined)
    return found


def _correlate_at(first, spectra, shifts):
    second = _shift_back(spectra, shifts)
    inner = slice(_SHIFT, -_SHIFT)  # the border holds pixels that wrapped around
    a, b = _normalize(first[:, inner, inner]), _normalize(second[:, inner, inner])
    return (a * b).sum(axis=(1, 2))


def _best_shifts(correlations):
    """Find the correlation peaks near zero shift, in pixels: (n, 2)."""
    steps = np.arange(-_SHIFT, _SHIFT + 1)
    near = correlations[:, steps[:, np.newaxis], steps].reshape(len(correlations), -1)
    place = np.unravel_index(near.argmax(axis=1), (len(steps), len(steps)))
    return np.stack(place, axis=1) - _SHIFT


def _shift_back(spectra, shifts):
    """Shift images, given as spectra, by fractions of pixels: each wave by its phase."""
    down = np.fft.fftfreq(_SIDE)[:, np.newaxis] * shifts[:, :1, np.newaxis]
    right = np.fft.rfftfreq(_SIDE) * shifts[:, 1:, np.newaxis]
    return np.fft.irfft2(spectra * np.exp(2j * np.pi * (down + right)), s=(_SIDE, _SIDE))


def _normalize(images):
    centered = images - images.mean(axis=(1, 2), keepdims=True)
    lengths = np.linalg.norm(centered, axis=(1, 2), keepdims=True)
    return centered / np.maximum(lengths, 1)  # a uniform image resembles none


def _without(pairs, similarity, others):
    others = set(map(tuple, others.tolist()))
    new = np.array([tuple(pair) not in others for pair in pairs.tolist()], dtype=bool)
    return pairs[new], similarity[new]


def _are_split(pairs, splits, n):
    """Return whether a fold trains on one image of a pair and tests on the other: (n_pairs,)."""
    found = np.zeros(len(pairs), dtype=bool)
    for train, test in splits:
        trains, tests = np.zeros((2, n), dtype=bool)
        trains[train], tests[test] = True, True
        first, second = pairs.T
        found |= (trains[first] & tests[second]) | (tests[first] & trains[second])
    return found


def _shared_subjects(groups, splits):
    groups = check_subjects(groups).astype(str)
    shared = {
        number: np.intersect1d(groups[train], groups[test]).tolist()
        for number, (train, test) in enumerate(splits)
    }
    return {number: names for number, names in shared.items() if names}
