"""Detection of faces, and of their eyes, in photographs."""

import functools
import math
from collections.abc import Callable, Mapping
from numbers import Real
from typing import Any, Literal

import numpy as np
import PIL.Image
from numpy.typing import ArrayLike, NDArray
from PIL import Image
from sklearn.utils import Bunch
from sklearn.utils._param_validation import Interval, StrOptions

from sklearn_patt_lite._images.decode import load_image
from sklearn_patt_lite._process import import_tensorflow
from sklearn_patt_lite._typing import PathLike, validate_params

# Photographs are reduced to this longest side, in pixels, before detection. This bounds the time,
# and faces of a fiftieth of the side are still 20 pixels large, the smallest that MTCNN finds.
_LONGEST_SIDE = 1024
_FARTHEST = 1e6  # pixels from the photograph's corner: more than any camera has

#: Constraints of the parameters of detection.
DETECTION = {
    "detector": [StrOptions({"mtcnn"}), callable],
    "min_score": [Interval(Real, 0, 1, closed="both")],
}


@validate_params({"image": "no_validation", **DETECTION})
def detect_faces(
    image: PathLike | PIL.Image.Image | ArrayLike,
    *,
    detector: Literal["mtcnn"] | Callable[[NDArray[np.uint8]], Any] = "mtcnn",
    min_score: float = 0.9,
) -> Bunch:
    """
    Find all faces in a photograph.

    Use this to see what a detector finds, or to work with boxes and eyes yourself. For training and
    prediction, `FaceCropper` does this and crops the faces.

    Parameters
    ----------
    image : path-like, PIL.Image.Image or array-like
        A file, a Pillow image, or an array of shape (height, width) or (height, width, channels),
        as :class:`FaceResizer` takes them. The camera's orientation (EXIF) is applied first.
    detector : "mtcnn" or callable, default="mtcnn"
        Detector that finds the faces.

        - "mtcnn": the cascade of three networks of [1]_, from the package `mtcnn`, which contains
          their weights (the extra ``faces``). It finds faces of at least a fiftieth of the
          photograph's longer side, upright or tilted by up to about 45 degrees.
        - callable: takes an RGB image, an ndarray of shape (height, width, 3), dtype uint8. Returns
          the boxes, array-like of shape (n_faces, 4): left, top, right and bottom in pixels; or a
          dict of "boxes" and, optionally, "scores", (n_faces,), from 0 to 1, and "eyes",
          (n_faces, 2, 2): x and y of both eyes. None means no face.
    min_score : float, default=0.9
        Faces with lower scores are left out; in [0, 1]. Faces without a score are kept.

    Returns
    -------
    :class:`~sklearn.utils.Bunch`
        Faces with the best score first; in the detector's order if it gives no scores.

        boxes : ndarray of shape (n_faces, 4), dtype float64
            Left, top, right and bottom in pixels of the upright photograph.
        scores : ndarray of shape (n_faces,), dtype float64
            Scores of the faces, 0 to 1; NaN if the detector gives none.
        eyes : ndarray of shape (n_faces, 2, 2), dtype float64
            x and y of both eyes in pixels, the one on the picture's left first; NaN if unknown.

    Raises
    ------
    ImportError
        If "mtcnn" is requested, but not installed.
    FileNotFoundError, TypeError, ValueError
        If the image cannot be read, or if a callable returns something other than boxes.

    See Also
    --------
    FaceCropper : Crops faces, one per row.

    References
    ----------
    .. [1] K. Zhang, Z. Zhang, Z. Li and Y. Qiao, "Joint Face Detection and Alignment Using
       Multitask Cascaded Convolutional Networks", IEEE Signal Processing Letters, 2016,
       https://arxiv.org/abs/1604.02878

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_patt_lite.preprocessing import detect_faces
    >>> def in_the_middle(image):
    ...     height, width, _ = image.shape
    ...     return [[width / 4, height / 4, 3 * width / 4, 3 * height / 4]]
    >>> detect_faces(np.zeros((200, 100)), detector=in_the_middle).boxes
    array([[ 25.,  50.,  75., 150.]])
    """
    return find_faces(load_image(image), detector, min_score)


