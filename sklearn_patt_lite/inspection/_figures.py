"""Helpers shared by all displays: axes, titles and class names."""

import math
from numbers import Integral

import numpy as np
from sklearn.utils import check_scalar

# Blue and vermilion of Okabe and Ito, which colour-blind people can tell apart.
RIGHT, WRONG, UNKNOWN = "#0072B2", "#D55E00", "black"
_IMAGE_INCHES = 1.6  # side of one image in a new figure
_TITLE_INCHES = 0.4  # its two-line title
_BAR_INCHES = 1.1  # a colour bar with its label


def check_matplotlib(name):
    """Check that Matplotlib is installed.

    Raises
    ------
    ImportError
        If it is not; the message says what needs it, and names the extra.
    """
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise ImportError(
            f"{name} draws with Matplotlib, which is not installed: it comes with the extra "
            "'displays' of sklearn-patt-lite."
        ) from error


def panels(ax, n_rows, n_columns, size):
    """Find or create axes for panels in rows and columns.

    Parameters
    ----------
    ax : None, matplotlib.axes.Axes or array-like of Axes
        None: axes of a new figure. One: it is subdivided, as in scikit-learn's
        `PartialDependenceDisplay`. Several: used in order; there must be one per panel.
    n_rows, n_columns : int
        Number of panels.
    size : (float, float)
        Size of a new figure, in inches.

    Returns
    -------
    ndarray of shape (n_rows * n_columns,) of Axes
        Axes, row by row.

    Raises
    ------
    TypeError
        If `ax` holds anything but axes.
    ValueError
        If several axes are given, but not one per panel, or if a single one cannot be subdivided.
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
        raise ValueError(f"ax has {len(axes)} axes, but {n} are needed; or pass a single one.")
    place = axes[0].get_subplotspec()
    if place is None:
        raise ValueError("ax cannot be divided: pass one from plt.subplots(), or one per panel.")
    axes[0].set_axis_off()
    return place.subgridspec(n_rows, n_columns).subplots(squeeze=False).ravel()


def given_axes(ax):
    """Flatten the `ax` that a user passes to an ndarray of at least one Axes.

    Raises
    ------
    TypeError
        If it holds anything else.
    """
    from matplotlib.axes import Axes

    axes = np.asarray(ax, dtype=object).ravel()
    if len(axes) == 0 or not all(isinstance(each, Axes) for each in axes):
        raise TypeError(f"ax must be a Matplotlib Axes or an array of them, got {ax!r}.")
    return axes


def image_panels(ax, n, n_columns, *, with_bar=False):
    """Find or create axes without ticks for n images; parameters and errors as in `panels`.

    With `with_bar`, a new figure has room beside them for `add_colorbar`.
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
    """Write the prediction above an image, in blue if it is correct, in vermilion if not.

    Below it are the true class and the class that is shown, where they differ from it.
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
    """Add a bar beside all panels that explains their colours."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    colors = ScalarMappable(Normalize(lowest, highest), cmap)
    bar = axes[0].figure.colorbar(colors, ax=list(axes), shrink=0.8)
    bar.set_label(label, fontsize="small")
    bar.ax.tick_params(labelsize="small")
