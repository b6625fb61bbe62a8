"""The geometry of a drawn head: where its features lie, and how they are painted.

Lengths are in *face units*: 1 is half of the head's height at rest. The origin is the middle of
the head; x points to the right of the picture, y down and z towards the camera. Features are
placed on the skin of a head that looks straight ahead, and :class:`HeadCanvas` turns the head, so
that a feature moves and foreshortens with its depth.

``subjects`` says what a *subject* (the look of one person) and the *actions* of a face (how
far each of its muscles moves it) are.
"""

import numpy as np
from PIL import ImageDraw

HEAD_DEPTH = 0.6  # of the skin in front of the axis about which the head turns
CHIN_DEPTH = 0.32  # the jaw stands forward of that axis, so that the chin follows a turn
HEAD_SIZE = 0.41  # face unit, as a share of the image's side
EYE_Y, BROW_Y, NOSE_TIP_Y = 0.0, -0.24, 0.34
EYEBALL_COLOR, PUPIL_COLOR, MOUTH_COLOR = (240, 238, 232), (15, 12, 12), (70, 18, 24)
TEETH_COLOR, LENS_COLOR = (244, 240, 228), (22, 24, 30)
# The hairline of each style: its height in the middle and at the sides, and its slant.
HAIRLINES = {
    "bald": None,
    "crop": (-0.62, -0.28, 0.0),
    "fringe": (-0.44, -0.1, 0.06),
    "parting": (-0.68, -0.15, 0.22),
    "long": (-0.66, 0.3, 0.12),
    "curly": (-0.56, -0.05, 0.0),
}
_ANGLES = np.linspace(0, 2 * np.pi, 24, endpoint=False)
_T = np.linspace(-1, 1, 17)  # along a lip, a lid or a hairline


class HeadCanvas:
    """A square picture on which points of a turned head are drawn.

    Parameters
    ----------
    background : PIL.Image.Image
        Square picture to draw on.
    yaw, pitch, roll : float
        Turn of the head to the picture's right, nod downwards, and tilt clockwise, in degrees.
    scale : float
        Size of the head relative to the usual one.
    shift : tuple of float
        Place of the head's middle relative to the picture's, in face units.
    """

    def __init__(self, background, yaw=0.0, pitch=0.0, roll=0.0, scale=1.0, shift=(0.0, 0.0)):
        self.image = background
        self.unit = HEAD_SIZE * scale * background.width
        self._draw = ImageDraw.Draw(background)
        self._turn = np.cos(np.radians(yaw)), np.sin(np.radians(yaw))
        self._nod = np.cos(np.radians(pitch)), np.sin(np.radians(pitch))
        self._tilt = np.cos(np.radians(roll)), np.sin(np.radians(roll))
        self._middle = background.width / 2 + self.unit * np.asarray(shift)

    def project(self, x, y, z):
        """Pixel coordinates, interleaved in one flat list, of points of the head."""
        x, y = x * self._turn[0] + z * self._turn[1], y * self._nod[0] + z * self._nod[1]
        across = x * self._tilt[0] - y * self._tilt[1]
        down = x * self._tilt[1] + y * self._tilt[0]
        points = self._middle + self.unit * np.stack([across, down], axis=-1)
        return points.ravel().tolist()

    def area(self, x, y, color, *, z=None, lift=0.0):
        """Fill the polygon of the points (x, y), on the skin (plus `lift`) or at depth `z`."""
        self._draw.polygon(self.project(x, y, skin_depth(x, y, lift) if z is None else z), color)

    def line(self, x, y, color, width, *, z=None, lift=0.0):
        """Draw a line of the given width, in face units, through the points (x, y)."""
        points = self.project(x, y, skin_depth(x, y, lift) if z is None else z)
        self._draw.line(points, color, max(1, round(width * self.unit)), joint="curve")

    def outline(self, x, y, color, *, depth=None):
        """Fill a part of the head's silhouette, which keeps its width when the head turns."""
        depth = CHIN_DEPTH * np.clip(y, 0, 1) ** 2 if depth is None else depth
        self.area(x / self.foreshortening, y, color, z=depth)

    @property
    def foreshortening(self):
        """Cosine of the yaw: the share that remains of a width across the face."""
        return self._turn[0]

    @property
    def turned(self):
        """Sine of the yaw: positive where the head is turned to the picture's right."""
        return self._turn[1]


