"""The estimator: PAtt-Lite behind scikit-learn's interface."""

import os
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from sklearn_patt_lite._callbacks.support import CallbackSupportMixin
from sklearn_patt_lite._callbacks.task import Task
from sklearn_patt_lite._features.memory import FeatureMemory, as_feature_memory
from sklearn_patt_lite._network.architecture import count_parameters
from sklearn_patt_lite._network.archive import PRETRAINED, pretrained_file
from sklearn_patt_lite._process import keep_to_share_of_cores
from sklearn_patt_lite._settings import RECIPES, Settings, check_settings
from sklearn_patt_lite._typing import Cache, Images, PathLike, Seed, validate_parameters_first

if TYPE_CHECKING:
    import keras

    from sklearn_patt_lite._persistence.export import ExportReport

_AUTO = StrOptions({"auto"})


class PAttLiteClassifier(CallbackSupportMixin, ClassifierMixin, BaseEstimator):
    """
    Facial expression classifier PAtt-Lite, with a quick training recipe or the paper's.

    PAtt-Lite [1]_ is an ImageNet MobileNetV1, truncated, with a patch extraction block and an
    attention classifier on top: 1.10 million parameters for 7 expressions. Stage 1 trains the head
    on the frozen backbone, and stage 2 the backbone's last layers too. The default recipe does so
    in minutes; the paper's takes hours, and knows photographs less well.

    The published code attends over the images of a *batch*, so that a prediction depends on
    what is predicted next to it. Here attention runs over the patches of one image: a
    prediction depends on its own image only.

    Parameters
    ----------
    recipe : {"transfer", "paper", "modern"}, default="transfer"
        How to train: what "auto" stands for in other parameters (the table is under Notes).

        - "transfer": two stages of few epochs, on small images that are shown turned, shifted and
          zoomed a little, differently in each epoch. In stage 2 the backbone adapts to faces from
          block 5 on, BatchNormalization included; the first four blocks, which take nearly half of
          the time, are only passed forward. It needs no validation data.
        - "paper": the paper's two stages ([1]_, Section IV-B).
        - "modern": everything in one stage. As accurate as "transfer" on a few thousand
          photographs, in nearly three times the time.
    backbone_weights : {"imagenet", "fer2013", "drawn"}, path-like or None, default="imagenet"
        Where the network starts from.

        - "imagenet": Keras' ImageNet weights (downloaded once, 17 MB at `alpha=1`; those for
          224×224 pixels at every `input_size`).
        - "fer2013": the pretrained classifier of `from_pretrained`, inside this package. Scores on
          FER2013 or FERPlus would be too high: it has seen their images.
        - "drawn": a narrow backbone inside this package (`alpha=0.25` only) that was trained on
          drawn faces: for first steps and tests without a download.
        - the path of an earlier classifier: the `.zip` file of `save_model`, or the `.keras` file
          of ``earlier.model_.save(path)``. As from "fer2013", the head is taken over as well, up to
          its first layer of another shape; of the last layer what belongs to labels that were known
          (a `.keras` file knows none).
        - the path of an `.h5` file with the weights of
          ``keras.applications.MobileNet(include_top=False)``.
        - None: random weights. There is nothing worth freezing then: everything, BatchNormalization
          included, trains in one stage, and the parameters of stage 2 are not used.
    alpha : float, default=1.0
        Width multiplier of MobileNetV1; 0.25, 0.5, 0.75 or 1.0 for ImageNet weights.
    input_size : int or "auto", default="auto"
        Side, in pixels, at which the network sees an image; images of other sizes are resized.
        The map at the default `output_layer` has about `input_size` / 16 cells a side (7 at 112),
        which must be more than `patch_size`.
    output_layer : str or None, default="conv_dw_9_relu"
        Activation of MobileNetV1 at which it is truncated ([1]_, Table 5: `conv_dw_6_relu` to
        `conv_dw_11_relu`). None keeps the whole of it.
    patch_extraction : {"separable", "conv", "conv_pointwise", "attention"} or None, \
            default="separable"
        - "separable": two separable convolutions and a pointwise one, to 2×2 patches ([1]_,
          Section III-C).
        - "conv": one convolution with kernel = stride = `patch_size`.
        - "conv_pointwise": the same, and a pointwise convolution ([1]_, Section III-C, Table 5).
        - "attention": patches weighted by one learned gate each ([1]_, Table 6, which does not
          define it; built in the manner of gACNN [2]_: average pooling by `patch_size`,
          a pointwise convolution, and a sigmoid gate computed from the patch).
        - None: no patches; the backbone's cells stand in for them ([1]_, Table 4).
    patch_size : int, default=4
        Kernel = stride of the first patch convolution, in cells of the backbone's map. At
        224 pixels (14×14 cells), 7, 3, 5, 4 and 8 with "conv_pointwise" are Table 5's NP7, OP3,
        OP5, P4 and P8: same padding gives exactly its paddings.
    n_filters : int, default=256
        Depth of the patch maps.
    attention : {"patches", "batch"} or None, default="patches"
        - "patches": dot-product self-attention over the patches of one image,
          ``softmax(QKᵀ/√d)V``, averaged over the patches ([1]_, Section III-E).
        - None: the average alone ([1]_, Table 4).
        - "batch": the published code's attention over the images of a batch, to reproduce its
          scores. Predictions then depend on their company and order; `fit` warns.
    hidden_units : int or None, default=32
        Units of the dense layer (ReLU, then BatchNormalization) before the attention; None:
        no such layer.
    dropout : float, default=0.1
        Share of a token's values dropped in stage 1, in [0, 1).
    end_to_end : bool or "auto", default="auto"
        Whether everything trains in one stage, the backbone's BatchNormalization included (starting
        from statistics of the training images). Parameters of stage 1 hold for
        it, those of stage 2 are not used.
    epochs : int or "auto", default="auto"
        Epochs of stage 1 at most. With `recipe="transfer"`, and no stage 2 to follow, "auto" is as
        many as `finetune_epochs`.
    learning_rate : float, default=1e-3
        Adam's learning rate in stage 1.
    patience : int, None or "auto", default="auto"
        Epochs without a gain of 0.003 in validation accuracy after which stage 1 stops. None:
        all epochs are trained, at a rate that validation data does not reduce. Either way the
        weights of the best epoch on validation data, if there is any, are kept.
    schedule : {"plateau", "cosine", "auto"}, default="auto"
        What becomes of the learning rate, in both stages.

        - "plateau": it is reduced tenfold when validation accuracy stalls for 0.6 × `patience`
          epochs; in stage 2 it decays besides (see `finetune_learning_rate`).
        - "cosine": it rises in the first tenth of the epochs, and falls to nearly nothing along
          half a cosine wave.
    label_smoothing : float or "auto", default="auto"
        Share of a label's weight in the loss that goes to all classes alike, in [0, 1). It keeps
        probabilities from becoming too extreme.
    unfreeze_layers : int or "auto", default="auto"
        Layers at the end of the truncated backbone that train in stage 2. Those without weights
        count: of its 58, 15 are the last three blocks, and 28 the last five. The paper takes 40
        for CK+, 59 for RAF-DB, 46 for FER2013 and 49 for FERPlus. 0 skips stage 2; as many as it
        has, or more, means all.
    finetune_epochs : int or "auto", default="auto"
        Epochs of stage 2 at most.
    finetune_learning_rate : float or "auto", default="auto"
        Adam's first learning rate in stage 2. With `schedule="plateau"` it decays by
        1 / (1 + epoch / 80), and tenfold besides when validation accuracy stalls for
        0.6 × `finetune_patience` epochs.
    finetune_patience : int, None or "auto", default="auto"
        As `patience`, for stage 2.
    finetune_dropout : float or "auto", default="auto"
        Share dropped in stage 2: of the patch map's channels, of the tokens' values, and of the
        attention's output, in [0, 1).
    finetune_normalization : bool or "auto", default="auto"
        Whether BatchNormalization of the unfrozen layers trains in stage 2, starting from
        statistics of the training images. If not, it keeps those of ImageNet.
    batch_size : int or "auto", default="auto"
        Images a gradient step.
    clipnorm : float or None, default=3.0
        Largest global norm of a gradient; None does not clip.
    augment : bool, "exact", "affine" or "auto", default="auto"
        Whether training images are flipped left to right and changed in contrast at random.
        Validation images never are.

        - "affine": differently in every epoch, by a factor of 0.7 to 1.3, and besides turned by up
          to 10 degrees, shifted by up to 8 % of the side, and zoomed by 0.9 to 1.18.
        - "exact": at random in every epoch, by a factor of 0.7 to 1.3 ([1]_, Section IV-B).
        - True: the same, except that a stage whose frozen layers are computed once (see Notes)
          takes each image through a bank of 6 views, one an epoch: flipped or not, with a
          contrast of 0.8, 1 or 1.2.
        - False: not at all.
    class_weight : "balanced", dict or None, default="balanced"
        Weights of the classes in the loss of both stages, as in scikit-learn. They multiply
        `sample_weight`.
    validation_fraction : float, None or "auto", default="auto"
        Share of the training images that is cut off for validation, in (0, 1); not used if
        `X_val` is given. None: train on everything, which asks for `patience=None` and, if there
        is a stage 2, `finetune_patience=None`.
    flip_averaging : bool or "auto", default="auto"
        Whether a probability is the mean of the network's for an image and for its mirror image.
        Predictions take twice as long.
    random_state : int, RandomState instance or None, default=None
        Seed for weights, dropout, augmentation, the order of images, and the validation split.
        With an int, fits on one machine are identical. Global seeds are left alone.
    memory : None, path-like, FeatureMemory or object with the joblib.Memory interface, \
            default=None
        Folder that keeps the features of frozen layers for other fits and predictions, such as
        those of a search, in this process and in others. It changes no result, and may be deleted
        at any time. None: features are kept for this fit only, if it needs them again.
    checkpoint_dir : None or path-like, default=None
        Folder for a checkpoint of each fit after its last epoch (up to some 25 MB). A killed
        fit that is run again unchanged resumes from there, with the same result as without the
        interruption. A completed fit is found there, too (4 MB), so that an interrupted search
        resumes at the candidate it had reached. Fits may share the folder, and any file in it may
        be deleted. Requires an int or a RandomState as `random_state`.
    verbose : int, default=0
        0: silent; 1: one line per stage and per epoch, and the progress of epochs that take more
        than ten seconds, and of predictions that take more than two; 2: Keras' progress bars.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The labels.
    model_ : keras.Model
        The network: images of shape ``(n, *image_shape_)`` with values 0 to 255 in, probabilities
        of shape (n, n_classes) out; resizing and scaling are inside.
        Predictions come from a copy of its weights, taken at the first of them; with
        `flip_averaging`, from an image and its mirror image.
    history_ : dict
        One dict per stage ("head" and "finetune", or "end_to_end"), with a list of one float per
        epoch for "loss", "accuracy", "learning_rate" and, with validation data, "val_loss" and
        "val_accuracy"; and "best_epoch", the epoch whose weights were kept (without validation
        data the last; -1 if every epoch of stage 2 validated worse than the end of stage 1, whose
        weights were kept then). Under "validation": "split",
        the origin of the validation data ("groups", "stratified", "given" or None), "n_train",
        "n_validation", and "indices" of the validation images in `X`. Under "features": the number
        of feature rows "computed" by a forward pass of frozen layers, and the number "found"
        because they had been computed before; a resumed fit counts those of its last process
        only. Under "data": the SHA-256 of the "images" (their bytes, or those of their files) and
        of the "labels" (each image's index in `classes_`, as int64) that `fit` was given.
    image_shape_ : tuple of int
        (height, width, channels) of the training images; file paths are read as RGB at
        `input_size`. At prediction, images of another size are resized to it, and grey images
        and RGB are converted into each other.
    n_parameters_ : int
        Number of the network's parameters, running means of BatchNormalization included.

    See Also
    --------
    FeatureMemory : A folder for `memory`, with a size limit.
    sklearn_patt_lite.preprocessing.FaceResizer : Brings images of all kinds to one size.
    sklearn_patt_lite.datasets.make_expression_faces : Drawn faces to try it on.

    Notes
    -----
    "auto" stands for:

    ======================  =================  ==============  ===============
    parameter               recipe="transfer"  recipe="paper"  recipe="modern"
    ======================  =================  ==============  ===============
    input_size              112                224             112
    end_to_end              False              False           True
    epochs                  1                  100             10
    patience                None               5               None
    schedule                "cosine"           "plateau"       "cosine"
    label_smoothing         0.1                0.0             0.1
    unfreeze_layers         28                 40              40
    finetune_epochs         10                 500             500
    finetune_learning_rate  0.001              1e-05           1e-05
    finetune_patience       None               20              20
    finetune_dropout        0.0                0.2             0.2
    finetune_normalization  True               False           False
    batch_size              16                 8               32
    augment                 "affine"           True            "affine"
    validation_fraction     None               0.1             None
    flip_averaging          True               False           True
    ======================  =================  ==============  ===============

    `groups` is requested from scikit-learn's metadata routing by default. With
    ``sklearn.set_config(enable_metadata_routing=True)`` searches and cross-validation hand the
    groups that they split by down to `fit`, whose validation cut, if `validation_fraction` asks
    for one, then keeps subjects together. With routing off, scikit-learn keeps `groups` to the
    outer splitter: the inner cut is by image, and ``history_["validation"]["split"]`` says
    "stratified".

    A fixed number of epochs and a falling rate, as in "transfer" and "modern", need no validation
    data: all images are trained on, and the last epoch's weights are kept. Early stopping can be
    trusted if its validation data holds a few hundred images of other people: then set
    `validation_fraction` and pass `groups`, or pass `X_val` and `y_val`.

    Frozen layers are only passed forward, in LiteRT, and their features are a function of the image
    and of the view that augmentation shows of it. With "affine" each epoch has views of its own,
    and their features are kept in the folder `memory` alone, if there is one: the same views come
    in all folds and candidates of a search, whatever their `random_state`. With a bank of views, or
    without augmentation, later epochs train on the features of earlier ones, which are kept in
    memory up to 0.5 GiB and beyond that in a temporary file (or in `memory`), unless they are
    larger than the images. Then images are passed forward anew without augmentation, and with a
    bank of views (in the paper's recipe from 21 unfrozen layers on) such a stage computes
    everything in every epoch. So do `augment="exact"`, `attention="batch"`, mixed precision, a GPU,
    and other backends of Keras than TensorFlow.

    An `X_val` that is given to a search is cut by its folds if it is as long as `X`, and a
    Pipeline hands it on untransformed unless it is made with ``transform_input=["X_val"]``.

    References
    ----------
    .. [1] J. L. Ngwe, K. M. Lim, C. P. Lee, T. S. Ong and A. Alqahtani, "PAtt-Lite: Lightweight
       Patch and Attention MobileNet for Challenging Facial Expression Recognition", IEEE Access,
       2024, https://arxiv.org/abs/2306.09626
    .. [2] Y. Li, J. Zeng, S. Shan and X. Chen, "Occlusion Aware Facial Expression Recognition
       Using CNN With Attention Mechanism", IEEE Transactions on Image Processing, 2019.

    Examples
    --------
    >>> from sklearn_patt_lite import PAttLiteClassifier
    >>> from sklearn_patt_lite.datasets import make_expression_faces
    >>> faces = make_expression_faces(n_subjects=6, image_size=64, random_state=0)
    >>> classifier = PAttLiteClassifier(
    ...     backbone_weights="drawn", alpha=0.25, input_size=64, patch_size=2,
    ...     epochs=2, finetune_epochs=1, random_state=0,
    ... )
    >>> classifier.fit(faces.images, faces.target, groups=faces.groups)
    PAttLiteClassifier(...)
    >>> classifier.predict_proba(faces.images).shape
    (84, 7)
    >>> [len(classifier.history_[stage]["loss"]) for stage in ("head", "finetune")]  # epochs
    [2, 1]
    """

    _parameter_constraints = {
        "recipe": [StrOptions(set(RECIPES))],
        "backbone_weights": [str, os.PathLike, None],
        "alpha": [Interval(Real, 0, None, closed="neither")],
        "input_size": [Interval(Integral, 1, None, closed="left"), _AUTO],
        "output_layer": [str, None],
        "patch_extraction": [
            StrOptions({"separable", "conv", "conv_pointwise", "attention"}),
            None,
        ],
        "patch_size": [Interval(Integral, 1, None, closed="left")],
        "n_filters": [Interval(Integral, 1, None, closed="left")],
        "attention": [StrOptions({"patches", "batch"}), None],
        "hidden_units": [Interval(Integral, 1, None, closed="left"), None],
        "dropout": [Interval(Real, 0, 1, closed="left")],
        "end_to_end": ["boolean", _AUTO],
        "epochs": [Interval(Integral, 1, None, closed="left"), _AUTO],
        "learning_rate": [Interval(Real, 0, None, closed="neither")],
        "patience": [Interval(Integral, 1, None, closed="left"), None, _AUTO],
        "schedule": [StrOptions({"auto", "plateau", "cosine"})],
        "label_smoothing": [Interval(Real, 0, 1, closed="left"), _AUTO],
        "unfreeze_layers": [Interval(Integral, 0, None, closed="left"), _AUTO],
        "finetune_epochs": [Interval(Integral, 1, None, closed="left"), _AUTO],
        "finetune_learning_rate": [Interval(Real, 0, None, closed="neither"), _AUTO],
        "finetune_patience": [Interval(Integral, 1, None, closed="left"), None, _AUTO],
        "finetune_dropout": [Interval(Real, 0, 1, closed="left"), _AUTO],
        "finetune_normalization": ["boolean", _AUTO],
        "batch_size": [Interval(Integral, 1, None, closed="left"), _AUTO],
        "clipnorm": [Interval(Real, 0, None, closed="neither"), None],
        "augment": ["boolean", StrOptions({"auto", "exact", "affine"})],
        "class_weight": [StrOptions({"balanced"}), dict, None],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither"), None, _AUTO],
        "flip_averaging": ["boolean", _AUTO],
        "random_state": ["random_state"],
        "memory": [str, os.PathLike, FeatureMemory, HasMethods(["cache"]), None],
        "checkpoint_dir": [str, os.PathLike, None],
        "verbose": [Interval(Integral, 0, 2, closed="both")],
    }

    classes_: NDArray[Any]
    history_: dict[str, Any]
    image_shape_: tuple[int, int, int]
    n_parameters_: int

    # Searches and cross-validation hand their groups down to the validation cut unasked.
    __metadata_request__fit = {"groups": True}

    def __init__(
        self,
        *,
        recipe: Literal["transfer", "paper", "modern"] = "transfer",
        backbone_weights: Literal["imagenet", "fer2013", "drawn"] | PathLike | None = "imagenet",
        alpha: float = 1.0,
        input_size: int | Literal["auto"] = "auto",
        output_layer: str | None = "conv_dw_9_relu",
        patch_extraction: Literal["separable", "conv", "conv_pointwise", "attention"]
        | None = "separable",
        patch_size: int = 4,
        n_filters: int = 256,
        attention: Literal["patches", "batch"] | None = "patches",
        hidden_units: int | None = 32,
        dropout: float = 0.1,
        end_to_end: bool | Literal["auto"] = "auto",
        epochs: int | Literal["auto"] = "auto",
        learning_rate: float = 1e-3,
        patience: int | Literal["auto"] | None = "auto",
        schedule: Literal["plateau", "cosine", "auto"] = "auto",
        label_smoothing: float | Literal["auto"] = "auto",
        unfreeze_layers: int | Literal["auto"] = "auto",
        finetune_epochs: int | Literal["auto"] = "auto",
        finetune_learning_rate: float | Literal["auto"] = "auto",
        finetune_patience: int | Literal["auto"] | None = "auto",
        finetune_dropout: float | Literal["auto"] = "auto",
        finetune_normalization: bool | Literal["auto"] = "auto",
        batch_size: int | Literal["auto"] = "auto",
        clipnorm: float | None = 3.0,
        augment: bool | Literal["exact", "affine", "auto"] = "auto",
        class_weight: Literal["balanced"] | dict[Any, Any] | None = "balanced",
        validation_fraction: float | Literal["auto"] | None = "auto",
        flip_averaging: bool | Literal["auto"] = "auto",
        random_state: Seed = None,
        memory: PathLike | FeatureMemory | Cache | None = None,
        checkpoint_dir: PathLike | None = None,
        verbose: int = 0,
    ) -> None:
        self.recipe = recipe
        self.backbone_weights = backbone_weights
        self.alpha = alpha
        self.input_size = input_size
        self.output_layer = output_layer
        self.patch_extraction = patch_extraction
        self.patch_size = patch_size
        self.n_filters = n_filters
        self.attention = attention
        self.hidden_units = hidden_units
        self.dropout = dropout
        self.end_to_end = end_to_end
        self.epochs = epochs
        self.learning_rate = learning_rate
        self.patience = patience
        self.schedule = schedule
        self.label_smoothing = label_smoothing
        self.unfreeze_layers = unfreeze_layers
        self.finetune_epochs = finetune_epochs
        self.finetune_learning_rate = finetune_learning_rate
        self.finetune_patience = finetune_patience
        self.finetune_dropout = finetune_dropout
        self.finetune_normalization = finetune_normalization
        self.batch_size = batch_size
        self.clipnorm = clipnorm
        self.augment = augment
        self.class_weight = class_weight
        self.validation_fraction = validation_fraction
        self.flip_averaging = flip_averaging
        self.random_state = random_state
        self.memory = memory
        self.checkpoint_dir = checkpoint_dir
        self.verbose = verbose

    @validate_parameters_first
    def fit(
        self,
        X: Images,
        y: ArrayLike,
        *,
        sample_weight: ArrayLike | None = None,
        groups: ArrayLike | None = None,
        X_val: Images | None = None,
        y_val: ArrayLike | None = None,
    ) -> Self:
        """
        Train on images and labels.

        Each call starts from `backbone_weights` again, whatever an earlier one learned. With a
        `validation_fraction`, and no `X_val`, that share of the images is cut off, to validate on
        after each epoch; pass `groups`, or the cut may put images of one person on both sides.

        Parameters
        ----------
        X : array-like of shape (n, height, width) or (n, height, width, channels) or (n,)
            Images: integers 0 to 255 or floats 0 to 1, with 1 or 3 channels; or file paths.
        y : array-like of shape (n,)
            Labels, strings or integers.
        sample_weight : array-like of shape (n,), default=None
            Weights of the images in the loss.
        groups : array-like of shape (n,), default=None
            Subject of each image. Validation data that is cut off is then of whole subjects.
        X_val, y_val : array-like, default=None
            Validation data to use instead of a cut, in the formats of `X` and `y`.

        Returns
        -------
        PAttLiteClassifier
            Itself, fitted. A fit that fails or is interrupted leaves it as it was.

        Raises
        ------
        TypeError, ValueError
            If images, labels or parameters cannot be used; the message names the culprit.
        FileNotFoundError
            If a path, of an image or of `backbone_weights`, leads to no file.
        ConnectionError
            If ImageNet weights are needed and can neither be found nor downloaded.

        Warns
        -----
        UserWarning
            With `attention="batch"`, and if parameters of stage 2 are set that one stage leaves
            unused. Once its first steps are taken, of a fit that may take over an hour.

        See Also
        --------
        predict : Labels of other images.
        predict_proba : Their probabilities.
        save_model : Keeps what was learned in a file.

        Examples
        --------
        >>> from sklearn_patt_lite import PAttLiteClassifier
        >>> from sklearn_patt_lite.datasets import make_expression_faces
        >>> faces = make_expression_faces(n_subjects=2, image_size=64, random_state=0)
        >>> classifier = PAttLiteClassifier(
        ...     backbone_weights="drawn", alpha=0.25, input_size=64, patch_size=2,
        ...     epochs=1, unfreeze_layers=0, validation_fraction=0.1, random_state=0,
        ... )
        >>> classifier.fit(faces.images, faces.target, groups=faces.groups)
        PAttLiteClassifier(...)
        >>> split = classifier.history_["validation"]
        >>> split["split"], split["n_train"], split["n_validation"]  # one person, and another
        ('groups', 14, 14)
        """
        settings = Settings.of(self)
        check_settings(settings, self, has_validation=X_val is not None)
        # What predictions do without comes in here: TensorFlow, and half of scikit-learn.
        keep_to_share_of_cores()
        from sklearn_patt_lite._training.data import TrainingData
        from sklearn_patt_lite._training.fit import fit_network

        seed = check_random_state(self.random_state).randint(2**31 - 1)
        memory = as_feature_memory(self.memory)
        data = TrainingData.read(X, y, sample_weight, groups, (X_val, y_val), settings, seed)
        if self.verbose and data.split["split"] == "stratified":
            n = data.split["n_validation"]
            print(
                f"{n} of {n + len(data.y)} images validate, cut off image by image; by groups, "
                "which searches hand on with metadata routing, they would be other people's."
            )

        def attributes(fitted, history):
            about_data = {"data": data.digests, "validation": data.split}
            return _fitted_attributes(fitted, data.classes, {**about_data, **history})

        task = Task(
            self._init_callback_context(max_subtasks=2 if settings.has_stage_2 else 1),
            attributes,
            estimator=self,
            X=X,
            y=y,
            metadata=None if sample_weight is None else {"sample_weight": sample_weight},
        )
        task.begin()
        fitted, history = fit_network(
            data, settings, seed, memory=memory, checkpoint_dir=self.checkpoint_dir, task=task
        )
        # Only now: a fit that does not come to its end changes nothing.
        self.__dict__.update(attributes(fitted, history))
        task.end(lambda: (fitted, history))
        return self

    @property
    def model_(self) -> "keras.Model":
        """
        The network, from images to probabilities.

        Predictions come from a copy of its weights, taken at the first of them: later changes are
        not seen by `predict`. It is built when it is first asked for, which takes TensorFlow.

        See Also
        --------
        export_model : Writes it for other runtimes.

        Examples
        --------
        >>> from sklearn_patt_lite import PAttLiteClassifier
        >>> classifier = PAttLiteClassifier.from_pretrained("fer2013")
        >>> classifier.model_.count_params() == classifier.n_parameters_
        True
        """
        check_is_fitted(self)
        return self._fitted.network

    def predict_proba(self, X: Images) -> NDArray[np.float32]:
        """
        Predict the probability of each class.

        A probability is of its own image only, whatever is predicted with it, unless
        `attention="batch"`. Probabilities are the network's softmax (of the image and its mirror
        image, with `flip_averaging`). They are not calibrated: training for long makes them too
        extreme, which `sklearn_patt_lite.metrics.expression_report` measures.

        Parameters
        ----------
        X : array-like of shape (n, height, width) or (n, height, width, channels) or (n,)
            Images or file paths, as in `fit`, of any size.

        Returns
        -------
        ndarray of shape (n, n_classes), dtype float32
            Probabilities, in the order of `classes_`; each row sums to 1.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            If the classifier is not fitted.
        TypeError, ValueError, FileNotFoundError
            If images cannot be used; the message names the culprit.

        See Also
        --------
        predict : The most probable classes alone.
        sklearn_patt_lite.inspection.batch_invariance : Checks that company changes nothing.

        Examples
        --------
        >>> import numpy as np
        >>> from sklearn_patt_lite import PAttLiteClassifier
        >>> from sklearn_patt_lite.datasets import make_expression_faces
        >>> faces = make_expression_faces(n_subjects=2, image_size=64, random_state=0)
        >>> classifier = PAttLiteClassifier(
        ...     backbone_weights="drawn", alpha=0.25, input_size=64, patch_size=2,
        ...     epochs=1, unfreeze_layers=0, random_state=0,
        ... ).fit(faces.images, faces.target_names[faces.target], groups=faces.groups)
        >>> probabilities = classifier.predict_proba(faces.images)
        >>> probabilities.shape
        (28, 7)
        >>> alone = classifier.predict_proba(faces.images[:1])
        >>> bool(np.allclose(alone, probabilities[:1], atol=1e-4))
        True
        """
        check_is_fitted(self)
        memory = as_feature_memory(self.memory)
        return self._fitted.predict_proba(X, memory, shows=self.verbose == 1)

    def predict_log_proba(self, X: Images) -> NDArray[np.float32]:
        """
        Predict the logarithm of the probability of each class.

        Sums of logarithms compare hypotheses about several images; their products would vanish.

        Parameters
        ----------
        X : array-like of shape (n, height, width) or (n, height, width, channels) or (n,)
            Images or file paths, as in `fit`, of any size.

        Returns
        -------
        ndarray of shape (n, n_classes), dtype float32
            Natural logarithms of `predict_proba`; -inf for a probability that is 0 in float32.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            If the classifier is not fitted.
        TypeError, ValueError, FileNotFoundError
            If images cannot be used; the message names the culprit.

        See Also
        --------
        predict_proba : The probabilities.

        Examples
        --------
        >>> import numpy as np
        >>> from sklearn_patt_lite import PAttLiteClassifier
        >>> from sklearn_patt_lite.datasets import make_expression_faces
        >>> faces = make_expression_faces(n_subjects=1, image_size=48, random_state=0)
        >>> classifier = PAttLiteClassifier.from_pretrained("fer2013")
        >>> frames = classifier.predict_log_proba(faces.images[:2])  # of one person's happy face
        >>> frames.sum(axis=0).shape
        (7,)
        """
        with np.errstate(divide="ignore"):
            return np.log(self.predict_proba(X))

    def predict(self, X: Images) -> NDArray[Any]:
        """
        Predict the most probable class.

        It is the one of the largest probability of `predict_proba`; of equal ones, the first in
        `classes_`.

        Parameters
        ----------
        X : array-like of shape (n, height, width) or (n, height, width, channels) or (n,)
            Images or file paths, as in `fit`, of any size.

        Returns
        -------
        ndarray of shape (n,)
            Labels out of `classes_`.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            If the classifier is not fitted.
        TypeError, ValueError, FileNotFoundError
            If images cannot be used; the message names the culprit.

        See Also
        --------
        predict_proba : How sure the classifier is.
        sklearn_patt_lite.metrics.expression_report : Scores labels against the true ones.

        Examples
        --------
        >>> import numpy as np
        >>> from sklearn_patt_lite import PAttLiteClassifier
        >>> from sklearn_patt_lite.datasets import make_expression_faces
        >>> faces = make_expression_faces(n_subjects=2, image_size=64, random_state=0)
        >>> classifier = PAttLiteClassifier(
        ...     backbone_weights="drawn", alpha=0.25, input_size=64, patch_size=2,
        ...     epochs=1, unfreeze_layers=0, random_state=0,
        ... ).fit(faces.images, faces.target_names[faces.target], groups=faces.groups)
        >>> labels = classifier.predict(faces.images)
        >>> labels.shape, bool(np.isin(labels, classifier.classes_).all())
        ((28,), True)
        """
        probabilities = self.predict_proba(X)
        return self.classes_[probabilities.argmax(axis=1)]

    def save_model(
        self, path: PathLike, *, description: str | None = None, half_precision: bool = False
    ) -> None:
        """
        Write the fitted classifier to a file that others can load without trusting you.

        A pickle runs, when it is loaded, whatever its maker put there. This file holds data only,
        with a model card for those who get it.

        Parameters
        ----------
        path : path-like
            Where. A file that is there is replaced, once the new one is whole.
        description : str, default=None
            For the model card: whose faces it was trained on, and what for. Markdown.
        half_precision : bool, default=False
            Whether to keep the large kernels, nine tenths of the weights, as float16, which halves
            the file. Probabilities of the loaded classifier then differ a little.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            If the classifier is not fitted.
        TypeError
            If labels, or the keys of `class_weight`, are neither numbers nor strings.
        FileNotFoundError, FileExistsError
            If there is no such folder, or if what is there is no file.

        See Also
        --------
        load_model : Reads it.
        from_pretrained : Reads one that is inside this package.
        export_model : Writes the network alone, for other runtimes.

        Notes
        -----
        The file is a zip archive of `metadata.json` (parameters, classes, history, versions),
        `weights.safetensors` (the arrays) and `README.md`, a model card with validation scores, if
        any, and the limits of use. It holds no pickle. `memory`, `checkpoint_dir`,
        `verbose` and a `RandomState` as `random_state` are not kept: they belong to a process.

        Examples
        --------
        >>> import tempfile, zipfile
        >>> from sklearn_patt_lite import PAttLiteClassifier
        >>> from sklearn_patt_lite.datasets import make_expression_faces
        >>> faces = make_expression_faces(n_subjects=2, image_size=64, random_state=0)
        >>> classifier = PAttLiteClassifier(
        ...     backbone_weights="drawn", alpha=0.25, input_size=64, patch_size=2,
        ...     epochs=1, unfreeze_layers=0, random_state=0,
        ... ).fit(faces.images, faces.target_names[faces.target], groups=faces.groups)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     classifier.save_model(f"{folder}/faces.zip", description="Of two drawn people.")
        ...     with zipfile.ZipFile(f"{folder}/faces.zip") as archive:
        ...         print(sorted(archive.namelist()))
        ['README.md', 'metadata.json', 'weights.safetensors']
        """
        check_is_fitted(self)
        from sklearn_patt_lite._persistence.save import save

        parameters = self.get_params(deep=False)
        save(
            self._fitted,
            self.classes_,
            self.history_,
            parameters,
            path,
            description=description,
            half_precision=half_precision,
        )

    @classmethod
    def load_model(cls, path: PathLike) -> Self:
        """
        Read a classifier that `save_model` wrote.

        No code in the file is run, whoever made it. Its digests detect damage, but do not prove
        who wrote it: a classifier from a stranger may predict anything.

        Parameters
        ----------
        path : path-like
            The file.

        Returns
        -------
        PAttLiteClassifier
            Fitted: it predicts what the saved one did, or nearly that if it was saved with
            `half_precision`.

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        ValueError
            If it is not such a file, of another version, damaged, or holds what it should not;
            the message says what.

        See Also
        --------
        save_model : Writes it.

        Examples
        --------
        >>> import tempfile
        >>> from sklearn_patt_lite import PAttLiteClassifier
        >>> from sklearn_patt_lite.datasets import make_expression_faces
        >>> faces = make_expression_faces(n_subjects=2, image_size=64, random_state=0)
        >>> classifier = PAttLiteClassifier(
        ...     backbone_weights="drawn", alpha=0.25, input_size=64, patch_size=2,
        ...     epochs=1, unfreeze_layers=0, random_state=0,
        ... ).fit(faces.images, faces.target_names[faces.target], groups=faces.groups)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     classifier.save_model(f"{folder}/faces.zip")
        ...     loaded = PAttLiteClassifier.load_model(f"{folder}/faces.zip")
        >>> bool((loaded.predict(faces.images) == classifier.predict(faces.images)).all())
        True
        """
        from sklearn_patt_lite._persistence.load import load

        names = set(cls().get_params(deep=False))
        parameters, classes, history, fitted = load(path, names, cls._parameter_constraints)
        try:
            classifier = cls(**parameters)
            classifier._validate_params()
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"{os.fspath(path)!r} is not loaded: its parameters are not this version's "
                f"({error})."
            ) from error
        classifier.__dict__.update(_fitted_attributes(fitted, classes, history))
        return classifier

    @classmethod
    def from_pretrained(cls, name: Literal["fer2013"]) -> Self:
        """
        Load a classifier that comes with this package.

        It needs no training and no download. Its model card, `docs/pretrained.md`, says how well it
        does and what it is not for.

        Parameters
        ----------
        name : {"fer2013"}
            What it was trained on.

            - "fer2013": 28,709 grey faces from a web search ([1]_), with seven expressions:
              angry, disgust, fear, happy, neutral, sad and surprise.

        Returns
        -------
        PAttLiteClassifier
            Fitted. Its parameters are those that it was trained with, so that `fit` of it or of
            its clone trains anew, from ImageNet's weights. To go on from what it knows, set
            `backbone_weights` to the same name.

        Raises
        ------
        ValueError
            For another name.

        See Also
        --------
        sklearn_patt_lite.preprocessing.FaceCropper : Crops photographs as it expects them.
        load_model : Reads a file of `save_model`.

        References
        ----------
        .. [1] I. J. Goodfellow et al., "Challenges in Representation Learning: A report on three
           machine learning contests", ICONIP, 2013, https://arxiv.org/abs/1307.0414

        Examples
        --------
        >>> from sklearn_patt_lite import PAttLiteClassifier
        >>> from sklearn_patt_lite.datasets import make_expression_faces
        >>> classifier = PAttLiteClassifier.from_pretrained("fer2013")
        >>> classifier.classes_.tolist()
        ['angry', 'disgust', 'fear', 'happy', 'neutral', 'sad', 'surprise']
        >>> faces = make_expression_faces(n_subjects=1, image_size=48, random_state=0)
        >>> classifier.predict_proba(faces.images).shape
        (14, 7)
        """
        if name not in PRETRAINED:
            raise ValueError(
                f"There is no pretrained classifier {name!r}; there is "
                f"{', '.join(map(repr, PRETRAINED))}. load_model reads files of save_model."
            )
        with pretrained_file(name) as path:
            return cls.load_model(path)

    def export_model(
        self,
        path: PathLike,
        *,
        format: Literal["litert", "onnx", "saved_model"] | None = None,
        X: Images | None = None,
        calibration: Images | None = None,
    ) -> "ExportReport":
        """
        Write the fitted network for another runtime: a phone, a browser, a server.

        It is one graph from images to probabilities, resizing, scaling and `flip_averaging` inside,
        for one image or a batch. What it says is compared with what the network says, in float32,
        before it is kept.

        Parameters
        ----------
        path : path-like
            Where. A file that is there is replaced, once the new one is whole; a folder is not.
            Beside it, `path` + ".json" says which image goes in and which label is which.
        format : {"litert", "onnx", "saved_model"} or None, default=None
            - "litert": a file for LiteRT (formerly TensorFlow Lite), `.tflite`.
            - "onnx": a file for ONNX Runtime and others, `.onnx`.
            - "saved_model": a folder for TensorFlow, without a suffix.
            - None: as the suffix of `path` says.
        X : array-like, default=None
            Images to compare on, as `predict` takes them; by default `calibration`, or else 28
            drawn faces.
        calibration : array-like, default=None
            Images of the kind that will be predicted, such as training images: the kernels of
            convolutions, nearly all of a file of LiteRT, are then stored in 8 bits, and what
            rounding them does to the means of 100 of these images is corrected [1]_.

        Returns
        -------
        ExportReport
            With `path`, `sidecar`, `format`, `n_bytes`, `n_images`, `max_difference` of
            probabilities and `agreement` of labels (0 to 1); it prints as a line.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            If the classifier is not fitted.
        ImportError
            If what the format needs is not installed: the extra "export".
        TypeError, ValueError
            If images cannot be used, for another `format`, or one that the suffix of `path`
            contradicts, with `calibration` for another one than "litert", or with
            `attention="batch"`, whose predictions are not of one image.
        RuntimeError
            If a probability differs by more than 0.0001 from the network's, without 8 bits; or, for
            "saved_model", if Keras does not run on TensorFlow.
        FileNotFoundError, FileExistsError
            If there is no such folder, or if what is there is not to be replaced.

        Warns
        -----
        UserWarning
            If fewer than 97 % of the labels agree with 8 bits.

        See Also
        --------
        save_model : Keeps the classifier itself, for this library.

        Notes
        -----
        The graph takes images of the training images' shape only: float32 of shape
        ``(n, *image_shape_)``, 0 to 255. It computes in float32, whatever the network does.

        References
        ----------
        .. [1] M. Nagel, M. van Baalen, T. Blankevoort and M. Welling, "Data-Free Quantization
           Through Weight Equalization and Bias Correction", ICCV 2019, Section 4.2.

        Examples
        --------
        >>> import tempfile
        >>> from sklearn_patt_lite import PAttLiteClassifier
        >>> from sklearn_patt_lite.datasets import make_expression_faces
        >>> faces = make_expression_faces(n_subjects=2, image_size=64, random_state=0)
        >>> classifier = PAttLiteClassifier(
        ...     backbone_weights="drawn", alpha=0.25, input_size=64, patch_size=2,
        ...     epochs=1, unfreeze_layers=0, random_state=0,
        ... ).fit(faces.images, faces.target_names[faces.target], groups=faces.groups)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     report = classifier.export_model(f"{folder}/faces.tflite", X=faces.images)
        >>> report.agreement
        1.0
        """
        check_is_fitted(self)
        keep_to_share_of_cores()
        from sklearn_patt_lite._persistence.export import export

        X = calibration if X is None else X
        if X is None:
            from sklearn_patt_lite.datasets import make_expression_faces

            X = make_expression_faces(n_subjects=2, image_size=64, random_state=0).images
        read = self._fitted.read
        calibration = None if calibration is None else read(calibration)
        return export(self._fitted, self.classes_, path, format, read(X), calibration)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.three_d_array = True
        tags.input_tags.string = True  # file paths
        return tags

    def __dir__(self):
        """List `model_` once it is built: notebooks and tab completion look at what is listed."""
        if "_fitted" not in self.__dict__ or self._fitted.kept.is_built:
            return super().__dir__()
        # scikit-learn's own __dir__ reads every attribute, which would build the network.
        return [each for each in object.__dir__(self) if each != "model_" and hasattr(self, each)]

    def __getstate__(self):
        """Pickle the network as its weights: neither an optimizer's state nor a graph."""
        state = super().__getstate__()
        if "_fitted" in state:
            state = {**state, "_fitted": state["_fitted"].state()}
        return state

    def __setstate__(self, state):
        """Keep the pickled weights; the network is built around them when it is needed first."""
        super().__setstate__(state)
        if "_fitted" in state:
            from sklearn_patt_lite._inference.fitted import FittedNetwork

            self._fitted = FittedNetwork.from_state(state["_fitted"])


def _fitted_attributes(fitted, classes, history):
    return {
        "classes_": classes,
        "history_": history,
        "image_shape_": fitted.architecture.image_shape,
        "n_parameters_": count_parameters(fitted.architecture),
        "_fitted": fitted,
    }


def fitted_network(classifier):
    """The `FittedNetwork` of a fitted classifier, for the package's other modules."""
    return classifier._fitted