def find_faces(image, detector, min_score):
    """Find the faces in a Pillow image of mode "RGB"; see `detect_faces`."""
    found = _mtcnn_faces(image) if detector == "mtcnn" else detector(np.array(image))
    faces = _check_faces(found)
    order = np.argsort(-faces.scores, kind="stable")  # NaN last, in the detector's order
    order = order[~(faces.scores[order] < min_score)]
    return Bunch(**{name: values[order] for name, values in faces.items()})


def _mtcnn_faces(image):
    scale = min(1, _LONGEST_SIDE / max(image.size))
    if scale < 1:
        shape = [max(1, round(scale * side)) for side in image.size]
        image = image.resize(shape, Image.BILINEAR, reducing_gap=2.0)
    if min(image.size) < 12:  # smaller than the first network's window
        return []
    found = _mtcnn().detect_faces(np.array(image), box_format="xyxy")
    points = ("left_eye", "right_eye")
    return {
        "boxes": [np.divide(face["box"], scale) for face in found],
        "scores": [face["confidence"] for face in found],
        "eyes": [[np.divide(face["keypoints"][p], scale) for p in points] for face in found],
    }


@functools.lru_cache(maxsize=1)
def _mtcnn():
    """Load the three networks, once per process."""
    import_tensorflow()
    try:
        from mtcnn import MTCNN
    except ImportError as error:
        raise ImportError(
            "detector='mtcnn' needs the package mtcnn: pip install 'sklearn-patt-lite[faces]', or "
            "pass a callable that returns boxes."
        ) from error
    return MTCNN()


def _check_faces(found):
    """Check a detector's output and convert it to arrays: boxes, scores, eyes."""
    found = [] if found is None else found
    found = found if isinstance(found, Mapping) else {"boxes": found}
    if "boxes" not in found or not set(found) <= {"boxes", "scores", "eyes"}:
        raise ValueError(
            "The detector should return 'boxes' and, optionally, 'scores' and 'eyes'; got "
            f"{sorted(map(str, found))}."
        )
    if found["boxes"] is None:  # what facenet-pytorch returns if there is no face
        found = {"boxes": []}
    boxes = _as_numbers("boxes", found["boxes"])
    n = len(boxes) if boxes.ndim else 1
    boxes = _check_shape("boxes", boxes, (n, 4))
    if not (abs(boxes) < _FARTHEST).all() or (boxes[:, 2:] <= boxes[:, :2]).any():
        raise ValueError(
            "The detector returned an invalid box: left, top, right and bottom must be pixels, "
            f"with right > left and bottom > top; got {boxes.tolist()}."
        )
    scores = _check_shape("scores", found.get("scores"), (n,))
    if (scores < 0).any() or (scores > 1).any():
        raise ValueError(f"The detector's scores should lie in 0..1; got {scores.tolist()}.")
    eyes = _check_shape("eyes", found.get("eyes"), (n, 2, 2))
    left_first = np.argsort(eyes[..., 0], axis=1, kind="stable")  # by x
    return Bunch(
        boxes=boxes, scores=scores, eyes=np.take_along_axis(eyes, left_first[..., np.newaxis], 1)
    )


def _as_numbers(name, values):
    try:
        return np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"The detector's {name} must be an array of numbers, got {type(values).__name__}: "
            f"{error}."
        ) from error


def _check_shape(name, values, shape):
    if values is None:
        return np.full(shape, math.nan)
    values = _as_numbers(name, values)
    if values.size == 0 and shape[0] == 0:
        return values.reshape(shape)
    if values.shape != shape:
        expected = ", ".join(["n_faces", *map(str, shape[1:])])
        raise ValueError(
            f"The detector returned {name} of shape {values.shape}; expected ({expected})."
        )
    return values
