"""What `recipe` sets, and the parts of the default one and of the modern one."""

import ast
import dataclasses
import inspect
import re

import keras
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from quick import NETWORK, TRANSFER
from random_networks import spread_logits
from sklearn.base import clone
from test_checkpoint import Interrupted, assert_same_fit, interrupt

from sklearn_patt_lite import PAttLiteClassifier, _settings
from sklearn_patt_lite._inference.predictor import KerasPredictor
from sklearn_patt_lite._network.architecture import Architecture
from sklearn_patt_lite._network.batch_norm import refit_normalization
from sklearn_patt_lite._network.parts import set_trainable
from sklearn_patt_lite._network.patt_lite import BACKBONE, build_network
from sklearn_patt_lite._network.weights import load_weights
from sklearn_patt_lite._process import seeded
from sklearn_patt_lite._training.stages import cross_entropy, end_to_end_stage, stage_callbacks
from sklearn_patt_lite.datasets import make_expression_faces

# The modern recipe on a narrow network, in a few seconds
MODERN = {
    "recipe": "modern",
    **NETWORK,
    "epochs": 2,
    "batch_size": 16,
}
ARCHITECTURE = Architecture(
    n_classes=7,
    image_shape=(48, 48, 3),
    alpha=0.25,
    input_size=32,
    output_layer="conv_dw_4_relu",
    patch_size=2,
)
STAGE = {"learning_rate": 1e-2, "patience": None, "clipnorm": 3.0, "dropout": 0.0}


@pytest.fixture(scope="module")
def faces():
    return make_expression_faces(n_subjects=3, image_size=48, random_state=0)


@pytest.fixture(scope="module")
def fitted(faces):
    return PAttLiteClassifier(**MODERN).fit(faces.images, faces.target)


@pytest.fixture(scope="module")
def transferred(faces):
    return PAttLiteClassifier(**TRANSFER).fit(faces.images, faces.target)


def weights_of(network):
    return {v.path: np.asarray(v) for v in network.get_layer(BACKBONE).weights}


def drawn_network():
    with seeded(0):
        network = build_network(ARCHITECTURE)
    load_weights(network, "drawn", ARCHITECTURE)
    return network


# What a recipe sets


def test_the_table_says_what_recipes_set():
    head, rows, _ = re.search(
        r"(parameter +recipe=.*\n)=.*\n((?:\w.*\n)+)(=)", inspect.getdoc(PAttLiteClassifier)
    ).groups()
    recipes = _settings.RECIPES
    assert head.split() == ["parameter", *(f'recipe="{name}"' for name in recipes)]
    rows = [row.split() for row in rows.splitlines()]
    found = {name: tuple(map(ast.literal_eval, values)) for name, *values in rows}
    assert list(recipes) == ["transfer", "paper", "modern"]
    names = [name for name, value in PAttLiteClassifier().get_params().items() if value == "auto"]
    assert sorted(found) == names
    assert all(set(recipe) == set(names) for recipe in recipes.values())
    assert found == {name: tuple(recipe[name] for recipe in recipes.values()) for name in names}


def test_settings_are_the_parameters():
    """All but those that do not say how a fit goes."""
    parameters = inspect.signature(PAttLiteClassifier).parameters
    fields = {field.name for field in dataclasses.fields(_settings.Settings)}
    assert {*parameters} - fields == {"random_state", "memory", "checkpoint_dir"}
    assert fields <= {*parameters}


def test_what_recipes_set_is_what_the_parameters_take():
    for recipe in _settings.RECIPES.values():
        PAttLiteClassifier(**recipe)._validate_params()


@pytest.mark.parametrize(("name", "changes"), [("modern", MODERN), ("transfer", TRANSFER)])
def test_a_recipe_is_its_parameters(name, changes, faces, fitted, transferred):
    values = dict(_settings.RECIPES[name])
    if values["end_to_end"]:  # what it does not use
        values = {k: v for k, v in values.items() if k not in _settings._OF_STAGE_2}
    explicit = PAttLiteClassifier(**{**values, **changes, "recipe": "paper"})
    explicit.fit(faces.images, faces.target)
    assert_same_fit(explicit, fitted if name == "modern" else transferred)


