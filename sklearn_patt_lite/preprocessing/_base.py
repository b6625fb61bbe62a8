"""What the transformers of images have in common."""

from typing import Literal, Self

from sklearn.base import TransformerMixin

from sklearn_patt_lite._callbacks.support import CallbackSupportMixin


class ImageTransformerMixin(CallbackSupportMixin, TransformerMixin):
    """Images or paths in, images out; stateless: nothing is learned from the data."""

    def set_output(
        self, *, transform: Literal["default", "pandas", "polars"] | None = None
    ) -> Self:
        """
        Leave images as they are, for pipelines that ask for tables.

        `Pipeline.set_output` calls it on every step. Images have no columns: they stay an array.

        Parameters
        ----------
        transform : {"default", "pandas", "polars"}, default=None
            Not used.

        Returns
        -------
        self
            The transformer.

        See Also
        --------
        sklearn.pipeline.Pipeline.set_output : Calls it.

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
