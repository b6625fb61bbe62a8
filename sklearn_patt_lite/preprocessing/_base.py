"""Common base of the image transformers."""

from typing import Literal, Self

from sklearn.base import TransformerMixin

from sklearn_patt_lite._callbacks.support import CallbackSupportMixin


class ImageTransformerMixin(CallbackSupportMixin, TransformerMixin):
    """Stateless transformer from images or paths to images: learns nothing from the data."""

    def set_output(
        self, *, transform: Literal["default", "pandas", "polars"] | None = None
    ) -> Self:
        """
        Leave images as arrays, even if a pipeline is set to output tables.

        `Pipeline.set_output` calls this on every step. Images have no columns: they stay an array.

        Parameters
        ----------
        transform : {"default", "pandas", "polars"}, default=None
            Ignored.

        Returns
        -------
        self
            The transformer.

        See Also
        --------
        sklearn.pipeline.Pipeline.set_output : Calls this on every step.

        Examples
        --------
        >>> from sklearn_patt_lite.preprocessing import FaceResizer
        >>> FaceResizer(size=64).set_output(transform="pandas")
        FaceResizer(size=64)
        """
        return self

    def __sklearn_is_fitted__(self):
        return True

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.requires_fit = False
        tags.input_tags.two_d_array = False
        tags.input_tags.three_d_array = True
        return tags