def skin_depth(x, y, lift=0.0):
    """Depth of the skin at (x, y): the front of an ellipsoid."""
    return HEAD_DEPTH * np.sqrt(np.maximum(0.02, 1 - (x / 0.95) ** 2 - (y / 1.25) ** 2)) + lift


def shade(color, factor):
    """`color` made darker (a factor below 1) or lighter."""
    return tuple(min(255, round(channel * factor)) for channel in color)


def mix(color, other, share):
    """`color` with the given share of `other`."""
    return tuple(round((1 - share) * a + share * b) for a, b in zip(color, other, strict=True))


def ellipse(x, y, width, height):
    """Points around the ellipse of the given half-axes."""
    return x + width * np.cos(_ANGLES), y + height * np.sin(_ANGLES)


def _head_edge(subject, jaw, angles):
    """Points of the head's outline; angle 0 is the crown, and an open jaw lengthens the chin."""
    y = -np.cos(angles)
    below = np.clip(y, 0, None)
    # A crown is flatter than an ellipse, and cheeks are fuller.
    flat = np.sign(np.sin(angles)) * np.abs(np.sin(angles)) ** 0.85
    x = subject.head_width * flat * (1 - subject.jaw_taper * below**2)
    x *= 1 + 0.1 * below * (1 - below)
    return x, y * np.where(y > 0, 1 + 0.14 * max(jaw, 0), 1)


def paint_body(canvas, subject):
    """Paint the neck, the shoulders, and the hair behind them."""
    for_hair = {"long": (0.95, 0.3, 1.15), "curly": (1.02, -0.28, 0.92)}
    if subject.hair in for_hair:
        width, y, height = for_hair[subject.hair]
        canvas.outline(*ellipse(0, y, width, height), subject.hair_color, depth=-0.2)
    neck, shoulders = 0.42, 1.25
    x = np.array([-neck, neck, neck, -neck])
    canvas.area(x, np.array([0.6, 0.6, 1.5, 1.5]), shade(subject.skin_color, 0.78), z=-0.1)
    x = np.array([-shoulders * 1.1, -shoulders, -neck, 0, neck, shoulders, shoulders * 1.1])
    y = np.array([2.2, 1.4, 1.2, 1.32, 1.2, 1.4, 2.2])
    canvas.area(x, y, subject.shirt_color, z=-0.2)


def paint_skull(canvas, subject, jaw):
    """Paint the head and its ears, the nearer one over it."""
    nearer = -1 if canvas.turned > 0 else 1
    _paint_ear(canvas, subject, -nearer)
    edge = _head_edge(subject, jaw, np.linspace(0, 2 * np.pi, 48, endpoint=False))
    canvas.outline(*edge, subject.skin_color)
    _paint_ear(canvas, subject, nearer)


def _paint_ear(canvas, subject, side):
    for size, color in (
        (1, shade(subject.skin_color, 0.9)),
        (0.55, shade(subject.skin_color, 0.7)),
    ):
        ear = ellipse(side * subject.head_width * 1.02, 0.08, 0.11 * size, 0.19 * size)
        canvas.area(*ear, color, z=-0.08)


