"""Helpers shared by all displays: axes, titles and class names."""

import math
from numbers import Integral

import numpy as np
from sklearn.utils import check_scalar

# Blue and vermilion of Okabe and Ito, which the colour-blind tell apart.
RIGHT, WRONG, UNKNOWN = "#0072B2", "#D55E00", "black"
_IMAGE_INCHES = 1.6  # side of one image in a new figure
_TITLE_INCHES = 0.4  # its title of two lines
_BAR_INCHES = 1.1  # a bar that explains colours, with its label


def check_matplotlib(name):
    """Ask for Matplotlib.

    Raises
    ------
    ImportError
        If it is not installed; the message names who needs it, and the extra.
    """
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise ImportError(
            f"{name} draws with Matplotlib, which is not installed: it comes with the extra "
            "'displays' of sklearn-patt-lite."
        ) from error


def panels(ax, n_rows, n_columns, size):
    """Find axes for panels in rows and columns.

    Parameters
    ----------
    ax : None, matplotlib.axes.Axes or array-like of Axes
        None: those of a new figure. One: its place is divided, as scikit-learn's
        `PartialDependenceDisplay` does. Several: these, in order; there must be as many as there
        are panels.
    n_rows, n_columns : int
        Number of panels.
    size : (float, float)
        Inches of a new figure.

    Returns
    -------
    ndarray of shape (n_rows * n_columns,) of Axes
        Row by row.

    Raises
    ------
    TypeError
        If `ax` holds anything but axes.
    ValueError
        If several axes are given, and not as many as panels, or if the place of a single one cannot
        be divided.
    """
    import matplotlib.pyplot as plt

    n = n_rows * n_columns
    if ax is None:
        figure = plt.figure(figsize=size, layout="constrained")
        return figure.subplots(n_rows, n_columns, squeeze=False).ravel()
    axes = given_axes(ax)
    if len(axes) == n:
        return axes
    if len(axes) > 1:
        raise ValueError(f"ax holds {len(axes)} axes, but {n} are needed; or give a single one.")
    place = axes[0].get_subplotspec()
    if place is None:
        raise ValueError(
            "The place of ax cannot be divided: give one of plt.subplots(), or one a panel."
        )
    axes[0].set_axis_off()
    return place.subgridspec(n_rows, n_columns).subplots(squeeze=False).ravel()


def given_axes(ax):
    """Flatten what a user gives as `ax`: an ndarray of Axes, at least one.

    Raises
    ------
    TypeError
        If it holds anything else.
    """
    from matplotlib.axes import Axes

    axes = np.asarray(ax, dtype=object).ravel()
    if len(axes) == 0 or not all(isinstance(each, Axes) for each in axes):
        raise TypeError(f"ax must be Axes of Matplotlib, or an array of them, got {ax!r}.")
    return axes


def image_panels(ax, n, n_columns, *, with_bar=False):
    """Find axes for n images without ticks; parameters and errors as in `panels`.

    With `with_bar` a new figure has room beside them for `add_colorbar`.
    """
    check_scalar(n_columns, "n_columns", Integral, min_val=1)
    if ax is not None and len(given_axes(ax)) == n:
        axes = given_axes(ax)
    else:
        n_columns = min(n, n_columns)
        n_rows = math.ceil(n / n_columns)
        width = n_columns * _IMAGE_INCHES + with_bar * _BAR_INCHES
        size = width, n_rows * (_IMAGE_INCHES + _TITLE_INCHES)
        axes = panels(ax, n_rows, n_columns, size)
    for each in axes:
        each.set_axis_off()
    return axes[:n]


def show_face(ax, image):
    """Show an image of shape (height, width, 1 or 3), values 0 to 255."""
    pixels = np.clip(np.rint(image), 0, 255).astype(np.uint8)
    ax.imshow(np.broadcast_to(pixels, (*pixels.shape[:2], 3)))


def title_of(ax, predicted, probability, true=None, shown=None):
    """Write what was predicted above an image, in blue if it is right, in vermilion if not.

    Below it are the true class, and the class that is shown, where these are others.
    """
    lines, color = [f"{predicted} {100 * probability:.0f} %"], UNKNOWN
    if true is not None:
        color = RIGHT if true == predicted else WRONG
    if true is not None and true != predicted:
        lines.append(f"is {true}")
    if shown is not None and shown != predicted:
        lines.append(f"for {shown}")
    ax.set_title("\n".join(lines), fontsize="small", color=color)


def add_colorbar(axes, cmap, lowest, highest, label):
    """Explain the colours of all panels beside them."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    colors = ScalarMappable(Normalize(lowest, highest), cmap)
    bar = axes[0].figure.colorbar(colors, ax=list(axes), shrink=0.8)
    bar.set_label(label, fontsize="small")
    bar.ax.tick_params(labelsize="small")
