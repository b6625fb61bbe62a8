"""Attention as in a transformer: with learned projections, and with a residual connection."""

from unittest.mock import patch

from keras import layers

from sklearn_patt_lite import PAttLiteClassifier


class ProjectedAttention(PAttLiteClassifier):
    """Projects the tokens to queries, keys and values first; the paper's are the tokens."""

    _residual = False

    def _build(self, architecture, seed):
        with patch("sklearn_patt_lite._network.patt_lite._attend", self._attend):
            return super()._build(architecture, seed)

    def _attend(self, tokens, name):
        depth = tokens.shape[-1]
        query, key, value = (layers.Dense(depth, name=f"{name}_{i}")(tokens) for i in "qkv")
        query = layers.Rescaling(depth**-0.5, name="query")(query)
        attended = layers.Attention(name=name)([query, value, key])
        if not self._residual:
            return attended
        return layers.Add(name=f"{name}_residual")([tokens, attended])


class ProjectedResidualAttention(ProjectedAttention):
    """Adds what it attends to to the tokens."""

    _residual = True