def test_named_parameters_override_the_recipe(faces):
    changes = {"end_to_end": False, "unfreeze_layers": 0, "patience": 1, "validation_fraction": 0.2}
    classifier = PAttLiteClassifier(**{**MODERN, **changes}).fit(faces.images, faces.target)
    assert "end_to_end" not in classifier.history_
    assert classifier.history_["validation"]["n_validation"] == 7  # one a class
    assert "val_accuracy" in classifier.history_["head"]


def test_the_modern_recipe_trains_everything_on_everything(faces, fitted):
    assert list(fitted.history_) == ["data", "validation", "end_to_end", "features"]
    assert fitted.history_["validation"]["n_train"] == len(faces.images)
    start = drawn_network().get_layer(BACKBONE)
    for layer in fitted.model_.get_layer(BACKBONE).layers:
        for weight in layer.weights:
            before = next(w for w in start.get_layer(layer.name).weights if w.name == weight.name)
            assert np.abs(np.asarray(weight) - np.asarray(before)).max() > 0, weight.path


@pytest.mark.usefixtures("without_training")
def test_what_stage_2_would_use_is_told_of(faces):
    classifier = PAttLiteClassifier(**MODERN, unfreeze_layers=3)
    with pytest.warns(UserWarning, match="unfreeze_layers not used: with end_to_end everything"):
        classifier.fit(faces.images, faces.target)


def test_patience_asks_for_validation_data(faces):
    with pytest.raises(ValueError, match="validation_fraction to a share of the training data"):
        PAttLiteClassifier(**MODERN, patience=3).fit(faces.images, faces.target)


def test_a_fit_that_is_broken_off_goes_on(faces, fitted, tmp_path, monkeypatch):
    classifier = PAttLiteClassifier(**MODERN, checkpoint_dir=tmp_path)
    with monkeypatch.context() as patch:
        interrupt(patch, (0, 1))
        with pytest.raises(Interrupted):
            classifier.fit(faces.images, faces.target)
    # What was kept replaces the statistics: they need not be taken again.
    monkeypatch.setattr("sklearn_patt_lite._training.fit.refit_normalization", None)
    assert_same_fit(classifier.fit(faces.images, faces.target), fitted)


# The default: two stages


def test_the_default_needs_no_validation_data(faces, transferred):
    assert PAttLiteClassifier().recipe == "transfer"
    split = transferred.history_["validation"]
    assert (split["split"], split["n_train"]) == (None, len(faces.images))
    assert [len(transferred.history_[name]["loss"]) for name in ("head", "finetune")] == [2, 2]


def test_stage_2_adapts_its_layers_and_their_normalization_and_no_others(transferred):
    before, after = weights_of(drawn_network()), weights_of(transferred.model_)
    moved = {path for path, values in after.items() if (values != before[path]).any()}
    # The last 8 of its layers: half of block 3 and the first of block 4, which is all there is.
    layers = {path.split("/")[0] for path in moved}
    assert layers == {"conv_pw_3", "conv_pw_3_bn", "conv_dw_4", "conv_dw_4_bn"}
    assert len(moved) == 2 + 2 * 4


def test_normalization_is_left_alone_where_it_is_asked(faces):
    classifier = PAttLiteClassifier(**TRANSFER, finetune_normalization=False)
    classifier.fit(faces.images, faces.target)
    before, after = weights_of(drawn_network()), weights_of(classifier.model_)
    moved = {path.split("/")[0] for path in after if (after[path] != before[path]).any()}
    assert moved == {"conv_pw_3", "conv_dw_4"}


@pytest.mark.parametrize("changes", [{"unfreeze_layers": 0}, {"end_to_end": True}], ids=str)
def test_a_single_stage_takes_the_epochs_of_both(changes):
    changes = {**TRANSFER, "unfreeze_layers": "auto", **changes, "finetune_epochs": "auto"}
    settings = _settings.Settings.of(PAttLiteClassifier(**{**changes, "epochs": "auto"}))
    assert settings.epochs == _settings.RECIPES["transfer"]["finetune_epochs"]
    assert _settings.Settings.of(PAttLiteClassifier(**{**changes, "epochs": 5})).epochs == 5