def paint_beard(canvas, subject, jaw):
    """Paint the beard that the subject wears: stubble, moustache or full."""
    if subject.beard in ("stubble", "full"):
        share = 0.25 if subject.beard == "stubble" else 0.85
        x, y = _head_edge(subject, jaw, np.linspace(0.52 * np.pi, 1.48 * np.pi, 25))
        top = 0.34 + 0.22 * (1 - (_T / 0.95) ** 2)
        x = np.concatenate([x, 0.85 * subject.head_width * _T])
        depth = np.concatenate([CHIN_DEPTH * np.clip(y, 0, 1) ** 2, skin_depth(x[25:], top)])
        color = mix(subject.skin_color, subject.hair_color, share)
        canvas.outline(x, np.concatenate([y, top]), color, depth=depth)
    if subject.beard in ("moustache", "full"):
        y = subject.mouth_y - 0.1 + 0.06 * _T**2
        x = 1.05 * subject.mouth_width * _T
        points = np.concatenate([x, x[::-1]]), np.concatenate([y - 0.06 * (1 - _T**2), y[::-1]])
        canvas.area(*points, subject.hair_color, lift=0.04)


def paint_lines(canvas, subject, actions):
    """Paint the lines that an expression makes on forehead, nose and cheeks."""
    color = shade(subject.skin_color, 0.72)
    if actions.forehead > 0.3:
        for y in (-0.5, -0.58):
            canvas.line(0.34 * _T, y + 0.04 * _T**2, color, 0.022 * actions.forehead)
    for side in (-1, 1):
        if actions.furrow > 0.3:
            x, y = side * np.array([0.045, 0.06]), np.array([BROW_Y - 0.1, BROW_Y + 0.06])
            canvas.line(x, y, color, 0.03 * actions.furrow)
        if actions.wrinkle > 0.3:
            for y in (0.04, 0.11, 0.18):
                x = side * np.array([0.02, 0.12])
                canvas.line(x, np.array([y, y - 0.05]), color, 0.03 * actions.wrinkle, lift=0.08)
        if actions.fold > 0.3:
            bend = 0.06 * (1 - _T**2)
            x = side * (subject.mouth_width * 0.85 + 0.06 * _T + bend)
            y = 0.45 + 0.15 * _T - 0.05 * actions.fold
            canvas.line(x, y, color, 0.035 * actions.fold)


def _lip_curves(subject, actions):
    """Give x and the heights of the lips' four edges, from the upper lip's top downwards."""
    x = subject.mouth_width * (1 + 0.4 * actions.width) * _T
    bow, square = 1 - _T**2, 1 - _T**4
    lifted = actions.corners + 1.2 * actions.one_sided * np.clip(subject.stronger_side * _T, 0, 1)
    middle = subject.mouth_y + 0.14 * lifted * (0.45 - _T**2) + 0.08 * max(actions.jaw, 0)
    opening = 0.4 * max(actions.jaw, 0) + 0.12 * max(actions.teeth, 0)
    inner_top = middle - (0.35 * opening + 0.1 * max(actions.upper_lip, 0)) * bow
    inner_bottom = middle + 0.65 * opening * square
    lip = subject.lip_thickness * (1 - 0.75 * np.clip(actions.press, 0, 1)) * np.sqrt(bow)
    return x, inner_top - 0.8 * lip, inner_top, inner_bottom, inner_bottom + lip


def paint_mouth(canvas, subject, actions):
    """Paint the lips, and what an open mouth shows."""
    x, top, inner_top, inner_bottom, bottom = _lip_curves(subject, actions)
    both = np.concatenate([x, x[::-1]])
    canvas.area(both, np.concatenate([top, bottom[::-1]]), subject.lip_color, lift=0.04)
    canvas.area(both, np.concatenate([inner_top, inner_bottom[::-1]]), MOUTH_COLOR, lift=0.04)
    if actions.teeth > 0.1:
        teeth = np.minimum(inner_bottom, inner_top + 0.13 * min(actions.teeth, 1))
        canvas.area(both, np.concatenate([inner_top, teeth[::-1]]), TEETH_COLOR, lift=0.04)
    canvas.line(x, inner_top, shade(MOUTH_COLOR, 0.8), 0.025, lift=0.04)


