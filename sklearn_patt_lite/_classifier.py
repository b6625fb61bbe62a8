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
from sklearn_patt_lite._process import keep_to_share_of_cores, restored_on_failure
from sklearn_patt_lite._settings import RECIPES, Settings, check_settings
from sklearn_patt_lite._typing import Cache, Images, PathLike, Seed, validate_parameters_first

if TYPE_CHECKING:
    import keras

    from sklearn_patt_lite._persistence.export import ExportReport

_AUTO = StrOptions({"auto"})


class PAttLiteClassifier(CallbackSupportMixin, ClassifierMixin, BaseEstimator):
    """
    PAtt-Lite classifier of facial expressions, with a quick training recipe or the paper's.

    PAtt-Lite [1]_ is a truncated MobileNetV1, pretrained on ImageNet, with a patch extraction block
    and an attention classifier on top: 1.10 million parameters for 7 expressions. Stage 1 trains
    the head on the frozen backbone; stage 2 also trains the backbone's last layers. The default
    recipe takes minutes; the paper's takes hours, and is less accurate on photographs.

    In the published code, attention runs over the images of a *batch*, so a prediction depends on
    the images that are predicted with it. Here attention runs over the patches of one image, and a
    prediction depends on its own image only.

    Parameters
    ----------
    recipe : {"transfer", "paper", "modern"}, default="transfer"
        How to train: sets the parameters whose value is "auto" (see the table in Notes).

        - "transfer": two stages of few epochs, on small images that are slightly rotated, shifted
          and zoomed, differently in each epoch. In stage 2 the backbone adapts to faces from
          block 5 on, BatchNormalization included; the first four blocks, which take nearly half of
          the time, only run forward. It needs no validation data.
        - "paper": the paper's two stages ([1]_, Section IV-B).
        - "modern": everything trains in one stage. As accurate as "transfer" on a few thousand
          photographs, in nearly three times the time.
    backbone_weights : {"imagenet", "fer2013", "drawn"}, path-like or None, default="imagenet"
        Initial weights of the network.

        - "imagenet": Keras' ImageNet weights (downloaded once, 17 MB at `alpha=1`; those for
          224×224 pixels are used at every `input_size`).
        - "fer2013": the pretrained classifier of `from_pretrained`, inside this package. Scores on
          FER2013 or FERPlus would be too high: it has seen their images.
        - "drawn": a narrow backbone inside this package (`alpha=0.25` only), trained on drawn
          faces, for first steps and tests without a download.
        - the path of an earlier classifier: a file from `save_model`, or a `.keras` file
          from ``earlier.model_.save(path)``. As with "fer2013", the head is loaded too, up to its
          first layer whose shape differs. In the last layer, only the units of labels that the
          earlier classifier had are loaded (a `.keras` file has no labels, so none are).
        - the path of an `.h5` file with the weights of
          ``keras.applications.MobileNet(include_top=False)``.
        - None: random weights. Nothing is worth freezing then: everything, BatchNormalization
          included, trains in one stage, and the parameters of stage 2 are not used.
    alpha : float, default=1.0
        Width multiplier of MobileNetV1; 0.25, 0.5, 0.75 or 1.0 for ImageNet weights.
    input_size : int or "auto", default="auto"
        Side, in pixels, of the network's input; images of other sizes are resized. The feature map
        at the default `output_layer` has about `input_size` / 16 cells per side (7 at 112), which
        must be more than `patch_size`.
    output_layer : str or None, default="conv_dw_9_relu"
        Activation at which MobileNetV1 is truncated ([1]_, Table 5: `conv_dw_6_relu` to
        `conv_dw_11_relu`). None keeps all of MobileNetV1.
    patch_extraction : {"separable", "conv", "conv_pointwise", "attention"} or None, \
            default="separable"
        - "separable": two separable convolutions and a pointwise one, which give 2×2 patches
          ([1]_, Section III-C).
        - "conv": one convolution with kernel = stride = `patch_size`.
        - "conv_pointwise": the same, followed by a pointwise convolution ([1]_, Section III-C,
          Table 5).
        - "attention": each patch is weighted by a learned gate ([1]_, Table 6, which does not
          define it; built like gACNN [2]_: average pooling by `patch_size`, a pointwise
          convolution, and a sigmoid gate computed from the patch).
        - None: no patches; the cells of the backbone's map take their place ([1]_, Table 4).
    patch_size : int, default=4
        Kernel size and stride of the first patch convolution, in cells of the backbone's map. At
        224 pixels (14×14 cells), 7, 3, 5, 4 and 8 with "conv_pointwise" are Table 5's NP7, OP3,
        OP5, P4 and P8: same padding gives exactly the paddings of that table.
    n_filters : int, default=256
        Number of channels of the patch maps.
    attention : {"patches", "batch"} or None, default="patches"
        - "patches": dot-product self-attention over the patches of one image,
          ``softmax(QKᵀ/√d)V``, averaged over the patches ([1]_, Section III-E).
        - None: only the average ([1]_, Table 4).
        - "batch": the published code's attention over the images of a batch, to reproduce its
          scores. Predictions then depend on the other images and on their order; `fit` warns.
    hidden_units : int or None, default=32
        Number of units of the dense layer (ReLU, then BatchNormalization) before the attention;
        None: no such layer.
    dropout : float, default=0.1
        Dropout rate of the tokens' values in stage 1, in [0, 1).
    end_to_end : bool or "auto", default="auto"
        Whether everything trains in one stage, including the backbone's BatchNormalization (which
        starts from statistics of the training images). This stage uses the parameters of stage 1;
        those of stage 2 are not used.
    epochs : int or "auto", default="auto"
        Maximum number of epochs of stage 1. With `recipe="transfer"` and no stage 2, "auto" means
        as many as `finetune_epochs`.
    learning_rate : float, default=1e-3
        Adam's learning rate in stage 1.
    patience : int, None or "auto", default="auto"
        Number of epochs without a gain of 0.003 in validation accuracy after which stage 1 stops.
        None: stage 1 trains for all epochs, and the learning rate does not depend on validation
        data. In either case, the weights of the best epoch on validation data, if there is any, are
        kept.
    schedule : {"plateau", "cosine", "auto"}, default="auto"
        Learning rate schedule of both stages.

        - "plateau": the rate is reduced tenfold when validation accuracy stalls for
          0.6 × `patience` epochs; in stage 2 it also decays (see `finetune_learning_rate`).
        - "cosine": the rate rises in the first tenth of the epochs, then falls to nearly zero along
          half a cosine wave.
    label_smoothing : float or "auto", default="auto"
        Share of a label's weight in the loss that is spread evenly over all classes, in [0, 1). It
        keeps probabilities from becoming too extreme.
    unfreeze_layers : int or "auto", default="auto"
        Number of layers at the end of the truncated backbone that train in stage 2. Layers without
        weights count: of its 58 layers, the last 15 are three blocks, and the last 28 are five. The
        paper unfreezes 40 for CK+, 59 for RAF-DB, 46 for FER2013 and 49 for FERPlus. 0 skips
        stage 2; the total number of layers, or more, unfreezes all.
    finetune_epochs : int or "auto", default="auto"
        Maximum number of epochs of stage 2.
    finetune_learning_rate : float or "auto", default="auto"
        Adam's initial learning rate in stage 2. With `schedule="plateau"` it decays by
        1 / (1 + epoch / 80), and is also reduced tenfold when validation accuracy stalls for
        0.6 × `finetune_patience` epochs.
    finetune_patience : int, None or "auto", default="auto"
        Like `patience`, for stage 2.
    finetune_dropout : float or "auto", default="auto"
        Dropout rate in stage 2, for channels of the patch map, values of the tokens, and values of
        the attention's output, in [0, 1).
    finetune_normalization : bool or "auto", default="auto"
        Whether BatchNormalization of the unfrozen layers trains in stage 2, starting from
        statistics of the training images. If False, it keeps those of ImageNet.
    batch_size : int or "auto", default="auto"
        Number of images per gradient step.
    clipnorm : float or None, default=3.0
        Maximum global norm of the gradients; None does not clip them.
    augment : bool, "exact", "affine" or "auto", default="auto"
        Whether to randomly flip training images left to right and change their contrast.
        Validation images are never augmented.

        - "affine": differently in every epoch, with a contrast factor of 0.7 to 1.3. Images are
          also rotated by up to 10 degrees, shifted by up to 8 % of the side, and zoomed by a factor
          of 0.9 to 1.18.
        - "exact": at random in every epoch, with a contrast factor of 0.7 to 1.3 ([1]_,
          Section IV-B).
        - True: the same, except that a stage whose frozen layers are computed once (see Notes)
          takes each image through a bank of 6 views, one per epoch: flipped or not, with a
          contrast of 0.8, 1 or 1.2.
        - False: no augmentation.
    class_weight : "balanced", dict or None, default="balanced"
        Weights of the classes in the loss of both stages, as in scikit-learn. They multiply
        `sample_weight`.
    validation_fraction : float, None or "auto", default="auto"
        Share of the training images to split off for validation, in (0, 1); not used if `X_val` is
        given. None: train on all images, which requires `patience=None` and, if there is a stage 2,
        `finetune_patience=None`.
    flip_averaging : bool or "auto", default="auto"
        Whether to average the predicted probabilities of an image and its mirror image.
        Predictions take twice as long.
    crop_averaging : bool, default=False
        Whether to average the predicted probabilities over an image and two crops of 11/12 of its
        height and width, at its top left and its bottom right; with `flip_averaging`, over those of
        its mirror image, too. Predictions take three times as long, and do not use `memory`.
        `load_model` turns it on or off for a classifier that was saved.
    random_state : int, RandomState instance or None, default=None
        Seed for weights, dropout, augmentation, the order of images, and the validation split.
        With an int, fits on one machine are identical. Global seeds are not changed.
    memory : None, path-like, FeatureMemory or object with the joblib.Memory interface, \
            default=None
        Folder that stores the features of frozen layers for other fits and predictions, such as
        those of a search, in this process and in others. It changes no result, and may be deleted
        at any time. None: features are stored for this fit only, if it needs them again.
    checkpoint_dir : None or path-like, default=None
        Folder for a checkpoint of each fit, updated after every epoch (up to about 25 MB). A killed
        fit that is run again unchanged resumes after its last epoch, with the same result as
        without the interruption. Completed fits are found there too (4 MB), so an interrupted
        search resumes at the candidate it had reached. Fits may share the folder, and any file in
        it may be deleted. Requires an int or a RandomState as `random_state`.
    verbose : int, default=0
        0: silent; 1: one line per stage and per epoch, and progress of epochs that take more than
        ten seconds and of predictions that take more than two; 2: Keras' progress bars.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Class labels.
    model_ : keras.Model
        The network. It takes images of shape ``(n, *image_shape_)`` with values 0 to 255, and
        returns probabilities of shape (n, n_classes); it includes resizing and scaling.
        On a CPU, predictions use a copy of its weights, made at the first prediction; with
        `flip_averaging` and `crop_averaging`, they average over several views of an image.
    history_ : dict
        One dict per stage ("head" and "finetune", or "end_to_end"), with a list of one float per
        epoch for "loss", "accuracy", "learning_rate" and, with validation data, "val_loss" and
        "val_accuracy"; and "best_epoch", the epoch whose weights were kept (without validation
        data the last; -1 if every epoch of stage 2 validated worse than the end of stage 1, whose
        weights were then kept). Under "validation": "split", the origin of the validation data
        ("groups", "stratified", "given" or None), "n_train", "n_validation", and "indices" of the
        validation images in `X`. Under "features": the number of feature rows "computed" by a
        forward pass of frozen layers, and the number "found" because they had been computed before;
        a resumed fit counts only those of its last process. Under "data": the SHA-256 of the
        "images" (their bytes, or those of their files) and of the "labels" (each image's index in
        `classes_`, as int64) that were passed to `fit`.
    image_shape_ : tuple of int
        (height, width, channels) of the training images; file paths are read as RGB at
        `input_size`. At prediction, images of other sizes are resized, and grey and RGB images are
        converted, to this shape.
    n_parameters_ : int
        Number of the network's parameters, moving statistics of BatchNormalization included.

    See Also
    --------
    FeatureMemory : A folder for `memory`, with a size limit.
    sklearn_patt_lite.preprocessing.FaceResizer : Converts images of all kinds to one size.
    sklearn_patt_lite.datasets.make_expression_faces : Draws faces to try the classifier on.

    Notes
    -----
    Values of the parameters that are "auto", by recipe:

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

    By default, `groups` is requested through scikit-learn's metadata routing. With
    ``sklearn.set_config(enable_metadata_routing=True)``, searches and cross-validation pass the
    groups that they split by on to `fit`. If `validation_fraction` is set, the validation split
    then keeps subjects together. Without routing, scikit-learn uses `groups` only for the outer
    split: the validation split is by image, and ``history_["validation"]["split"]`` is
    "stratified".

    A fixed number of epochs with a falling learning rate, as in "transfer" and "modern", needs no
    validation data: the network trains on all images, and the last epoch's weights are kept. Early
    stopping can be trusted if its validation data holds a few hundred images of other people: then
    set `validation_fraction` and pass `groups`, or pass `X_val` and `y_val`.

    Frozen layers only run forward, in LiteRT. Their features are a function of the image and of its
    augmented view. With "affine", each epoch has its own views, and their features are stored only
    in the folder `memory`, if there is one: all folds and candidates of a search use the same
    views, whatever their `random_state`. With a bank of views, or without augmentation, later
    epochs reuse the features of earlier ones. These are kept in RAM up to 0.5 GiB, and beyond that
    in temporary files (or in `memory`), unless they are larger than the images. In that case,
    without augmentation, the frozen layers run again in every epoch; with a bank of views (in the
    paper's recipe from 21 unfrozen layers on), the stage computes the whole network in every epoch.
    The latter also holds for `augment="exact"`, `attention="batch"`, mixed precision, a GPU, and
    Keras backends other than TensorFlow.

    If `X_val` is passed to a search, it is split by the search's folds if it is as long as `X`. A
    Pipeline passes it on untransformed unless created with ``transform_input=["X_val"]``.

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
        "crop_averaging": ["boolean"],
        "random_state": ["random_state"],
        "memory": [str, os.PathLike, FeatureMemory, HasMethods(["cache"]), None],
        "checkpoint_dir": [str, os.PathLike, None],
        "verbose": [Interval(Integral, 0, 2, closed="both")],
    }

    classes_: NDArray[Any]
    history_: dict[str, Any]
    image_shape_: tuple[int, int, int]
    n_parameters_: int

    # With routing, searches and cross-validation pass their groups to `fit` by default.
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
        crop_averaging: bool = False,
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
        self.crop_averaging = crop_averaging
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

        Each call starts from `backbone_weights` again, whatever an earlier call learned. With
        `validation_fraction` and without `X_val`, that share of the images is split off for
        validation after each epoch. Then pass `groups`, or the split may put images of one person
        on both sides.

        Parameters
        ----------
        X : array-like of shape (n, height, width) or (n, height, width, channels) or (n,)
            Images: integers 0 to 255 or floats 0 to 1, with 1 or 3 channels; or file paths.
        y : array-like of shape (n,)
            Labels, strings or integers.
        sample_weight : array-like of shape (n,), default=None
            Weights of the images in the loss.
        groups : array-like of shape (n,), default=None
            Subject of each image. If validation data is split off, it consists of whole subjects.
        X_val, y_val : array-like, default=None
            Validation data to use instead of a split, in the formats of `X` and `y`.

        Returns
        -------
        PAttLiteClassifier
            Itself, fitted. A fit that fails or is interrupted leaves it unchanged.

        Raises
        ------
        TypeError, ValueError
            If images, labels or parameters cannot be used; the message says which.
        FileNotFoundError
            If there is no file at the path of an image or of `backbone_weights`.
        ConnectionError
            If ImageNet weights are needed and can neither be found nor downloaded.

        Warns
        -----
        UserWarning
            With `attention="batch"`; if parameters of stage 2 are set, but everything trains in one
            stage; if features or a checkpoint cannot be written, as on a full disk; and, after its
            first steps, if the fit may take over an hour.

        See Also
        --------
        predict : Predicts labels of images.
        predict_proba : Predicts probabilities of the classes.
        save_model : Saves the fitted classifier to a file.

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
        # Imported here, because predictions need neither TensorFlow nor half of scikit-learn.
        keep_to_share_of_cores()
        from sklearn_patt_lite._training.data import TrainingData
        from sklearn_patt_lite._training.fit import fit_network

        with restored_on_failure(self.random_state):  # so that a second attempt resumes
            seed = check_random_state(self.random_state).randint(2**31 - 1)
            memory = as_feature_memory(self.memory)
            data = TrainingData.read(X, y, sample_weight, groups, (X_val, y_val), settings, seed)
            if self.verbose and data.split["split"] == "stratified":
                n = data.split["n_validation"]
                print(
                    f"{n} of {n + len(data.y)} images are held out for validation, image by image. "
                    "Pass groups (in searches: by metadata routing) to validate on other people."
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
        # Only now, so that a fit that does not finish changes nothing.
        self.__dict__.update(attributes(fitted, history))
        task.end(lambda: (fitted, history))
        return self

    @property
    def model_(self) -> "keras.Model":
        """
        The Keras network, from images to probabilities.

        It is built at the first access, which requires TensorFlow. On a CPU, predictions use a copy
        of its weights, made at the first prediction: `predict` does not see later changes. With
        `attention="batch"` or an accelerator, it may.

        See Also
        --------
        export_model : Exports the network for other runtimes.

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

        The probabilities of an image depend on that image only, not on those predicted with it,
        unless `attention="batch"`. They are the network's softmax, averaged over the views of the
        image that `flip_averaging` and `crop_averaging` add. They are not calibrated: long training
        makes them too extreme, which `sklearn_patt_lite.metrics.expression_report` measures.

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
            If images cannot be used; the message says which.

        See Also
        --------
        predict : Predicts only the most probable classes.
        sklearn_patt_lite.inspection.batch_invariance : Checks that the batch changes nothing.

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

        Sums of log probabilities compare hypotheses about several images; products of probabilities
        would vanish.

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
            If images cannot be used; the message says which.

        See Also
        --------
        predict_proba : Predicts the probabilities.

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

        This is the class with the highest probability in `predict_proba`; in a tie, the first of
        them in `classes_`.

        Parameters
        ----------
        X : array-like of shape (n, height, width) or (n, height, width, channels) or (n,)
            Images or file paths, as in `fit`, of any size.

        Returns
        -------
        ndarray of shape (n,)
            Labels from `classes_`.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            If the classifier is not fitted.
        TypeError, ValueError, FileNotFoundError
            If images cannot be used; the message says which.

        See Also
        --------
        predict_proba : Predicts the probabilities of all classes.
        sklearn_patt_lite.metrics.expression_report : Scores predicted labels.

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
        Save the fitted classifier to a file that others can load without trusting you.

        Loading a pickle runs any code that its author put there. This file contains only data, and
        a model card for its users.

        Parameters
        ----------
        path : path-like
            Path of the file. An existing file is replaced once the new one is complete.
        description : str, default=None
            Text for the model card, in Markdown: whose faces the classifier was trained on, and
            what for.
        half_precision : bool, default=False
            Whether to store the large kernels, nine tenths of the weights, as float16, which halves
            the file. The probabilities of the loaded classifier then differ slightly.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            If the classifier is not fitted.
        TypeError
            If labels, or the keys of `class_weight`, are neither numbers nor strings.
        FileNotFoundError, FileExistsError
            If the folder does not exist, or if `path` exists and is not a file.

        See Also
        --------
        load_model : Loads such a file.
        from_pretrained : Loads a classifier that comes with this package.
        export_model : Exports only the network, for other runtimes.

        Notes
        -----
        The file is a zip archive of `metadata.json` (parameters, classes, history, versions),
        `weights.safetensors` (the arrays) and `README.md`, a model card with validation scores, if
        any, and the limits of use. It contains no pickle. `memory`, `checkpoint_dir`, `verbose` and
        a `RandomState` as `random_state` are not saved: they belong to a process.

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
    def load_model(cls, path: PathLike, *, crop_averaging: bool | None = None) -> Self:
        """
        Load a classifier that `save_model` wrote.

        No code in the file is run, whoever wrote it. Its digests detect damage, but do not prove
        who wrote it: a classifier from a stranger may predict anything.

        Parameters
        ----------
        path : path-like
            The file.
        crop_averaging : bool, default=None
            Whether predictions average over crops, as for the parameter of that name. None: as the
            saved classifier's do.

        Returns
        -------
        PAttLiteClassifier
            Fitted. It predicts the same as the saved one, or nearly the same if it was saved with
            `half_precision`.

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        ValueError
            If it is not such a file, is of another version or damaged, or contains anything that it
            should not; the message says what. Also if `crop_averaging` is neither a bool nor None.

        See Also
        --------
        save_model : Writes such a file.

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
                f"{os.fspath(path)!r} cannot be loaded: its parameters do not match this version "
                f"({error})."
            ) from error
        if crop_averaging is not None:
            classifier.set_params(crop_averaging=crop_averaging)._validate_params()
            fitted.averaging["crop_averaging"] = bool(crop_averaging)
        classifier.__dict__.update(_fitted_attributes(fitted, classes, history))
        return classifier

    @classmethod
    def from_pretrained(cls, name: Literal["fer2013"], *, crop_averaging: bool = False) -> Self:
        """
        Load a classifier that comes with this package.

        It needs no training and no download. Its model card, `docs/pretrained.md`, says how well it
        performs and what not to use it for.

        Parameters
        ----------
        name : {"fer2013"}
            What it was trained on.

            - "fer2013": 28,709 grey faces from a web search ([1]_), with seven expressions:
              angry, disgust, fear, happy, neutral, sad and surprise.
        crop_averaging : bool, default=False
            Whether predictions also average over crops, as for the parameter of that name.

        Returns
        -------
        PAttLiteClassifier
            Fitted. Its other parameters are those that it was trained with, so `fit` on it or on a
            clone starts again from ImageNet weights. To start from the pretrained weights instead,
            set `backbone_weights` to the same name.

        Raises
        ------
        ValueError
            If there is no pretrained classifier of this name, or `crop_averaging` is not a bool.

        See Also
        --------
        sklearn_patt_lite.preprocessing.FaceCropper : Crops photographs as it expects them.
        load_model : Loads a file that `save_model` wrote.

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
                f"There is no pretrained classifier {name!r}; available: "
                f"{', '.join(map(repr, PRETRAINED))}. Use load_model for files of save_model."
            )
        with pretrained_file(name) as path:
            return cls.load_model(path, crop_averaging=crop_averaging)

    def export_model(
        self,
        path: PathLike,
        *,
        format: Literal["litert", "onnx", "saved_model"] | None = None,
        X: Images | None = None,
        calibration: Images | None = None,
    ) -> "ExportReport":
        """
        Export the fitted network for another runtime: a phone, a browser, a server.

        The export is one graph from images to probabilities, for one image or a batch; it includes
        resizing, scaling, `flip_averaging` and `crop_averaging`. Before it is kept, its
        probabilities are compared with those of the network in float32.

        Parameters
        ----------
        path : path-like
            Path of the file or folder. An existing file is replaced once the new one is complete; a
            folder is not. The file `path` + ".json" beside it describes the input image, and which
            output is which label.
        format : {"litert", "onnx", "saved_model"} or None, default=None
            - "litert": a file for LiteRT (formerly TensorFlow Lite), `.tflite`.
            - "onnx": a file for ONNX Runtime and others, `.onnx`.
            - "saved_model": a folder for TensorFlow, without a suffix.
            - None: the format that the suffix of `path` stands for.
        X : array-like, default=None
            Images to compare on, as in `predict`; by default `calibration`, or else 28 drawn faces.
        calibration : array-like, default=None
            Images of the kind that will be predicted, such as training images. With them, the
            kernels of convolutions, nearly all of a LiteRT file, are stored in 8 bits, and the
            shift that rounding causes in the channel means of 100 of these images is corrected
            [1]_.

        Returns
        -------
        ExportReport
            With `path`, `sidecar`, `format`, `n_bytes`, `n_images`, `max_difference` of
            probabilities and `agreement` of labels (0 to 1); it prints as one line.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            If the classifier is not fitted.
        ImportError
            If a package that the format needs is not installed: the extra "export".
        TypeError, ValueError
            If images cannot be used, if `format` is unknown or contradicts the suffix of `path`, if
            `calibration` is given for a format other than "litert", or with `attention="batch"`,
            whose predictions depend on more than one image.
        RuntimeError
            If a probability differs from the network's by more than 0.0001, without 8 bits; or, for
            "saved_model", if Keras does not run on TensorFlow.
        FileNotFoundError, FileExistsError
            If the folder does not exist, or if `path` exists and must not be replaced.

        Warns
        -----
        UserWarning
            If, with 8 bits, fewer than 97 % of the labels agree.

        See Also
        --------
        save_model : Saves the classifier itself, for this library.

        Notes
        -----
        The graph takes only images of the training images' shape: float32 of shape
        ``(n, *image_shape_)``, 0 to 255. It computes in float32, whatever the network's precision.

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
        """List `model_` only if it is built: notebooks and tab completion read what is listed."""
        if "_fitted" not in self.__dict__ or self._fitted.kept.is_built:
            return super().__dir__()
        # scikit-learn's own __dir__ reads every attribute, which would build the network.
        return [each for each in object.__dir__(self) if each != "model_" and hasattr(self, each)]

    def __getstate__(self):
        """Pickle only the network's weights, without optimizer state or graph."""
        state = super().__getstate__()
        if "_fitted" in state:
            state = {**state, "_fitted": state["_fitted"].state()}
        return state

    def __setstate__(self, state):
        """Restore the pickled weights; the network is built from them when it is first needed."""
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
    """Return a fitted classifier's `FittedNetwork`, for the package's other modules."""
    return classifier._fitted
