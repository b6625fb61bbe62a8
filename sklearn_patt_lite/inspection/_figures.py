"""What all displays share: a place on the figure, a colour for right and wrong, and names."""

import math

import numpy as np

RIGHT, WRONG, UNKNOWN = "tab:green", "tab:red", "black"
_IMAGE_INCHES = 1.6  # side of one image in a new figure
_TITLE_INCHES = 0.4  # its title of two lines


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
    ValueError
        If several axes are given, and not as many as panels.
    """
    import matplotlib.pyplot as plt

    n = n_rows * n_columns
    if ax is None:
        figure = plt.figure(figsize=size, layout="constrained")
        return figure.subplots(n_rows, n_columns, squeeze=False).ravel()
    axes = np.asarray(ax, dtype=object).ravel()
    if len(axes) == n:
        return axes
    if len(axes) > 1:
        raise ValueError(f"ax holds {len(axes)} axes, but {n} are needed; or give a single one.")
    axes[0].set_axis_off()
    return axes[0].get_subplotspec().subgridspec(n_rows, n_columns).subplots(squeeze=False).ravel()


def image_panels(ax, n, n_columns):
    """Find axes for n images without ticks; parameters and errors as in `panels`."""
    n_given = 0 if ax is None else np.asarray(ax, dtype=object).size
    if n_given == n:
        axes = panels(ax, 1, n, None)
    else:
        n_columns = min(n, n_columns)
        n_rows = math.ceil(n / n_columns)
        size = n_columns * _IMAGE_INCHES, n_rows * (_IMAGE_INCHES + _TITLE_INCHES)
        axes = panels(ax, n_rows, n_columns, size)
    for each in axes:
        each.set_axis_off()
    return axes[:n]


def show_face(ax, image):
    """Show an image of shape (height, width, 1 or 3), values 0 to 255."""
    pixels = np.clip(np.rint(image), 0, 255).astype(np.uint8)
    ax.imshow(np.broadcast_to(pixels, (*pixels.shape[:2], 3)))


def title_of(ax, predicted, probability, true):
    """Write what was predicted above an image, in green if it is right, in red if not."""
    text = f"{predicted} {100 * probability:.0f} %"
    if true is None:
        ax.set_title(text, fontsize="small", color=UNKNOWN)
    elif true == predicted:
        ax.set_title(text, fontsize="small", color=RIGHT)
    else:
        ax.set_title(f"{text}\nis {true}", fontsize="small", color=WRONG)


def note_below(ax, text):
    """Write below an image."""
    place = {"transform": ax.transAxes, "ha": "center", "va": "top"}
    ax.text(0.5, -0.02, text, fontsize="small", **place)


def names_of(labels, target_names):
    """Name labels: by `target_names`, whose indices they then are, or by themselves.

    Raises
    ------
    ValueError
        If a label is no index of `target_names`.
    """
    if target_names is None:
        return [str(label) for label in labels]
    names, labels = list(map(str, target_names)), np.asarray(labels)
    if not np.isin(labels, np.arange(len(names))).all():
        raise ValueError(
            f"With {len(names)} target_names labels must be 0 to {len(names) - 1}, got "
            f"{np.unique(labels).tolist()}."
        )
    return [names[int(label)] for label in labels]