@pytest.mark.usefixtures("without_training")
def test_epochs_that_a_single_stage_takes_are_no_reason_to_warn(faces):
    changes = {"end_to_end": True, "unfreeze_layers": "auto", "epochs": "auto"}
    PAttLiteClassifier(**{**TRANSFER, **changes}).fit(faces.images, faces.target)


@pytest.mark.parametrize("place", [(0, 1), (0, 2), (1, 1)], ids=str)
def test_a_default_fit_that_is_broken_off_goes_on(place, faces, transferred, tmp_path, monkeypatch):
    classifier = PAttLiteClassifier(**TRANSFER, checkpoint_dir=tmp_path)
    with monkeypatch.context() as patch:
        interrupt(patch, place)
        with pytest.raises(Interrupted):
            classifier.fit(faces.images, faces.target)
    assert_same_fit(classifier.fit(faces.images, faces.target), transferred)


def test_other_fits_find_the_same_views(faces, transferred, tmp_path):
    """Whatever their seeds, folds and heads are; and what they find changes nothing."""
    first = PAttLiteClassifier(**TRANSFER, memory=tmp_path).fit(faces.images, faces.target)
    n_views = len(faces.images) * (2 + 2)  # an epoch, in both stages
    assert first.history_["features"] == {"computed": n_views, "found": 0}
    assert_same_fit(first, transferred)
    other = clone(first).set_params(random_state=1, n_filters=4).fit(faces.images, faces.target)
    assert other.history_["features"] == {"computed": 0, "found": n_views}
    again = clone(first).fit(faces.images, faces.target)
    assert again.history_["features"] == {"computed": 0, "found": n_views}
    assert_same_fit(again, transferred)


def test_folds_seeds_and_depths_share_the_features_of_stage_1(faces, tmp_path):
    """What stage 2 is about to refit, as each fold and depth does in its own way, is as it was."""
    deeper = {**TRANSFER, "output_layer": "conv_dw_7_relu", "patch_size": 1, "memory": tmp_path}
    PAttLiteClassifier(**deeper).fit(faces.images, faces.target)
    other = PAttLiteClassifier(**{**deeper, "unfreeze_layers": 4, "random_state": 1})
    other.fit(faces.images[:28], faces.target[:28])
    # Two epochs of stage 1 are found. Nobody passed the end of block 6 in stage 2 before.
    assert other.history_["features"] == {"computed": 2 * 28, "found": 2 * 28}


def test_all_but_the_first_convolution_may_train_and_be_kept_in_a_file(faces, tmp_path):
    classifier = PAttLiteClassifier(**{**TRANSFER, "unfreeze_layers": 23})
    classifier.fit(faces.images, faces.target).save_model(tmp_path / "faces.zip")
    loaded = PAttLiteClassifier.load_model(tmp_path / "faces.zip")
    assert_array_equal(loaded.predict_proba(faces.images), classifier.predict_proba(faces.images))


def test_predictions_from_a_memory_are_averages_too(faces, transferred, tmp_path):
    expected = transferred.predict_proba(faces.images)
    classifier = PAttLiteClassifier(**TRANSFER, memory=tmp_path).fit(faces.images, faces.target)
    for _ in range(2):  # computed, and found
        assert_allclose(classifier.predict_proba(faces.images), expected, atol=1e-4)


# BatchNormalization that adapts


def test_refitting_changes_nothing_that_is_computed(faces):
    network = drawn_network()
    backbone = network.get_layer(BACKBONE)
    until_scaled = keras.Model(network.input, network.get_layer("scale").output)
    scaled = until_scaled(faces.images.astype("float32"), training=False)
    n = len(faces.images)
    expected = np.asarray(backbone(scaled, training=False))
    by_batch = np.asarray(backbone(scaled, training=True))
    assert np.abs(by_batch - expected).max() > 0.5  # what refitting is for
    network = drawn_network()
    backbone = network.get_layer(BACKBONE)
    refit_normalization(network, faces.images[:n], seed=0)
    assert_allclose(np.asarray(backbone(scaled, training=False)), expected, atol=1e-4)
    assert_allclose(np.asarray(backbone(scaled, training=True)), expected, atol=1e-3)


