"""Types of the prediction columns."""

import importlib.util
from typing import TYPE_CHECKING

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.utils._param_validation import HasMethods
from sklearn.utils.validation import check_is_fitted

from sklearn_patt_lite._typing import validate_params
from sklearn_patt_lite.prediction._files import PROBABILITY

if TYPE_CHECKING:
    import pyarrow


@validate_params({"classifier": [HasMethods(["predict_proba"])]})
def predictions_schema(classifier: ClassifierMixin) -> "pyarrow.Schema":
    """
    Describe the columns of `predict_files` for tables with typed columns.

    Tools that write a table piece by piece, such as Dask and Ray, would otherwise infer the types
    from each piece, and some pieces have no errors or no labels.

    Parameters
    ----------
    classifier : classifier
        As for :func:`predict_files`.

    Returns
    -------
    pyarrow.Schema
        Path and error are string, probabilities are float, and label has the type of the classes.
        Missing values are null.

    Raises
    ------
    ImportError
        If pyarrow is missing; the extra ``parquet`` installs it.
    sklearn.exceptions.NotFittedError
        If the classifier is not fitted.

    See Also
    --------
    predict_files : Returns the columns.
    write_predictions : Writes them to a Parquet file.

    Examples
    --------
    >>> from sklearn_patt_lite import PAttLiteClassifier
    >>> from sklearn_patt_lite.prediction import predictions_schema
    >>> classifier = PAttLiteClassifier.from_pretrained("fer2013")
    >>> print(predictions_schema(classifier).field("label"))
    pyarrow.Field<label: string>
    """
    if importlib.util.find_spec("pyarrow") is None:
        raise ImportError(
            "Parquet files need the package pyarrow: pip install 'sklearn-patt-lite[parquet]'."
        )
    import pyarrow as pa

    check_is_fitted(classifier)
    classes = np.asarray(classifier.classes_).tolist()
    return pa.schema(
        [
            ("path", pa.string()),
            ("label", pa.array(classes).type),
            *((f"{PROBABILITY}{name}", pa.float32()) for name in classes),
            ("error", pa.string()),
        ]
    )
