"""Cropping of photographs with faces somewhere in them to one square face per row."""

import os
from collections.abc import Callable
from numbers import Integral, Real
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps
from sklearn.base import BaseEstimator
from sklearn.utils import Bunch
from sklearn.utils._param_validation import Interval, StrOptions

from sklearn_patt_lite._callbacks.support import as_one_task
from sklearn_patt_lite._images.decode import (
    BACKGROUND,
    check_readable,
    check_sources,
    for_each_row,
    load_image,
)
from sklearn_patt_lite._typing import Photographs, validate_parameters_first
from sklearn_patt_lite.preprocessing._base import ImageTransformerMixin
from sklearn_patt_lite.preprocessing._detection import DETECTION, find_faces

#: Margins of databases, for boxes of "mtcnn": see examples/benchmarks/crop_margins.py.
MARGINS = {"fer2013": -0.02}


class FaceCropper(ImageTransformerMixin, BaseEstimator):
    """
    Crop photographs to one face each, upright and square.

    Each input row gives one output row, whatever the photograph shows, so rows stay aligned with
    labels. Each photograph is processed on its own and nothing is learned from the data: the
    transformer is stateless and need not be fitted.

    Parameters
    ----------
    size : int, default=224
        Side of the resulting images in pixels; at least 1.
    margin : float or "fer2013", default=0.2
        Margin added to each side of the face's box, as a share of its longer side; above -0.5 and
        below 10. "fer2013" is the margin of FER2013's images, which
        :meth:`sklearn_patt_lite.PAttLiteClassifier.from_pretrained` expects: slightly tighter than
        the boxes of "mtcnn".
    align : bool, default=True
        Whether to rotate the photograph around the centre of the face until the eyes are level, if
        the detector finds eyes.
    detector : "mtcnn" or callable, default="mtcnn"
        Detector that finds the faces; see :func:`detect_faces`. "mtcnn" needs the extra ``faces``.
    min_score : float, default=0.9
        Faces with lower scores are ignored; in [0, 1].
    on_no_face : {"raise", "whole", "blank"}, default="raise"
        What to do with a photograph without a face.

        - "raise": raise an error that names it.
        - "whole": use the whole photograph, with mid-grey bars if it is not square.
        - "blank": return a mid-grey square.
    on_many : {"largest", "centre", "best", "raise"}, default="largest"
        Which of several faces to use: the one with the largest box, the one nearest to the
        photograph's centre, or the one with the best score, which avoids large boxes that are not
        faces; "raise": none, and an error names the photograph.
    n_jobs : int or None, default=None
        Number of threads that read photographs and find faces, as in joblib: None means one thread
        unless a `joblib.parallel_config` says otherwise, -1 means one per processor core.

    See Also
    --------
    detect_faces : Finds all faces in a photograph.
    FaceResizer : Resizes images that already show nothing but a face.
    sklearn_patt_lite.PAttLiteClassifier : Classifies the faces.

    Notes
    -----
    Areas beyond the photograph's edges are mid-grey. Train on faces that are cropped like those to
    be predicted: databases are cropped differently, tightly in FER2013, more widely in RAF-DB.
    Margins are relative to the box, and detectors differ in how large they draw it.

    Memory holds one photograph per thread, and the result: n · size² · 3 bytes (`crop_all`: twice).

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_patt_lite.preprocessing import FaceCropper
    >>> def bright_part(image):
    ...     rows, columns = np.nonzero(image[..., 0] > 128)
    ...     if len(rows) == 0:
    ...         return []
    ...     return [[columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]]
    >>> photo = np.zeros((80, 100))
    >>> photo[30:50, 60:80] = 1
    >>> cropper = FaceCropper(size=32, margin=0, detector=bright_part, on_no_face="whole")
    >>> found = cropper.crop([photo, np.zeros((80, 100))])
    >>> found.images.shape, found.images[0].min()
    ((2, 32, 32, 3), np.uint8(255))
    >>> found.done.tolist()
    ['face', 'whole']
    """

    _parameter_constraints = {
        "size": [Interval(Integral, 1, None, closed="left")],
        "margin": [Interval(Real, -0.5, 10, closed="neither"), StrOptions(set(MARGINS))],
        "align": ["boolean"],
        **DETECTION,
        "on_no_face": [StrOptions({"raise", "whole", "blank"})],
        "on_many": [StrOptions({"largest", "centre", "best", "raise"})],
        "n_jobs": [Integral, None],
    }

    def __init__(
        self,
        *,
        size: int = 224,
        margin: float | Literal["fer2013"] = 0.2,
        align: bool = True,
        detector: Literal["mtcnn"] | Callable[[NDArray[np.uint8]], Any] = "mtcnn",
        min_score: float = 0.9,
        on_no_face: Literal["raise", "whole", "blank"] = "raise",
        on_many: Literal["largest", "centre", "best", "raise"] = "largest",
        n_jobs: int | None = None,
    ) -> None:
        self.size = size
        self.margin = margin
        self.align = align
        self.detector = detector
        self.min_score = min_score
        self.on_no_face = on_no_face
        self.on_many = on_many
        self.n_jobs = n_jobs

    @validate_parameters_first
    @as_one_task
    def fit(self, X: Photographs, y: object = None) -> Self:
        """
        Check the parameters; no photograph is read.

        `transform` works without it; only there are photographs read and searched for faces.

        Parameters
        ----------
        X : sequence of length n
            Photographs and paths, see `transform`.
        y : object, default=None
            Ignored.

        Returns
        -------
        FaceCropper
            Itself.

        Raises
        ------
        TypeError, ValueError
            If `X` is not a sequence of images, or empty. `ValueError` also if a parameter is out of
            range.

        See Also
        --------
        transform : Reads and crops photographs.

        Examples
        --------
        >>> from sklearn_patt_lite.preprocessing import FaceCropper
        >>> FaceCropper(size=96).fit(["ann.jpg", "ben.jpg"])  # these need not be there yet
        FaceCropper(size=96)
        """
        check_sources(X)
        return self

    def transform(self, X: Photographs) -> NDArray[np.uint8]:
        """
        Crop each photograph to one face.

        The rows are the `images` of `crop`. Each photograph gives one row, or an error, so rows
        stay aligned with labels.

        Parameters
        ----------
        X : sequence of length n
            Files, Pillow images and arrays, in any mix and each of any size, as in
            :class:`FaceResizer`.

        Returns
        -------
        ndarray of shape (n, size, size, 3), dtype uint8
            RGB faces in the order of `X`.

        Raises
        ------
        ImportError
            If "mtcnn" is requested, but not installed.
        FileNotFoundError, TypeError
            If a photograph cannot be read; the message names the row and the file.
        ValueError
            Likewise; also if there is no face, or more than one, and `on_no_face` or `on_many` is
            "raise", or if the detector returns something other than boxes.

        See Also
        --------
        crop : Also reports where the faces are, and which rows show none.
        crop_all : Crops all faces, not one per photograph.

        Examples
        --------
        >>> import numpy as np
        >>> from sklearn_patt_lite.preprocessing import FaceCropper
        >>> def in_the_middle(image):
        ...     height, width, _ = image.shape
        ...     return [[width / 4, height / 4, 3 * width / 4, 3 * height / 4]]
        >>> photos = [np.zeros((80, 100)), np.zeros((120, 90, 3), dtype=np.uint8)]
        >>> faces = FaceCropper(size=32, detector=in_the_middle).transform(photos)
        >>> faces.shape, faces.dtype
        ((2, 32, 32, 3), dtype('uint8'))
        """
        return self.crop(X).images

    def crop(self, X: Photographs) -> Bunch:
        """
        Crop each photograph to one face, and report how it was cropped.

        Use it to check a database before training: look at rows without a face, boxes with low
        scores, and photographs of several people.

        Parameters
        ----------
        X : sequence of length n
            As in `transform`.

        Returns
        -------
        :class:`~sklearn.utils.Bunch`
            One row per photograph, in the order of `X`:

            images : ndarray of shape (n, size, size, 3), dtype uint8
                RGB faces.
            boxes : ndarray of shape (n, 4), dtype float64
                The face's box as the detector returned it: left, top, right and bottom in pixels of
                the upright photograph; NaN if there is no face.
            scores : ndarray of shape (n,), dtype float64
                Score of the face; NaN if there is no face, or the detector gives no score.
            angles : ndarray of shape (n,), dtype float64
                Angle in degrees by which the line between the eyes fell to the right, and was
                rotated back.
            n_faces : ndarray of shape (n,), dtype int64
                Number of faces found.
            done : ndarray of shape (n,), dtype str
                "face", "whole" or "blank": what the row shows.

        Raises
        ------
        ImportError, FileNotFoundError, TypeError, ValueError
            As in `transform`.

        See Also
        --------
        transform : Returns only the images.
        crop_all : Crops all faces, not one per photograph.

        Examples
        --------
        >>> import numpy as np
        >>> from sklearn_patt_lite.preprocessing import FaceCropper
        >>> def in_the_middle(image):
        ...     height, width, _ = image.shape
        ...     return [[width / 4, height / 4, 3 * width / 4, 3 * height / 4]]
        >>> found = FaceCropper(size=32, detector=in_the_middle).crop([np.zeros((80, 100))])
        >>> found.boxes.tolist(), found.n_faces.tolist(), found.done.tolist()
        ([[25.0, 20.0, 75.0, 60.0]], [1], ['face'])
        """
        self._validate_params()  # stateless: it may not have been fitted
        X = check_sources(X)
        images = np.empty((len(X), self.size, self.size, 3), np.uint8)

        def crop_row(row, source):
            cropped = self._crop_one(source)
            images[row] = cropped.pop("images")  # in place: there is never a second copy
            return cropped

        return Bunch(images=images, **_stack(self._each(X, crop_row)))

    def crop_all(self, X: Photographs) -> Bunch:
        """
        Crop all faces of each photograph.

        `on_no_face` and `on_many` are ignored: a photograph without a face gives no row.

        Parameters
        ----------
        X : sequence of length n
            As in `transform`.

        Returns
        -------
        :class:`~sklearn.utils.Bunch`
            One row per face, photograph by photograph, the best score first: images, boxes, scores
            and angles as in `crop`, and:

            rows : ndarray of shape (n_faces,), dtype int64
                Index of the photograph in `X`.

        Raises
        ------
        ImportError, FileNotFoundError, TypeError, ValueError
            As in `transform`.

        See Also
        --------
        crop : Returns one row per photograph, aligned with labels.

        Examples
        --------
        >>> import numpy as np
        >>> from sklearn_patt_lite.preprocessing import FaceCropper
        >>> def two_in_the_light(image):
        ...     return [[10, 10, 30, 30], [50, 10, 70, 30]] if image.any() else []
        >>> light, dark = np.ones((80, 100)), np.zeros((80, 100))
        >>> cropper = FaceCropper(size=32, detector=two_in_the_light)
        >>> cropper.crop_all([light, dark, light]).rows.tolist()
        [0, 0, 2, 2]
        """
        self._validate_params()
        photos = self._each(check_sources(X), lambda _, source: self._crop_every(source))
        faces = [face for faces in photos for face in faces]
        rows = np.repeat(np.arange(len(photos)), [len(faces) for faces in photos])
        if not faces:
            return Bunch(
                images=np.empty((0, self.size, self.size, 3), np.uint8),
                boxes=np.empty((0, 4)),
                scores=np.empty(0),
                angles=np.empty(0),
                rows=rows,
            )
        return Bunch(**_stack(faces), rows=rows)

    def _each(self, X, work):
        """Apply a function to the row and the source of each photograph, in threads."""
        return for_each_row(
            lambda item: _named(work, *item),
            list(enumerate(X)),
            self.n_jobs,
            check=lambda item: check_readable(item[1]),
        )

    def _crop_one(self, source):
        photo = load_image(source)
        faces = find_faces(photo, self.detector, self.min_score)
        if len(faces.boxes) == 0:
            return {**self._without_face(photo), "n_faces": 0}
        face = self._cut(photo, faces, self._choose(faces.boxes, photo.size))
        return {**face, "n_faces": len(faces.boxes), "done": "face"}

    def _crop_every(self, source):
        photo = load_image(source)
        faces = find_faces(photo, self.detector, self.min_score)
        return [self._cut(photo, faces, index) for index in range(len(faces.boxes))]

    def _without_face(self, photo):
        if self.on_no_face == "raise":
            raise ValueError(
                "no face was found; on_no_face='whole' keeps the whole photograph, and "
                "'blank' gives a grey square."
            )
        shape = (self.size, self.size)
        if self.on_no_face == "whole":
            image = ImageOps.pad(photo, shape, Image.BILINEAR, color=BACKGROUND)
        else:
            image = Image.new("RGB", shape, BACKGROUND)
        return {
            "images": np.asarray(image),
            "boxes": np.full(4, np.nan),
            "scores": np.nan,
            "angles": 0.0,
            "done": self.on_no_face,
        }

    def _choose(self, boxes, shape):
        """Choose one of the boxes in a photograph whose `shape` is (width, height)."""
        if len(boxes) > 1 and self.on_many == "raise":
            raise ValueError(
                f"{len(boxes)} faces were found; on_many='largest', 'centre' or 'best' takes one "
                "of them, and crop_all crops each."
            )
        if self.on_many == "best":
            return 0  # the best score comes first
        if self.on_many == "centre":
            middles = (boxes[:, :2] + boxes[:, 2:]) / 2
            return int(np.linalg.norm(middles - np.divide(shape, 2), axis=1).argmin())
        return int(np.prod(boxes[:, 2:] - boxes[:, :2], axis=1).argmax())

    def _cut(self, photo, faces, index):
        """Cut out one face: a square around its box, rotated until the eyes are level."""
        box, eyes = faces.boxes[index], faces.eyes[index]
        angle = 0.0
        if self.align and np.isfinite(eyes).all():
            angle = float(np.arctan2(*(eyes[1] - eyes[0])[::-1]))
        margin = MARGINS.get(self.margin, self.margin)
        side = max(box[2:] - box[:2]) * (1 + 2 * margin)
        return {
            "images": _square(photo, (box[:2] + box[2:]) / 2, side, angle, self.size),
            "boxes": box,
            "scores": faces.scores[index],
            "angles": np.degrees(angle),
        }

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.transformer_tags.preserves_dtype = []  # always uint8
        return tags