def test_only_what_trains_is_refitted(faces):
    """Rounding would make the features of frozen layers other ones in each fit."""
    network = drawn_network()
    set_trainable(network, 6, normalization=True)
    before = weights_of(network)
    refit_normalization(network, faces.images, seed=0)
    moved = {path for path, values in weights_of(network).items() if (values != before[path]).any()}
    assert {path.split("/")[0] for path in moved} == {"conv_pw_3_bn", "conv_dw_4_bn"}
    set_trainable(network, 6)
    before = weights_of(network)
    refit_normalization(network, faces.images, seed=0)
    assert all((values == before[path]).all() for path, values in weights_of(network).items())


def test_few_images_of_many_are_read():
    read = []

    class Images(np.ndarray):
        def __getitem__(self, rows):
            read.extend(rows)
            return super().__getitem__(rows)

    images = np.zeros((1000, 48, 48, 3), dtype=np.uint8).view(Images)
    refit_normalization(drawn_network(), images, seed=0)
    assert len(read) == len(set(read)) == 256


# The loss and the learning rate


def test_smoothed_labels_count_a_little_for_all_classes():
    stage = end_to_end_stage(epochs=1, label_smoothing=0.3, **STAGE)
    probabilities = np.array([[0.7, 0.2, 0.1], [0.2, 0.5, 0.3]])
    loss = np.asarray(cross_entropy(stage)(np.array([0, 2]), probabilities))
    targets = np.array([[0.8, 0.1, 0.1], [0.1, 0.1, 0.8]])
    assert_allclose(loss, -(targets * np.log(probabilities)).sum(axis=1), rtol=1e-5)


def test_smoothing_is_the_same_on_features_and_on_images(faces, monkeypatch):
    """Both ways of training a head take the same loss; hardly a step is taken here."""
    settings = {**MODERN, "end_to_end": False, "unfreeze_layers": 0, "augment": False}
    settings |= {
        "epochs": 1,
        "learning_rate": 1e-9,
        "dropout": 0.0,
        "output_layer": "conv_dw_2_relu",
    }

    def loss(smoothing):
        classifier = PAttLiteClassifier(**{**settings, "label_smoothing": smoothing})
        return classifier.fit(faces.images, faces.target).history_["head"]["loss"][0]

    on_features = loss(0.9)
    assert abs(loss(0.0) - on_features) > 0.01
    monkeypatch.setattr(
        "sklearn_patt_lite._training.fit._may_train_on_features", lambda *arguments: False
    )
    assert_allclose(loss(0.9), on_features, rtol=2e-3)


@pytest.mark.parametrize("epochs", [1, 2, 10, 25])
def test_a_cosine_rises_and_falls(epochs):
    stage = end_to_end_stage(epochs=epochs, schedule="cosine", **STAGE)
    (scheduler,) = stage_callbacks(stage, has_validation=False)
    rates = [scheduler.schedule(epoch, None) for epoch in range(epochs)]
    n_rising = round(epochs / 10)
    assert rates[n_rising] == max(rates) == STAGE["learning_rate"]
    assert (np.diff(rates[: n_rising + 1]) > 0).all()
    assert (np.diff(rates[n_rising:]) < 0).all()
    assert min(rates) > 0


def test_a_plateau_does_not_reduce_a_cosine():
    stage = end_to_end_stage(epochs=9, schedule="cosine", **{**STAGE, "patience": 3})
    kinds = [type(c) for c in stage_callbacks(stage, has_validation=True)]
    assert keras.callbacks.ReduceLROnPlateau not in kinds
    assert keras.callbacks.EarlyStopping in kinds


# Augmentation


