"""Drawn faces whose expression, subject, turn and covering are known exactly."""

from dataclasses import dataclass, replace
from numbers import Integral, Real
from typing import Literal

import numpy as np
from PIL import Image, ImageFilter
from sklearn.utils import Bunch, check_random_state
from sklearn.utils._param_validation import Interval, Options

from sklearn_patt_lite._typing import BunchOrXy, Seed, validate_params
from sklearn_patt_lite.datasets._drawn.geometry import (
    COVERINGS,
    HeadCanvas,
    paint_beard,
    paint_body,
    paint_brows,
    paint_eyes,
    paint_glasses,
    paint_hair,
    paint_lines,
    paint_mouth,
    paint_nose,
    paint_skull,
)
from sklearn_patt_lite.datasets._drawn.subjects import (
    NEUTRAL,
    PROTOTYPES,
    VARIETY,
    Actions,
    draw_subject,
)
from sklearn_patt_lite.datasets._expressions import EXPRESSIONS

DESCR = """\
Drawn faces with expressions
----------------------------
RGB drawings of faces, drawn by sklearn_patt_lite.datasets.make_expression_faces. Each of several
subjects shows each expression equally often, with a varying strength and turn of the head; a
share of the faces is covered by sunglasses, a mask or a hand. Images of one subject resemble each
other in more than the expression, so that a fair split keeps subjects apart (see `groups`).

The drawings serve to test methods. Results on them say nothing about real faces.
"""


@dataclass(frozen=True, eq=False)
class _View:
    """What differs between the images of one subject.

    Angles are in degrees, lengths in face units (see `geometry`), `blur` is a share of the
    image's side and `noise` in gray levels.
    """

    intensity: float
    yaw: float
    pitch: float
    roll: float
    scale: float
    shift: tuple
    gaze: float
    light_angle: float
    light_strength: float
    brightness: float
    blur: float
    noise: float
    jitter: np.ndarray  # (n_actions,)
    seed: int
    covering: str = "none"
    covering_place: float = 0.5


def _draw_view(subject, expression, max_yaw, rng):
    """Draw what one image of a subject's recording of an expression looks like."""
    unrest = rng.normal(0, (1.5, 1.5, 0.015, 0.015))
    roll, pitch, across, down = subject.bearing[expression] + unrest
    return _View(
        intensity=0.0 if expression == NEUTRAL else rng.uniform(0.5, 1),
        yaw=max_yaw * _reflect(subject.turn[expression] + rng.uniform(-0.4, 0.4)),
        pitch=pitch,
        roll=roll,
        scale=rng.uniform(0.95, 1.05),
        shift=(across, down),
        gaze=rng.normal(0, 0.015),
        light_angle=subject.light_angle + rng.normal(0, 15),
        light_strength=subject.light_strength * rng.uniform(0.8, 1.2),
        brightness=rng.uniform(0.85, 1.15),
        blur=rng.uniform(0, 0.008),
        noise=rng.uniform(2, 9),
        jitter=rng.normal(0, 0.06 * VARIETY),
        seed=int(rng.integers(2**32)),
    )


def _reflect(turn):
    """Bring a turn back into [-1, 1] by reflection, which keeps a uniform distribution uniform."""
    return turn if abs(turn) <= 1 else float(np.copysign(2, turn)) - turn


def _act(subject, expression, view):
    """Intensity of each movement of the subject's face in one image."""
    shown = np.array(PROTOTYPES[EXPRESSIONS[expression]]) * subject.gains[expression]
    shown = view.intensity * (shown + subject.manner[expression])
    return Actions(*(subject.resting + shown + view.jitter).tolist())


def _draw_face(subject, expression, view, size):
    """Draw one image, of shape (size, size, 3) and dtype uint8."""
    oversampling = 3 if size <= 128 else 2  # smooths the edges, which Pillow draws jagged
    backdrop = Image.fromarray(subject.backdrop)
    backdrop = backdrop.resize((oversampling * size,) * 2, Image.Resampling.BICUBIC)
    canvas = HeadCanvas(backdrop, view.yaw, view.pitch, view.roll, view.scale, view.shift)
    _paint(canvas, subject, _act(subject, expression, view), view)
    image = canvas.image.reduce(oversampling)
    if view.blur * size > 0.3:
        image = image.filter(ImageFilter.GaussianBlur(view.blur * size))
    return _expose(np.asarray(image, dtype=np.float32), view)


def _paint(canvas, subject, actions, view):
    paint_body(canvas, subject)
    paint_skull(canvas, subject, actions.jaw)
    paint_beard(canvas, subject, actions.jaw)
    paint_lines(canvas, subject, actions)
    paint_mouth(canvas, subject, actions)
    paint_eyes(canvas, subject, actions, view.gaze)
    paint_nose(canvas, subject, actions)
    paint_brows(canvas, subject, actions)
    if subject.glasses and view.covering != "sunglasses":
        paint_glasses(canvas, subject)
    paint_hair(canvas, subject)
    if view.covering != "none":
        COVERINGS[view.covering](canvas, subject, view.covering_place)