def paint_nose(canvas, subject, actions):
    """Paint the nose, whose tip stands forward and so shows a turn of the head most."""
    width = subject.nose_width * (1 + 0.25 * max(actions.wrinkle, 0))
    tip = NOSE_TIP_Y * subject.nose_length - 0.05 * max(actions.wrinkle, 0)
    side = 1 if canvas.turned > 0 else -1
    lifts = np.array([0.06, 0.3, 0.12])
    x, y = side * np.array([0.05, 0.02, width]), np.array([0.0, tip, tip + 0.03])
    canvas.area(x, y, shade(subject.skin_color, 0.84), lift=lifts)
    canvas.area(*ellipse(0, tip, 0.6 * width, 0.07), shade(subject.skin_color, 1.06), lift=0.24)
    for side in (-1, 1):
        nostril = ellipse(side * 0.5 * width, tip + 0.065, 0.04, 0.026)
        canvas.area(*nostril, shade(subject.skin_color, 0.45), lift=0.17)
        x = side * width * np.array([0.9, 1.08, 0.85])
        y = tip + np.array([-0.06, 0.02, 0.075])
        canvas.line(x, y, shade(subject.skin_color, 0.66), 0.022, lift=0.1)


def paint_eyes(canvas, subject, actions, gaze):
    """Paint both eyes, their irises turned by `gaze` (in face units)."""
    above = subject.eye_height * np.clip(1 + 0.75 * actions.lids, 0.15, 2)
    below = 0.6 * subject.eye_height * np.clip(1 + 0.2 * actions.lids - actions.squint, 0.05, 1.6)
    bow = 1 - _T**2
    for side in (-1, 1):
        x = side * subject.eye_spacing + subject.eye_width * _T
        both = np.concatenate([x, x[::-1]])
        lids = EYE_Y - above * bow, EYE_Y + below * bow
        canvas.area(both, np.concatenate([lids[0], lids[1][::-1]]), EYEBALL_COLOR)
        for radius, color in ((0.085, subject.eye_color), (0.04, PUPIL_COLOR)):
            iris = ellipse(side * subject.eye_spacing + gaze, EYE_Y - 0.01, radius, radius)
            seen = np.clip(iris[1], *(np.interp(iris[0], x, lid) for lid in lids))
            canvas.area(iris[0], seen, color)
        canvas.line(x, lids[0], shade(subject.hair_color, 0.35), 0.03)
        canvas.line(x, lids[1], shade(subject.skin_color, 0.62), 0.018)
        if actions.squint > 0.35:
            bag = lids[1] + 0.07 + 0.02 * bow
            canvas.line(x, bag, shade(subject.skin_color, 0.78), 0.02)


def paint_brows(canvas, subject, actions):
    """Paint the brows; the `stronger_side` of a one-sided expression lifts its own."""
    along = np.linspace(0, 1, 9)
    arch = subject.brow_arch * np.sin(np.pi * along)
    thickness = subject.brow_thickness * (1 - 0.6 * along**2)
    for side in (-1, 1):
        own = 0.45 * actions.one_sided * (side == subject.stronger_side)
        inner = 0.14 * actions.brow_inner + 0.05 * own
        outer = 0.12 * (actions.brow_outer + own)
        x = side * (0.13 - 0.05 * actions.brow_together + (subject.eye_spacing + 0.05) * along)
        y = BROW_Y + subject.brow_height - inner * (1 - along) - outer * along - arch
        points = np.concatenate([x, x[::-1]]), np.concatenate([y, (y + thickness)[::-1]])
        canvas.area(*points, subject.brow_color, lift=0.04)


def paint_glasses(canvas, subject):
    """Paint spectacles of thin frames."""
    frame = shade(subject.hair_color, 0.3)
    for side in (-1, 1):
        x, y = ellipse(side * subject.eye_spacing, 0.02, 0.24, 0.19)
        canvas.line(np.append(x, x[:2]), np.append(y, y[:2]), frame, 0.03, lift=0.12)
    _paint_temples(canvas, subject, frame)


