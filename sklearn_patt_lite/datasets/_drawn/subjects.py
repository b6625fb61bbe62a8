"""The people of the drawn faces: their look, and how they show each expression."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from sklearn_patt_lite.datasets._drawn.geometry import HAIRLINES, mix, shade
from sklearn_patt_lite.datasets._expressions import EXPRESSIONS

NEUTRAL = EXPRESSIONS.index("neutral")
SKIN_COLORS = (250, 214, 188), (84, 52, 40)  # the lightest and the darkest
HAIR_COLORS = (
    (28, 22, 22),
    (70, 45, 30),
    (120, 75, 40),
    (196, 158, 92),
    (150, 66, 36),
    (150, 148, 146),
)
EYE_COLORS = (62, 40, 26), (90, 62, 36), (70, 100, 140), (80, 110, 80)


class Actions(NamedTuple):
    """How far each movement of the face goes: 0 at rest, about 1 at its strongest.

    The movements follow the action units (AU) of the Facial Action Coding System.
    """

    brow_inner: float = 0.0  # AU 1 lifts it, AU 4 lowers it
    brow_outer: float = 0.0  # AU 2
    brow_together: float = 0.0  # AU 4
    furrow: float = 0.0  # AU 4: lines between the brows
    forehead: float = 0.0  # AU 1+2: lines across the forehead
    lids: float = 0.0  # AU 5 opens the eyes, AU 43 closes them
    squint: float = 0.0  # AU 6 and 7: raised lower lid
    wrinkle: float = 0.0  # AU 9: wrinkled nose
    upper_lip: float = 0.0  # AU 10
    fold: float = 0.0  # AU 11: from the nose to the corners of the mouth
    corners: float = 0.0  # AU 12 lifts the corners of the mouth, AU 15 lowers them
    one_sided: float = 0.0  # AU 14 on one side
    width: float = 0.0  # AU 20 stretches the mouth, AU 18 and 27 narrow it
    press: float = 0.0  # AU 24
    teeth: float = 0.0  # AU 25
    jaw: float = 0.0  # AU 26 and 27


PROTOTYPES = {
    "angry": Actions(
        brow_inner=-1, brow_outer=0.35, brow_together=1, furrow=1, squint=0.35, corners=-0.4,
        width=-0.1, press=0.9, fold=0.2,
    ),
    "disgust": Actions(
        brow_inner=-0.5, brow_outer=-0.35, brow_together=0.4, lids=-0.35, squint=0.65, wrinkle=1,
        upper_lip=1, fold=1, corners=-0.6, teeth=0.25,
    ),
    "fear": Actions(
        brow_inner=1.1, brow_outer=0.3, brow_together=0.6, forehead=0.7, lids=0.75, corners=-0.35,
        width=0.4, teeth=0.7, jaw=0.3,
    ),
    "happy": Actions(
        brow_inner=0.1, brow_outer=0.2, lids=-0.1, squint=0.55, fold=0.7, corners=1.1, width=0.4,
        teeth=0.8, jaw=0.25,
    ),
    "sad": Actions(
        brow_inner=0.9, brow_outer=-0.5, brow_together=0.4, lids=-0.4, corners=-1, width=-0.15,
        press=0.1,
    ),
    "surprise": Actions(
        brow_inner=1, brow_outer=1.1, forehead=1, lids=0.8, width=-0.5, jaw=1,
    ),
    "neutral": Actions(),
    "contempt": Actions(lids=-0.2, squint=0.2, one_sided=1, press=0.4, fold=0.2),
}  # fmt: skip
# Muscles that move together (brows, eyes, nose, mouth), in the order of the movements: a subject
# may show anger by the brows more than by the mouth.
REGIONS = np.repeat([0, 1, 2, 3], [5, 2, 3, 6])
# How much subjects differ in each movement: a raised corner of the mouth is a trait of many,
# an open jaw at rest is not.
VARIETY = np.array(
    Actions(
        brow_inner=1, brow_outer=1, brow_together=1, furrow=0.5, forehead=0.5, lids=1, squint=0.7,
        wrinkle=0.4, upper_lip=0.4, fold=0.7, corners=1, one_sided=0.3, width=1, press=1,
        teeth=0.4, jaw=0.2,
    )
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Subject:
    """The look and the habits of one person; lengths in face units (see `geometry`)."""

    head_width: float
    jaw_taper: float
    skin: float
    skin_color: tuple
    lip_color: tuple
    hair: str
    hair_color: tuple
    beard: str
    glasses: bool
    eye_color: tuple
    eye_width: float
    eye_height: float
    eye_spacing: float
    brow_color: tuple
    brow_thickness: float
    brow_height: float
    brow_arch: float
    nose_length: float
    nose_width: float
    mouth_width: float
    mouth_y: float
    lip_thickness: float
    shirt_color: tuple
    backdrop: np.ndarray  # (3, 3, 3) colors, blended over the picture
    light_angle: float
    light_strength: float
    stronger_side: int  # of the face, in a one-sided expression
    resting: np.ndarray  # (n_actions,): the face when it shows nothing
    gains: np.ndarray  # (n_expressions, n_actions): how the subject shows each expression
    manner: np.ndarray  # (n_expressions, n_actions), added to it
    turn: np.ndarray  # (n_expressions,): usual yaw in each recording, as a share of the largest
    bearing: np.ndarray  # (n_expressions, 4): how the head is held in each recording


def draw_subject(subject_id):
    """Draw the person of a non-negative integer id, always the same one."""
    rng = np.random.default_rng(subject_id)
    looks = _draw_coloring(rng) | _draw_features(rng)
    return Subject(**looks, **_draw_setting(rng), **_draw_habits(rng))


def _draw_coloring(rng):
    skin = float(rng.uniform())
    skin_color = mix(*SKIN_COLORS, skin)
    # Fair hair is rare on dark skin; with it, brows would also hardly be seen.
    hair_color = HAIR_COLORS[rng.integers(2 if skin > 0.6 else len(HAIR_COLORS))]
    hair_color = shade(hair_color, rng.uniform(0.75, 1.25))
    beard = rng.choice(["none", "stubble", "moustache", "full"], p=[0.7, 0.12, 0.08, 0.1])
    return {
        "skin": skin,
        "skin_color": skin_color,
        "lip_color": mix(skin_color, (170, 50, 60), rng.uniform(0.3, 0.7)),
        "hair": str(rng.choice(list(HAIRLINES), p=[0.08, 0.22, 0.16, 0.18, 0.22, 0.14])),
        "hair_color": hair_color,
        "brow_color": shade(mix(hair_color, skin_color, 0.1), 0.6),
        "beard": str(beard),
        "glasses": bool(rng.uniform() < 0.2),
        "eye_color": EYE_COLORS[rng.integers(len(EYE_COLORS))],
    }


def _draw_features(rng):
    return {
        "head_width": rng.uniform(0.66, 0.82),
        "jaw_taper": rng.uniform(0.05, 0.3),
        "eye_width": rng.uniform(0.15, 0.195),
        "eye_height": rng.uniform(0.07, 0.105),
        "eye_spacing": rng.uniform(0.28, 0.35),
        "brow_thickness": rng.uniform(0.045, 0.1),
        "brow_height": rng.uniform(-0.03, 0.03),
        "brow_arch": rng.uniform(0.0, 0.07),
        "nose_length": rng.uniform(0.85, 1.1),
        "nose_width": rng.uniform(0.1, 0.17),
        "mouth_width": rng.uniform(0.24, 0.33),
        "mouth_y": rng.uniform(0.58, 0.65),
        "lip_thickness": rng.uniform(0.035, 0.085),
    }


def _draw_setting(rng):
    backdrop = rng.uniform(50, 210) + rng.normal(0, 15, 3) + rng.normal(0, 15, (3, 3, 3))
    return {
        "shirt_color": tuple(rng.integers(20, 235, 3).tolist()),
        "backdrop": np.clip(backdrop, 0, 255).astype(np.uint8),
        "light_angle": rng.uniform(-180, 180),
        "light_strength": rng.uniform(0.1, 0.45),
    }


def _draw_habits(rng):
    n_expressions = len(EXPRESSIONS)
    return {
        "stronger_side": int(rng.choice([-1, 1])),
        "resting": rng.normal(0, 0.17 * VARIETY),
        "gains": rng.uniform(0.6, 1.25, (n_expressions, 4))[:, REGIONS],
        "manner": rng.normal(0, 0.13 * VARIETY, (n_expressions, len(VARIETY))),
        "turn": rng.uniform(-1, 1, n_expressions),
        # Roll and pitch in degrees, then the shift across and down.
        "bearing": rng.normal(0, (5, 4, 0.06, 0.06), (n_expressions, 4)),
    }