def _expose(pixels, view):
    """Light the picture from one side, as a sphere would be, and add the camera's noise."""
    across = np.linspace(-1, 1, len(pixels), dtype=np.float32) / 0.85
    distance = np.maximum(1, np.hypot(across, across[:, None]))
    direction = np.radians(view.light_angle)
    towards_light = (across * np.cos(direction) + across[:, None] * np.sin(direction)) / distance
    pixels = pixels * (view.brightness * (1 + view.light_strength * towards_light))[..., None]
    noise = np.random.default_rng(view.seed).standard_normal(pixels.shape, dtype=np.float32)
    return np.clip(np.rint(pixels + view.noise * noise), 0, 255).astype(np.uint8)


def _draw_dataset(
    subject_ids,
    *,
    n_per_expression=2,
    n_expressions=7,
    image_size=96,
    occlusion=0.2,
    max_yaw=30.0,
    label_noise=0.0,
    seed=0,
):
    """Draw the subjects of the given ids; see :func:`make_expression_faces`.

    `seed` determines all that is not the subjects' own: their views, coverings and wrong labels.
    """
    subjects = [draw_subject(subject_id) for subject_id in subject_ids]
    labels = np.repeat(np.arange(n_expressions), n_per_expression)  # of each subject's images
    target = np.tile(labels, len(subjects))
    groups = np.repeat(np.arange(len(subjects)), len(labels))
    views = []
    for group, subject in enumerate(subjects):
        # A generator of its own, so that adding subjects leaves the others' views as they are.
        rng = np.random.default_rng([seed, group + 1])
        views += [_draw_view(subject, label, max_yaw, rng) for label in labels]
    rng = np.random.default_rng(seed)
    views = _cover(views, occlusion, rng)
    images = [
        _draw_face(subjects[group], label, view, image_size)
        for group, label, view in zip(groups, target, views, strict=True)
    ]
    return Bunch(
        images=np.stack(images),
        target=_mislabel(target, n_expressions, label_noise, rng),
        target_clean=target,
        target_names=np.array(EXPRESSIONS[:n_expressions]),
        groups=groups,
        subject_ids=np.array(subject_ids),
        **_describe(subjects, groups, views),
        DESCR=DESCR,
    )


def _cover(views, share, rng):
    """Cover the given share of the faces, each by something drawn at random."""
    views = list(views)
    for index in rng.permutation(len(views))[: round(share * len(views))]:
        covering = str(rng.choice(list(COVERINGS)))
        views[index] = replace(views[index], covering=covering, covering_place=rng.uniform())
    return views


def _mislabel(target, n_expressions, share, rng):
    """Replace the given share of the labels by another expression's."""
    target = target.copy()
    wrong = rng.permutation(len(target))[: round(share * len(target))]
    target[wrong] += rng.integers(1, n_expressions, len(wrong))
    return target % n_expressions


def _describe(subjects, groups, views):
    """Tell, per image, what the picture was drawn from."""
    of_views = {
        "occlusion": "covering",
        "yaw": "yaw",
        "pitch": "pitch",
        "roll": "roll",
        "intensity": "intensity",
        "light_angle": "light_angle",
        "light_strength": "light_strength",
    }
    described = {
        field: np.array([getattr(view, name) for view in views]) for field, name in of_views.items()
    }
    for field in ("skin", "hair", "beard", "glasses"):
        described[field] = np.array([getattr(subject, field) for subject in subjects])[groups]
    return described