def test_affine_maps_move_what_is_trained_on_and_nothing_else():
    affine = Architecture(n_classes=2, image_shape=(48, 48, 1), input_size=96, affine=True)
    plain = Architecture(n_classes=2, image_shape=(48, 48, 1), input_size=96)
    images = np.zeros((64, 48, 48, 1), "float32")
    images[:, 8:12, 22:26] = 255  # a spot above the middle
    places = {}
    for name, architecture in (("affine", affine), ("plain", plain)):
        with seeded(0):
            network = build_network(architecture)
        until = keras.Model(network.input, network.get_layer("scale").output)
        for training in (False, True):
            seen = np.asarray(until(images, training=training))
            assert seen.min() >= -1
            assert seen.max() <= 1
            light = (seen[..., 0] + 1).clip(0.5) - 0.5
            rows, columns = np.mgrid[:96, :96]
            total = light.sum(axis=(1, 2))
            places[name, training] = np.stack(
                [(light * at).sum(axis=(1, 2)) / total for at in (rows, columns)]
            )
    assert_allclose(places["affine", False], places["plain", False], atol=1e-3)
    assert places["plain", True].std(axis=1).max() < 0.1
    assert places["affine", True].std(axis=1).min() > 3
    # Up to 8 % of the side in each direction, a turn by 10 degrees about the middle, and a zoom
    assert np.abs(places["affine", True] - places["plain", True]).max() < 96 * 0.18


# Averages over an image and its mirror image


def test_an_image_and_its_mirror_image_are_one(faces, fitted):
    images = faces.images[:5]
    mirrored = images[:, :, ::-1]
    alone = [fitted.model_.predict(x, verbose=0) for x in (images, mirrored)]
    assert np.abs(alone[0] - alone[1]).max() > 1e-4
    found = fitted.predict_proba(images)
    assert_allclose(found, np.mean(alone, axis=0), atol=1e-5)
    assert_allclose(fitted.predict_proba(mirrored), found, atol=1e-6)


def test_averages_with_a_memory_and_of_files(faces, tmp_path):
    from PIL import Image

    changes = {"end_to_end": False, "unfreeze_layers": 0, "augment": True, "memory": tmp_path}
    classifier = PAttLiteClassifier(**{**MODERN, **changes}).fit(faces.images, faces.target)
    images = faces.images[:3]
    expected = np.mean(
        [classifier.model_.predict(x, verbose=0) for x in (images, images[:, :, ::-1])], axis=0
    )
    assert_allclose(classifier.predict_proba(images), expected, atol=1e-5)
    paths = [tmp_path / f"{i}.png" for i in range(3)]
    for path, image in zip(paths, images, strict=True):
        Image.fromarray(image).save(path)
    assert_allclose(classifier.predict_proba(paths), expected, atol=2e-2)  # read at another size


def test_predictions_average_over_crops(faces):
    classifier = PAttLiteClassifier(**{**MODERN, "epochs": 1}, crop_averaging=True)
    classifier.fit(faces.images, faces.target)
    spread_logits(classifier.model_, faces.images)  # else all views would look nearly the same
    images = faces.images[:3]
    views = {"flip_averaging": True, "crop_averaging": True}
    expected = KerasPredictor(classifier.model_, **views)(images)
    plain = KerasPredictor(classifier.model_, flip_averaging=True)(images)
    assert np.abs(expected - plain).max() > 1e-3
    assert_allclose(classifier.predict_proba(images), expected, atol=1e-5)


def test_averages_survive_a_file(faces, fitted, tmp_path):
    fitted.save_model(tmp_path / "modern.zip")
    loaded = PAttLiteClassifier.load_model(tmp_path / "modern.zip")
    assert loaded.get_params() == fitted.get_params()
    assert_array_equal(loaded.predict_proba(faces.images), fitted.predict_proba(faces.images))


def test_parameters_that_are_set_later_change_no_prediction(faces, fitted):
    expected = fitted.predict_proba(faces.images)
    fitted.set_params(flip_averaging=False)
    found = fitted.predict_proba(faces.images)
    fitted.set_params(flip_averaging="auto")
    assert_array_equal(found, expected)