def _paint_temples(canvas, subject, color):
    inner, outer = subject.eye_spacing - 0.22, subject.eye_spacing + 0.22
    canvas.line(np.array([-inner, inner]), np.zeros(2), color, 0.035, lift=0.12)
    for side in (-1, 1):
        if side * canvas.turned < 0.1:  # the farther temple hides behind the head
            x = side * np.array([outer, subject.head_width])
            canvas.line(x, np.array([0.0, -0.02]), color, 0.035, z=np.array([0.55, 0.0]))


def paint_hair(canvas, subject):
    """Paint the hair above the hairline."""
    if HAIRLINES[subject.hair] is None:
        return
    middle, side, slant = HAIRLINES[subject.hair]
    reach = np.arccos(-side)
    x, y = _head_edge(subject, 0.0, np.linspace(-reach, reach, 25))
    line = middle + (side - middle) * np.abs(_T) ** 3 + slant * _T * (1 - _T**2)
    inner = 0.93 * subject.head_width * _T[::-1]
    depth = np.concatenate([np.full(25, -0.05), skin_depth(inner, line[::-1], -0.05)])
    # The outline keeps its width in a turn, whereas the hairline lies on the skin.
    outer = 1.06 * x / canvas.foreshortening
    points = np.concatenate([outer, inner]), np.concatenate([1.08 * y, line[::-1]])
    canvas.area(*points, subject.hair_color, z=depth)


def paint_sunglasses(canvas, subject, place):
    """Cover the eyes, and a part of the brows, with dark lenses."""
    size = 0.26 + 0.04 * place
    for side in (-1, 1):
        lens = ellipse(side * subject.eye_spacing, 0.0, size, 0.85 * size)
        canvas.area(*lens, LENS_COLOR, lift=0.1)
    _paint_temples(canvas, subject, LENS_COLOR)


def paint_mask(canvas, subject, place):
    """Cover the nose and the mouth with a mask as worn in hospitals."""
    color = mix((235, 240, 245), (95, 150, 190), place)
    for side in (-1, 1):
        x = side * subject.head_width * np.array([0.75, 1.0])
        canvas.line(x, np.array([0.32, 0.1]), color, 0.03, z=np.array([0.35, -0.05]))
    x = subject.head_width * np.array([-0.84, 0, 0.84, 0.76, 0.36, 0, -0.36, -0.76])
    y = np.array([0.28, 0.16, 0.28, 0.68, 1.0, 1.1, 1.0, 0.68])
    canvas.area(x, y, color, lift=np.array([0, 0.2, 0, 0, 0, 0.1, 0, 0]))
    for fold in (0.5, 0.7):
        canvas.line(0.5 * _T, fold + 0.04 * (1 - _T**2), shade(color, 0.8), 0.02, lift=0.1)


def paint_hand(canvas, subject, place):
    """Hold a hand, fingers upwards, before a part of the face; `place` moves it across."""
    x, y = 1.1 * (place - 0.5), 0.72 - 0.35 * abs(place - 0.5)
    skin, edge = shade(subject.skin_color, 0.93), shade(subject.skin_color, 0.6)
    canvas.area(*ellipse(x, y + 0.42, 0.33, 0.38), edge, z=0.8)
    for color, width in ((edge, 0.17), (skin, 0.13)):
        for finger, length in ((-0.24, 0.42), (-0.08, 0.52), (0.08, 0.5), (0.24, 0.4)):
            base, tip = (x + finger, y + 0.3), (x + 1.25 * finger, y + 0.3 - length)
            canvas.line(*np.transpose([base, tip]), color, width, z=0.8)
            canvas.area(*ellipse(*tip, width / 2, width / 2), color, z=0.8)
    canvas.area(*ellipse(x, y + 0.42, 0.31, 0.36), skin, z=0.8)


COVERINGS = {"sunglasses": paint_sunglasses, "mask": paint_mask, "hand": paint_hand}