@validate_params(
    {
        "n_subjects": [Interval(Integral, 1, None, closed="left")],
        "n_per_expression": [Interval(Integral, 1, None, closed="left")],
        "n_expressions": [Options(Integral, {7, 8})],
        "image_size": [Interval(Integral, 24, None, closed="left")],
        "occlusion": [Interval(Real, 0, 1, closed="both")],
        "max_yaw": [Interval(Real, 0, 45, closed="both")],
        "label_noise": [Interval(Real, 0, 1, closed="both")],
        "random_state": ["random_state"],
        "return_X_y": ["boolean"],
    }
)
def make_expression_faces(
    *,
    n_subjects: int = 30,
    n_per_expression: int = 2,
    n_expressions: Literal[7, 8] = 7,
    image_size: int = 96,
    occlusion: float = 0.2,
    max_yaw: float = 30.0,
    label_noise: float = 0.0,
    random_state: Seed = None,
    return_X_y: bool = False,
) -> BunchOrXy:
    """
    Draw faces that show the basic expressions, for tests, examples and teaching.

    Every subject shows every expression equally often. What a picture was drawn from (who, how
    far the head is turned, what covers the face) is known exactly and returned with it.

    Parameters
    ----------
    n_subjects : int, default=30
        Number of people, at least 1.
    n_per_expression : int, default=2
        Number of images of each expression by each subject, at least 1.
    n_expressions : {7, 8}, default=7
        7 draws anger, disgust, fear, happiness, sadness, surprise and the neutral face; 8 adds
        contempt.
    image_size : int, default=96
        Height and width of the images in pixels, at least 24.
    occlusion : float, default=0.2
        Share of the images, in [0, 1], whose face is partly covered by sunglasses, a mask or a
        hand.
    max_yaw : float, default=30.0
        Largest turn of the head to either side, in degrees, in [0, 45]. Turns are distributed
        uniformly between `-max_yaw` and `max_yaw`.
    label_noise : float, default=0.0
        Share of the labels, in [0, 1], that are replaced by another expression's.
    random_state : int, RandomState instance or None, default=None
        Determines the subjects, their images and the wrong labels. Pass an int for reproducible
        output across multiple function calls. With the same int, the first subjects look the
        same however many subjects are drawn.
    return_X_y : bool, default=False
        If True, return `(images, target)` instead of a Bunch.

    Returns
    -------
    data : :class:`~sklearn.utils.Bunch`
        The images are sorted by subject, then by expression. With `n_images` = `n_subjects` ×
        `n_expressions` × `n_per_expression`, the fields are:

        images : ndarray of shape (n_images, image_size, image_size, 3), dtype uint8
            RGB pictures.
        target : ndarray of shape (n_images,), dtype int64
            Index into `target_names`, after `label_noise`.
        target_clean : ndarray of shape (n_images,), dtype int64
            The expression that was drawn.
        target_names : ndarray of shape (n_expressions,), dtype str
            Names of the expressions, in FER2013's order and spelling.
        groups : ndarray of shape (n_images,), dtype int64
            Subject of each image, from 0 to `n_subjects` - 1.
        subject_ids : ndarray of shape (n_subjects,), dtype int64
            Number that determines the subject's look; always even.
        occlusion : ndarray of shape (n_images,), dtype str
            What covers the face: "none", "sunglasses", "mask" or "hand".
        yaw, pitch, roll : ndarrays of shape (n_images,), dtype float64
            Turn of the head to the picture's right, nod downwards and tilt clockwise, in degrees.
        intensity : ndarray of shape (n_images,), dtype float64
            Strength of the expression, in [0.5, 1]; 0 for the neutral face.
        light_angle, light_strength : ndarrays of shape (n_images,), dtype float64
            Where the light comes from, in degrees clockwise from the picture's right, and its
            strength: 0 is even light.
        skin : ndarray of shape (n_images,), dtype float64
            Skin color of the subject, from 0, the lightest, to 1, the darkest.
        hair, beard : ndarrays of shape (n_images,), dtype str
            The subject's style of hair and beard.
        glasses : ndarray of shape (n_images,), dtype bool
            Whether the subject wears spectacles; sunglasses replace them.
        DESCR : str
            Description of the data.

    (images, target) : tuple of ndarrays if `return_X_y` is True
        The two fields above.

    Raises
    ------
    InvalidParameterError
        If a parameter is of a wrong type or outside its range. It is a `ValueError`.

    See Also
    --------
    load_face_folder : Loads real faces, of any database with a folder per class.
    sklearn_patt_lite.model_selection.SubjectKFold : Splits the faces by their subjects.

    Notes
    -----
    A face is drawn by the movements of the Facial Action Coding System: brows, lids, nose, lips
    and jaw. Subjects differ in the shape and color of all that a face has, in their face at rest,
    and in how they show each expression. Backdrop and light are the subject's own, and the images
    of one expression by one subject resemble each other in the head's pose too, as the frames of
    one recording do. A split that shares subjects is therefore much too optimistic: split by
    `groups`.

    The expressions are plain to the eye in most images, but not to a linear model of the pixels:
    with the defaults, a logistic regression of 32 × 32 gray values tells the expression of about
    a quarter of the images of unseen subjects, where guessing tells one seventh.

    These are drawings. Results on them tell whether a method works as intended; they say nothing
    about its accuracy on real faces, nor about its fairness to real people.

    Examples
    --------
    >>> from sklearn_patt_lite.datasets import make_expression_faces
    >>> faces = make_expression_faces(n_subjects=3, n_per_expression=1, random_state=0)
    >>> faces.images.shape
    (21, 96, 96, 3)
    >>> faces.target_names[faces.target[:4]].tolist()
    ['angry', 'disgust', 'fear', 'happy']
    >>> faces.groups.tolist()
    [0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2]
    >>> int((faces.occlusion != "none").sum())
    4
    """
    random_state = check_random_state(random_state)
    seed = int(random_state.randint(2**31 - 1))
    data = _draw_dataset(
        _draw_subject_ids(n_subjects, random_state),
        n_per_expression=n_per_expression,
        n_expressions=n_expressions,
        image_size=image_size,
        occlusion=occlusion,
        max_yaw=max_yaw,
        label_noise=label_noise,
        seed=seed,
    )
    return (data.images, data.target) if return_X_y else data


def _draw_subject_ids(n_subjects, random_state):
    """Draw distinct even ids; the odd ones are kept for the faces that backbones are trained on."""
    drawn = 2 * random_state.randint(2**31 - 1, size=2 * n_subjects, dtype=np.int64)
    first = np.sort(np.unique(drawn, return_index=True)[1])
    return drawn[first[:n_subjects]]