def _named(work, row, source):
    try:
        return work(row, source)
    except (ImportError, MemoryError):
        raise
    except Exception as error:  # a user's detector may fail in any way
        known = (FileNotFoundError, TypeError, ValueError)
        kind = next((each for each in known if isinstance(error, each)), ValueError)
        said = error if isinstance(error, known) else f"the detector failed with {error!r}"
        path = os.fspath(source) if isinstance(source, str | os.PathLike) else ""
        where = "" if path in str(said) else f"{path!r}: "
        raise kind(f"{where}{said}") from error


def _stack(rows):
    """Stack rows into columns."""
    return Bunch(**{name: np.stack([row[name] for row in rows]) for name in rows[0]})


def _square(photo, middle, side, angle, size):
    """Cut out a square around a point, rotated by an angle in radians, at a size in pixels."""
    # First at the photograph's own resolution: the transformation reads only four pixels for each
    # of its own, which would cause aliasing if it shrank the image; resizing averages.
    # A box that extends far beyond the photograph is mostly grey: not all its pixels are needed.
    n = min(max(1, round(side)), 2 * max(photo.size))
    scale = side / n
    cos, sin = scale * np.cos(angle), scale * np.sin(angle)
    left = middle[0] - (cos - sin) * n / 2
    top = middle[1] - (sin + cos) * n / 2
    cut = photo.transform(
        (n, n),
        Image.Transform.AFFINE,
        (cos, -sin, left, sin, cos, top),
        Image.BILINEAR,
        fillcolor=BACKGROUND,
    )
    return np.asarray(cut.resize((size, size), Image.BILINEAR))
