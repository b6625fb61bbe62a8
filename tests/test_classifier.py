"""The estimator as its users meet it."""

import ast
import logging
import os
import pickle
import random
import subprocess
import sys
import threading
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest
from joblib import Parallel, delayed
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image
from quick import HEAD_ONLY, QUICK, SIZE, quick
from sklearn import config_context
from sklearn.base import clone, is_classifier
from sklearn.exceptions import NotFittedError
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    HalvingGridSearchCV,
    cross_validate,
)
from sklearn.pipeline import make_pipeline
from sklearn.utils.class_weight import compute_sample_weight

from sklearn_patt_lite import PAttLiteClassifier, _settings
from sklearn_patt_lite._images.check import resize_images
from sklearn_patt_lite._network import weights
from sklearn_patt_lite._network.parts import named_weights
from sklearn_patt_lite._process import without_retracing_warnings
from sklearn_patt_lite._training.fit import StagedFit
from sklearn_patt_lite.preprocessing import FaceAugmenter, FaceResizer


def bright_bands(n):
    """Noise with a band that is brighter than the others, but not much: the class, of four."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 4, n)
    coarse = rng.uniform(0, 0.7, (n, 4, 4))
    coarse[np.arange(n), y] += 0.3
    return coarse.repeat(8, axis=1).repeat(8, axis=2), y  # (n, 32, 32)


# The interface


def test_it_is_a_classifier_of_scikit_learn():
    classifier = quick()
    assert is_classifier(classifier)
    assert clone(classifier).get_params() == classifier.get_params()
    assert classifier.set_params(patch_size=3).patch_size == 3
    assert "patch_size=3" in repr(classifier)
    assert "PAttLiteClassifier" in classifier._repr_html_()
    tags = classifier.__sklearn_tags__()
    assert not tags.input_tags.two_d_array
    assert not tags.non_deterministic


def test_the_papers_recipe_is_the_papers():
    defaults = PAttLiteClassifier().get_params()
    recipe = _settings.RECIPES["paper"]
    assert (recipe["input_size"], recipe["batch_size"], recipe["epochs"]) == (224, 8, 100)
    assert defaults["output_layer"] == "conv_dw_9_relu"
    assert (defaults["learning_rate"], recipe["finetune_learning_rate"]) == (1e-3, 1e-5)


def test_fit_and_predict(faces, fitted):
    probabilities = fitted.predict_proba(faces.images)
    assert probabilities.shape == (len(faces.images), 7)
    assert probabilities.dtype == np.float32
    assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)
    assert_array_equal(fitted.predict(faces.images), probabilities.argmax(axis=1))
    assert_array_equal(fitted.classes_, np.arange(7))
    assert fitted.image_shape_ == (SIZE, SIZE, 3)
    assert fitted.n_parameters_ == fitted.model_.count_params()


@pytest.mark.parametrize("attention", ["patches", None])
def test_it_learns_in_both_stages(attention):
    X, y = bright_bands(400)
    classifier = quick(attention=attention, epochs=8, finetune_epochs=4)
    classifier.fit(X[:300], y[:300])
    history = classifier.history_
    assert history["head"]["loss"][-1] < history["head"]["loss"][0]
    assert history["finetune"]["loss"][-1] < history["head"]["loss"][0]
    expected = (classifier.predict(X[300:]) == y[300:]).mean()
    assert classifier.score(X[300:], y[300:]) == expected


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision(faces, policy):
    """As GPUs like it; features of frozen layers are for float32."""
    import keras

    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        classifier = quick(unfreeze_layers=0).fit(faces.images, faces.target)
        found = classifier.predict_proba(faces.images)
        expected = classifier.model_.predict(faces.images, verbose=0)
    finally:
        keras.config.set_dtype_policy(before)
    assert classifier.model_.get_layer("hidden").compute_dtype == policy.removeprefix("mixed_")
    assert classifier.history_["features"] == {"computed": 0, "found": 0}
    first, last = classifier.history_["head"]["loss"]
    assert np.isfinite(last)
    assert last != first  # it trains
    assert found.dtype == np.float32
    assert_allclose(found.sum(axis=1), 1, rtol=1e-5)
    # Images differ by more than what two digits of bfloat16 leave between two ways to predict.
    assert_allclose(found, expected, atol=min(1e-3, found.std(axis=0).max() / 2))


def test_string_labels(faces):
    names = faces.target_names[faces.target]
    classifier = quick(epochs=1, unfreeze_layers=0).fit(faces.images, names)
    assert_array_equal(classifier.classes_, np.unique(names))
    assert set(classifier.predict(faces.images[:9])) <= set(names)


def test_the_same_seed_gives_the_same_predictions(faces, fitted):
    again = quick(epochs=6).fit(faces.images, faces.target, groups=faces.groups)
    other = quick(epochs=6, random_state=1).fit(faces.images, faces.target, groups=faces.groups)
    expected = fitted.predict_proba(faces.images)
    assert_array_equal(again.predict_proba(faces.images), expected)
    assert np.abs(other.predict_proba(faces.images) - expected).max() > 1e-3


@pytest.mark.slow
@pytest.mark.parametrize("augment", [True, "exact"])
def test_what_other_threads_draw_changes_no_fit(augment, faces):
    """An event loop draws, as that of a cluster's worker does."""
    settings = {"augment": augment, "epochs": 1, "unfreeze_layers": 0}
    expected = quick(**settings).fit(faces.images, faces.target)
    ended = threading.Event()

    def draw():
        while not ended.wait(1e-5):
            random.random()
            np.random.random()

    other = threading.Thread(target=draw)
    other.start()
    try:
        fitted = quick(**settings).fit(faces.images, faces.target)
    finally:
        ended.set()
        other.join()
    for mine, theirs in zip(
        fitted.model_.get_weights(), expected.model_.get_weights(), strict=True
    ):
        assert_array_equal(mine, theirs)


def test_global_seeds_are_as_they_were(faces, fitted):
    import keras

    keras.utils.set_random_seed(7)
    expected = random.random(), np.random.random(), float(keras.random.uniform(()))
    keras.utils.set_random_seed(7)
    quick(epochs=1, unfreeze_layers=0).fit(faces.images, faces.target)
    drawn = random.random(), np.random.random(), float(keras.random.uniform(()))
    assert drawn == expected


def test_global_seeds_are_as_they_were_with_an_earlier_network(faces, fitted, tmp_path):
    """Keras draws seeds for the layers that it loads."""
    fitted.model_.save(tmp_path / "earlier.keras")
    before = random.getstate()
    quick(backbone_weights=tmp_path / "earlier.keras", epochs=1, unfreeze_layers=0).fit(
        faces.images, faces.target
    )
    assert random.getstate() == before


def test_threads_do_not_mix_their_seeds(faces):
    def probabilities():
        classifier = quick(epochs=1, unfreeze_layers=0).fit(faces.images, faces.target)
        return classifier.predict_proba(faces.images)

    expected = probabilities()
    in_threads = Parallel(n_jobs=2, backend="threading")(delayed(probabilities)() for _ in range(2))
    for result in in_threads:
        assert_array_equal(result, expected)


def test_tensorflow_does_not_complain_of_many_networks(caplog):
    import tensorflow as tf

    logger = logging.getLogger("tensorflow")

    def warnings_of_retracing(function):
        caplog.clear()
        traced = tf.function(function)
        for number in range(7):  # each Python number is traced anew
            traced(number)
        return [record for record in caplog.records if "retracing" in record.getMessage()]

    logger.addHandler(caplog.handler)
    try:
        with without_retracing_warnings():
            assert not warnings_of_retracing(lambda x: x)
            logger.warning("something else")
            assert "something else" in caplog.messages
        # TensorFlow counts by place, so this must be another line.
        assert warnings_of_retracing(lambda x: x)
    finally:
        logger.removeHandler(caplog.handler)


def test_fits_silence_warnings_of_retracing(faces, monkeypatch):
    logger = logging.getLogger("tensorflow")
    before, within = list(logger.filters), []

    def run(fit):
        within.extend(logger.filters)
        return {}

    monkeypatch.setattr(StagedFit, "run", run)
    PAttLiteClassifier(**HEAD_ONLY).fit(faces.images, faces.target)
    assert len(within) == len(before) + 1
    assert logger.filters == before


def test_pickle_gives_identical_probabilities(faces, fitted):
    loaded = pickle.loads(pickle.dumps(fitted))
    assert_array_equal(loaded.predict_proba(faces.images), fitted.predict_proba(faces.images))
    assert loaded.history_ == fitted.history_
    # Weights only: neither an optimizer's state nor a graph comes along.
    assert len(pickle.dumps(fitted)) < 4 * fitted.n_parameters_ + 50_000


def test_changed_parameters_do_not_reach_a_fitted_network(faces, fitted):
    loaded = pickle.loads(pickle.dumps(fitted)).set_params(n_filters=3, attention="batch")
    assert_array_equal(
        pickle.loads(pickle.dumps(loaded)).predict(faces.images), fitted.predict(faces.images)
    )


def test_an_interrupted_fit_changes_nothing(faces, fitted, monkeypatch):

    def interrupted(*args, **kwargs):
        raise KeyboardInterrupt

    unfitted, refitted = quick(), pickle.loads(pickle.dumps(fitted))
    before = refitted.predict_proba(faces.images)
    monkeypatch.setattr(StagedFit, "run", interrupted)
    for classifier in (unfitted, refitted):
        with pytest.raises(KeyboardInterrupt):
            classifier.fit(faces.images, faces.target % 2)
    with pytest.raises(NotFittedError):
        unfitted.predict(faces.images)
    assert not [name for name in vars(unfitted) if name.endswith("_")]
    assert_array_equal(refitted.predict_proba(faces.images), before)
    assert len(refitted.classes_) == 7


def test_it_is_quiet_by_default_and_shows_progress_at_1(faces, capfd):
    quick().fit(faces.images, faces.target)
    assert capfd.readouterr().out == ""
    quick(verbose=1).fit(faces.images, faces.target)
    out = capfd.readouterr().out
    assert "stage 'head': backbone frozen, at most 2 epochs" in out
    assert "stage 'finetune': backbone unfrozen in the last 4 layers" in out
    assert out.count("val_accuracy") == 4  # a line an epoch


# A prediction depends on its own image only


def test_probabilities_do_not_depend_on_the_company(faces):
    import keras

    settings = {"patience": None, "finetune_patience": None, "validation_fraction": None}
    fitted = quick(epochs=12, unfreeze_layers=0, **settings).fit(faces.images, faces.target)
    backbone = fitted.model_.get_layer("mobilenet")
    features = keras.Model(fitted.model_.input, backbone(fitted.model_.get_layer("scale").output))
    assert features.predict(faces.images, verbose=0).std(axis=0).mean() > 0.1
    images = faces.images[:40]
    expected = fitted.predict_proba(images)
    assert expected.std(axis=0).max() > 1e-3  # else the test could not fail
    for batch_size in (1, 8, 32):
        batches = [images[i : i + batch_size] for i in range(0, 40, batch_size)]
        assert_allclose(
            np.concatenate([fitted.predict_proba(batch) for batch in batches]), expected, atol=1e-5
        )
        assert_allclose(
            fitted.model_.predict(images, batch_size=batch_size, verbose=0), expected, atol=1e-5
        )
    order = np.random.default_rng(0).permutation(40)
    assert_allclose(fitted.predict_proba(images[order]), expected[order], atol=1e-5)
    others = faces.images[40:80]
    with_others = fitted.predict_proba(np.concatenate([others, images]))[40:]
    assert_allclose(with_others, expected, atol=1e-5)


def test_attention_across_the_batch_is_what_the_published_code_does(monkeypatch):
    """The very same images get other probabilities in other company: sorted by class."""
    X, y = bright_bands(120)
    train, test = np.arange(60), np.arange(60, 120)
    classifier = quick(
        attention="batch", epochs=2, patience=None, validation_fraction=None, unfreeze_layers=0
    )
    with pytest.warns(UserWarning, match="depend on the other images of its batch"):
        classifier.fit(X[train], y[train])
    by_class = test[np.argsort(y[test], kind="stable")]
    in_order, shuffled = (classifier.predict_proba(X[rows]) for rows in (by_class, test))
    assert np.abs(in_order[np.argsort(by_class)] - shuffled).max() > 1e-3
    # Images are read some at a time, but in whole batches.
    monkeypatch.setattr("sklearn_patt_lite._inference.predictor._CHUNK", classifier.batch_size + 8)
    assert_array_equal(classifier.predict_proba(X[test]), shuffled)


# The two stages


@pytest.mark.parametrize("unfreeze_layers", [0, 4])
def test_history_has_a_part_a_stage(faces, unfreeze_layers):
    history = quick(unfreeze_layers=unfreeze_layers).fit(faces.images, faces.target).history_
    stages = {"head", "finetune"} if unfreeze_layers else {"head"}
    assert set(history) == {"data", "validation", "features"} | stages
    for stage in stages:
        lists = {key: value for key, value in history[stage].items() if key != "best_epoch"}
        assert set(lists) == {"loss", "accuracy", "val_loss", "val_accuracy", "learning_rate"}
        assert all(type(v) is float for values in lists.values() for v in values)
        assert {len(values) for values in lists.values()} == {2}


def test_random_weights_train_in_one_stage(faces):
    defaults = {p: v for p, v in PAttLiteClassifier().get_params().items() if "finetune" in p}
    classifier = quick(backbone_weights=None, unfreeze_layers="auto", **defaults)
    history = classifier.fit(faces.images, faces.target).history_
    assert set(history) == {"data", "validation", "features", "end_to_end"}
    assert history["features"] == {"computed": 0, "found": 0}


def test_parameters_may_be_numbers_of_numpy(faces, tmp_path):
    """As grids made by `np.arange` have them."""
    numbers = {"batch_size": 16, "hidden_units": 8, "n_filters": 8, "patch_size": 2, "epochs": 1}
    expected = quick(**numbers, unfreeze_layers=0).fit(faces.images, faces.target)
    changes = {name: np.int64(value) for name, value in numbers.items()}
    classifier = quick(**changes, unfreeze_layers=np.int64(0), learning_rate=np.float64(1e-2))
    found = classifier.fit(faces.images, faces.target).predict_proba(faces.images)
    assert_array_equal(found, expected.predict_proba(faces.images))
    classifier.save_model(tmp_path / "classifier.zip")


@pytest.mark.usefixtures("without_training")
def test_random_weights_warn_of_parameters_that_are_not_used(faces):
    with pytest.warns(UserWarning, match="unfreeze_layers, finetune_epochs.* not used") as caught:
        quick(backbone_weights=None).fit(faces.images, faces.target)
    assert caught[0].filename == __file__
    with pytest.warns(UserWarning, match="depend on the other images of its batch") as caught:
        quick(attention="batch").fit(faces.images, faces.target)
    assert caught[0].filename == __file__


class TwoParameters(PAttLiteClassifier):
    """Sets all others itself, as a user's subclass may."""

    def __init__(self, epochs=1, backbone_weights=None):
        super().__init__(**QUICK | {"epochs": epochs, "backbone_weights": backbone_weights})


@pytest.mark.usefixtures("without_training")
def test_subclasses_may_have_fewer_parameters(faces):
    with pytest.warns(UserWarning, match="not used"):
        TwoParameters().fit(faces.images, faces.target)


@pytest.mark.parametrize(
    ("parameter", "error"), [("output_layer", ValueError), ("backbone_weights", FileNotFoundError)]
)
def test_auto_is_for_what_recipes_set(faces, parameter, error):
    with pytest.raises(error, match=f"{parameter}='auto'|'auto'"):
        quick(**{parameter: "auto"}).fit(faces.images, faces.target)


@pytest.mark.usefixtures("without_training")
def test_settings_that_ask_for_no_stage_2_are_no_reason_to_warn(faces):
    classifier = quick(
        backbone_weights=None,
        validation_fraction=None,
        patience=None,
        unfreeze_layers=0,
        finetune_patience=None,
        finetune_epochs=500,
        finetune_learning_rate=1e-5,
    )
    classifier.fit(faces.images, faces.target)  # warnings are errors


@pytest.mark.parametrize("class_weight", ["balanced", None, {3: 50.0}], ids=str)
def test_classes_are_balanced(class_weight, faces, monkeypatch):
    """What is trained on has scikit-learn's weights; training heeds them, as test_training says."""
    rare = faces.target == 3
    few = np.flatnonzero(~rare | (np.cumsum(rare) <= 2))
    seen, run = [], StagedFit.run

    def look(fit):
        seen.append(fit._data)
        return run(fit)

    monkeypatch.setattr(StagedFit, "run", look)
    settings = {"patience": None, "validation_fraction": None, "unfreeze_layers": 0}
    classifier = quick(class_weight=class_weight, epochs=1, **settings)
    classifier.fit(faces.images[few], faces.target[few])
    (data,) = seen
    assert_array_equal(data.y, faces.target[few])
    expected = compute_sample_weight(class_weight, faces.target[few])
    assert_allclose(data.sample_weight, expected, rtol=1e-6)


@pytest.mark.parametrize("name", ["earlier.keras", "earlier.zip", "earlier.model"])
def test_an_earlier_classifier_goes_on_with_other_classes(name, faces, fitted, tmp_path):
    save = fitted.model_.save if name.endswith(".keras") else fitted.save_model
    save(tmp_path / name)
    two_classes = faces.target % 2
    later = quick(
        backbone_weights=tmp_path / name,
        epochs=1,
        learning_rate=1e-12,
        unfreeze_layers=0,
    ).fit(faces.images, two_classes)
    assert later.model_.output.shape == (None, 2)
    earlier, later = (named_weights(model) for model in (fitted.model_, later.model_))
    for path, before in earlier.items():
        layer = path.split("/")[0]
        if layer == "probabilities":
            assert later[path].shape != before.shape
        elif layer.startswith("conv"):
            assert_array_equal(later[path], before, path)
        elif "moving" not in path:
            assert_allclose(later[path], before, atol=1e-6, err_msg=path)


@pytest.mark.parametrize("name", ["own.weights.h5", "legacy.h5"])
def test_mobilenets_own_weight_files(faces, tmp_path, name):
    import keras

    mobilenet = keras.applications.MobileNet(
        input_shape=(64, 64, 3), alpha=0.25, include_top=False, weights=None
    )
    if name == "legacy.h5":
        save_legacy_weights(mobilenet, tmp_path / name)
    else:
        mobilenet.save_weights(tmp_path / name)
    classifier = quick(backbone_weights=str(tmp_path / name), epochs=1, unfreeze_layers=0)
    classifier.fit(faces.images, faces.target)
    backbone = classifier.model_.get_layer("mobilenet")
    for layer in backbone.layers[1:]:  # behind the input, whose name is a running number
        for loaded, saved in zip(
            layer.get_weights(), mobilenet.get_layer(layer.name).get_weights(), strict=True
        ):
            assert_array_equal(loaded, saved)


def save_legacy_weights(model, path):
    """Write the format of Keras' own ImageNet files."""
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [layer.name for layer in model.layers]
        file.attrs["backend"], file.attrs["keras_version"] = "tensorflow", "2.0"
        for layer in model.layers:
            group = file.create_group(layer.name)
            names = [f"{layer.name}/{i}" for i in range(len(layer.weights))]
            group.attrs["weight_names"] = names
            for weight_name, weight in zip(names, layer.get_weights(), strict=True):
                group[weight_name] = weight


# In searches and cross-validation


@pytest.mark.slow
def test_grid_search_over_unfreeze_depths_patches_and_output_layers(faces):
    search = GridSearchCV(
        make_pipeline(FaceResizer(size=SIZE), quick(epochs=1, finetune_epochs=1)),
        [
            {"pattliteclassifier__unfreeze_layers": [4]},
            {
                "pattliteclassifier__unfreeze_layers": [0],
                "pattliteclassifier__patch_size": [1],
                "pattliteclassifier__output_layer": ["conv_dw_3_relu"],
            },
        ],
        cv=GroupKFold(2),
        error_score="raise",
    )
    with config_context(enable_metadata_routing=True):
        search.fit(faces.images, faces.target, groups=faces.groups)
    assert len(search.cv_results_["params"]) == 2
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert search.predict(faces.images).shape == faces.target.shape
    validation = search.best_estimator_[-1].history_["validation"]
    assert validation["split"] == "groups"
    assert_subjects_apart(validation["indices"], faces.groups)


def test_no_subject_is_on_both_sides_of_an_inner_cut(faces):
    with config_context(enable_metadata_routing=True):
        results = cross_validate(
            quick(epochs=1, unfreeze_layers=0),
            faces.images,
            faces.target,
            cv=GroupKFold(3),
            params={"groups": faces.groups},
            return_estimator=True,
            return_indices=True,
            error_score="raise",
        )
    for estimator, train in zip(results["estimator"], results["indices"]["train"], strict=True):
        assert estimator.history_["validation"]["split"] == "groups"
        assert_subjects_apart(estimator.history_["validation"]["indices"], faces.groups[train])


def assert_subjects_apart(validation, groups):
    train = np.setdiff1d(np.arange(len(groups)), validation)
    assert len(validation) > 0
    assert not set(groups[validation]) & set(groups[train])


def test_without_routing_the_history_shows_that_the_cut_was_not_by_groups(faces):
    search = GridSearchCV(quick(epochs=1, unfreeze_layers=0), {"patch_size": [2]}, cv=GroupKFold(2))
    search.fit(faces.images, faces.target, groups=faces.groups)
    assert search.best_estimator_.history_["validation"]["split"] == "stratified"


def test_validation_data_can_be_given(faces):
    train, validation = faces.groups < 4, faces.groups >= 4
    classifier = quick(validation_fraction=None, epochs=1, unfreeze_layers=0).fit(
        faces.images[train],
        faces.target[train],
        X_val=faces.images[validation] / 255,
        y_val=faces.target[validation],
    )
    history = classifier.history_["validation"]
    assert history == {
        "split": "given",
        "n_train": train.sum(),
        "n_validation": validation.sum(),
        "indices": None,
    }


def test_fixed_epochs_on_everything(faces):
    classifier = quick(validation_fraction=None, patience=None, finetune_patience=None)
    history = classifier.fit(faces.images, faces.target).history_
    assert history["validation"]["n_train"] == len(faces.images)
    assert history["validation"]["split"] is None
    assert "val_accuracy" not in history["head"]
    assert len(history["finetune"]["loss"]) == QUICK["finetune_epochs"]


# What an image may be


def test_prediction_takes_other_sizes_and_channels(faces, fitted):
    expected = fitted.predict_proba(faces.images)
    larger = faces.images.repeat(2, axis=1).repeat(2, axis=2)
    probabilities = fitted.predict_proba(larger)
    smaller = resize_images(larger, fitted.image_shape_)  # a little blurred
    assert_allclose(probabilities, fitted.predict_proba(smaller), atol=1e-5)
    grey = np.asarray([Image.fromarray(image).convert("L") for image in faces.images])
    assert fitted.predict_proba(grey).shape == expected.shape
    as_floats = fitted.predict_proba(faces.images / 255)
    assert_allclose(as_floats, expected, atol=1e-6)


def test_grey_training_images_and_colour_at_prediction(faces):
    grey = np.asarray([Image.fromarray(image).convert("L") for image in faces.images])
    classifier = quick(epochs=1, unfreeze_layers=0).fit(grey, faces.target)
    assert classifier.image_shape_ == (SIZE, SIZE, 1)
    assert_allclose(
        classifier.predict_proba(faces.images), classifier.predict_proba(grey), atol=0.02
    )


def test_file_paths(faces, fitted, tmp_path):
    paths = [tmp_path / f"{i}.png" for i in range(len(faces.images))]
    for path, image in zip(paths, faces.images, strict=True):
        Image.fromarray(image).save(path)
    assert_allclose(fitted.predict_proba(paths), fitted.predict_proba(faces.images), atol=1e-6)
    changed = pickle.loads(pickle.dumps(fitted)).set_params(input_size=8)
    assert_array_equal(changed.predict_proba(paths), fitted.predict_proba(paths))
    with config_context(enable_metadata_routing=True):
        scores = cross_validate(
            quick(epochs=1, unfreeze_layers=0),
            paths,
            faces.target.tolist(),
            cv=GroupKFold(2),
            params={"groups": faces.groups.tolist()},
            error_score="raise",
        )
    assert np.isfinite(scores["test_score"]).all()
    # Which view an image shows in which epoch depends on its file's bytes, or on its pixels.
    plain = quick(epochs=1, unfreeze_layers=0, augment=False)
    from_paths = clone(plain).fit([str(p) for p in paths], faces.target)
    from_images = clone(plain).fit(faces.images, faces.target)
    assert from_paths.image_shape_ == (SIZE, SIZE, 3)
    assert_allclose(
        from_paths.predict_proba(faces.images), from_images.predict_proba(faces.images), atol=1e-6
    )


# Bad input: a clear error that names the culprit


def with_value(value):
    def change(images):
        images = images / 255
        images[3, 0, 0] = value
        return images

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda images: images[:0], r"0 sample"),
        (lambda images: images.reshape(len(images), -1), r"got 2-D shape .*reshape"),
        (lambda images: images[..., [0, 1, 2, 0, 1]], r"1 or 3 channels, got 5"),
        (lambda images: images.astype(float), r"0\.\.1.*divide"),
        (with_value(np.nan), r"NaN, first in image 3"),
        (with_value(np.inf), r"infinity, first in image 3"),
        (lambda images: images.astype(int) * 257, r"0\.\.255"),
        (lambda images: images[1:], r"inconsistent numbers of samples"),
    ],
    ids=["empty", "2-D", "5 channels", "above 1", "NaN", "infinity", "16 bits", "lengths"],
)
def test_unusable_images(faces, change, message):
    with pytest.raises(ValueError, match=message):
        quick().fit(change(faces.images), faces.target)


@pytest.mark.parametrize("kind", ["missing", "corrupt"])
def test_unreadable_files_are_named(faces, tmp_path, kind):
    paths = [tmp_path / f"face_{i}.png" for i in range(14)]
    for path, image in zip(paths, faces.images, strict=False):
        Image.fromarray(image).save(path)
    if kind == "missing":
        paths[5].unlink()
    else:
        paths[5].write_bytes(b"no picture")
    with pytest.raises((FileNotFoundError, ValueError), match=r"row 5.*face_5\.png"):
        quick().fit(paths, faces.target[:14])


@pytest.mark.parametrize(
    ("fit", "message"),
    [
        ({"y": None}, "requires y to be passed"),
        ({"y": np.zeros(84)}, "only one class, 0.0"),
        ({"groups": np.zeros(84)}, "belong to the group"),
        ({"groups": np.zeros(5)}, "inconsistent numbers of samples"),
        ({"sample_weight": -np.ones(84)}, "[Nn]egative"),
        ({"X_val": np.zeros((2, 32, 32))}, "y_val is None"),
        ({"y_val": np.zeros(2)}, "X_val is None"),
        ({"X_val": np.ones((1, 32, 32)), "y_val": [9]}, r"labels that are not in y: \[9\]"),
    ],
    ids=["no y", "one class", "one group", "groups", "weights", "X_val", "y_val", "new label"],
)
def test_unusable_companions(faces, fit, message):
    with pytest.raises(ValueError, match=message):
        quick().fit(faces.images, fit.pop("y", faces.target), **fit)


@pytest.mark.usefixtures("without_training")
def test_a_class_with_a_single_image_is_trained_on(faces):
    rows = np.flatnonzero((faces.target != 2) | (np.cumsum(faces.target == 2) == 1))
    classifier = quick().fit(faces.images[rows], faces.target_names[faces.target[rows]])
    assert "fear" in classifier.classes_
    (rare,) = np.flatnonzero(faces.target[rows] == 2)
    assert rare not in classifier.history_["validation"]["indices"]


def test_a_class_of_a_single_subject_is_named(faces):
    rows = (faces.target != 2) | (faces.groups == 0)
    only_two = rows & (faces.groups < 2)
    y = np.where(faces.target == 2, "fear", np.where(faces.groups == 0, "a", "b"))[only_two]
    with pytest.raises(ValueError, match=r"Class .*has images of 1 group"):
        quick().fit(faces.images[only_two], y, groups=faces.groups[only_two])


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"output_layer": "conv_99"}, r"output_layer='conv_99'.*conv_dw_9_relu"),
        ({"attention": "heads"}, r"'attention' parameter.*'patches'"),
        ({"patch_extraction": "crop"}, r"'patch_extraction' parameter.*'separable'"),
        ({"input_size": 31}, r"input_size=31 is too small.*smallest that works is 32"),
        ({"validation_fraction": None}, r"patience=5 and finetune_patience=20.*set them to None"),
        ({"alpha": 0.5}, r"'drawn' needs alpha=0.25, got alpha=0.5"),
        ({"alpha": 0.3, "backbone_weights": "imagenet"}, r"no ImageNet weights for alpha=0.3"),
        ({"alpha": 0.01}, r"alpha=0.01 leaves no filters"),
        ({"patch_size": 10**6}, r"patch_size=1000000.*smallest that works is beyond"),
        ({"class_weight": dict.fromkeys(range(7), -1.0)}, r"negative weights"),
        ({"dropout": 1}, r"'dropout' parameter"),
        ({"verbose": 3}, r"'verbose' parameter"),
    ],
    ids=lambda p: next(iter(p)) if isinstance(p, dict) else "",
)
def test_unusable_parameters(faces, parameters, message):
    with pytest.raises(ValueError, match=message):
        quick(**parameters).fit(faces.images, faces.target)


def test_predicting_before_fitting(faces):
    with pytest.raises(NotFittedError):
        quick().predict_proba(faces.images)


@pytest.mark.parametrize("name", ["no_such.h5", "imagenets"])
def test_a_weight_file_that_is_not_there(faces, name):
    with pytest.raises(FileNotFoundError, match=rf"{name}.*'imagenet', 'fer2013', 'drawn', None"):
        quick(backbone_weights=name).fit(faces.images, faces.target)


def test_a_weight_file_that_holds_something_else(faces, tmp_path):
    import keras

    keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)]).save(tmp_path / "other.keras")
    with pytest.raises(ValueError, match="not the network of a PAttLiteClassifier"):
        quick(backbone_weights=tmp_path / "other.keras").fit(faces.images, faces.target)
    (tmp_path / "damaged.keras").write_bytes(b"no network")
    with pytest.raises(ValueError, match=r"damaged.keras' cannot be read"):
        quick(backbone_weights=tmp_path / "damaged.keras").fit(faces.images, faces.target)
    (tmp_path / "damaged.zip").write_bytes(b"no archive")
    with pytest.raises(ValueError, match=r"damaged.zip' is damaged or not from save_model"):
        quick(backbone_weights=tmp_path / "damaged.zip").fit(faces.images, faces.target)
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as archive:
        archive.writestr("notes.txt", "no weights")
    with pytest.raises(ValueError, match=r"other.zip' is damaged or not from save_model"):
        quick(backbone_weights=tmp_path / "other.zip").fit(faces.images, faces.target)
    with zipfile.ZipFile(tmp_path / "forged.zip", "w") as archive:
        archive.writestr("weights.safetensors", b"no arrays")
    with pytest.raises(ValueError, match=r"forged.zip' cannot be read: weights.safetensors is dam"):
        quick(backbone_weights=tmp_path / "forged.zip").fit(faces.images, faces.target)
    (tmp_path / "other.h5").write_bytes(b"no weights")
    with pytest.raises(ValueError, match="does not contain the weights of"):
        quick(backbone_weights=tmp_path / "other.h5").fit(faces.images, faces.target)


def test_a_backbone_of_another_width_is_refused(faces, fitted, tmp_path):
    fitted.model_.save(tmp_path / "narrow.keras")
    with pytest.raises(ValueError, match=r"does not fit the layer 'conv1'.*alpha and output_layer"):
        quick(backbone_weights=tmp_path / "narrow.keras", alpha=0.5).fit(faces.images, faces.target)


@pytest.fixture
def imagenet_file(tmp_path, monkeypatch):
    """Where Keras keeps the weights for alpha=0.25, which are not there yet, and random ones."""
    import keras

    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    network = keras.applications.MobileNet((224, 224, 3), 0.25, include_top=False, weights=None)
    save_legacy_weights(network, tmp_path / "random.h5")
    (tmp_path / "models").mkdir()
    weights._imagenet_weights.cache_clear()
    yield tmp_path / "models" / "mobilenet_2_5_224_tf_no_top.h5"
    weights._imagenet_weights.cache_clear()


def test_a_download_is_seen_when_it_is_complete(imagenet_file, monkeypatch):
    """Other processes take a file of this name for a complete one."""
    content = (imagenet_file.parents[1] / "random.h5").read_bytes()

    def download(fname, origin, *, cache_subdir):
        assert origin.endswith(imagenet_file.name)
        assert not imagenet_file.exists()
        path = imagenet_file.parents[1] / cache_subdir / fname
        path.write_bytes(content)
        return str(path)

    monkeypatch.setattr("keras.utils.get_file", download)
    found = weights._imagenet_weights(0.25)
    assert found["conv1"][0].shape == (3, 3, 3, 8)
    assert [path.name for path in imagenet_file.parent.iterdir()] == [imagenet_file.name]
    assert imagenet_file.read_bytes() == content


@pytest.mark.parametrize("is_writable", [True, False])
@pytest.mark.parametrize("place", ["models", "fallback"])
def test_where_weights_are_looked_for(place, is_writable, imagenet_file, monkeypatch):
    """In KERAS_HOME; and where Keras downloads to if it cannot write there."""
    home = imagenet_file.parents[1]
    (home / "fallback").mkdir()
    (home / "random.h5").rename(home / place / imagenet_file.name)
    monkeypatch.setattr(weights, "_FALLBACK", str(home / "fallback"))
    access = os.access
    monkeypatch.setattr(
        os, "access", lambda path, mode: is_writable if path == str(home) else access(path, mode)
    )

    def refuse(*args, **kwargs):
        raise OSError("no network")

    monkeypatch.setattr("keras.utils.get_file", refuse)
    if place == "models" or not is_writable:
        assert "conv1" in weights._imagenet_weights(0.25)
    else:
        with pytest.raises(ConnectionError, match="no network"):
            weights._imagenet_weights(0.25)


def test_weights_that_are_damaged_are_named(imagenet_file):
    imagenet_file.write_bytes(b"a part of it")
    with pytest.raises(ValueError, match=rf"{imagenet_file.name}' does not contain the weights"):
        weights._imagenet_weights(0.25)


def test_imagenet_weights_without_a_network(tmp_path):
    """In a process of its own: Keras looks for its home when it is imported."""
    program = (
        "import numpy as np\n"
        "from sklearn_patt_lite import PAttLiteClassifier\n"
        "X, y = np.zeros((20, 32, 32)), np.arange(20) % 2\n"
        "PAttLiteClassifier(alpha=0.25, input_size=96).fit(X, y)\n"
    )
    nowhere = {"https_proxy": "http://127.0.0.1:9", "HTTPS_PROXY": "http://127.0.0.1:9"}
    result = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "KERAS_HOME": str(tmp_path), **nowhere},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 1
    error = result.stderr.splitlines()[-1]
    assert error.startswith("ConnectionError")
    assert "mobilenet_2_5_224_tf_no_top.h5" in error
    assert str(tmp_path / "models") in error
    assert "backbone_weights='drawn'" in error
    assert not list(tmp_path.glob("**/*.h5"))


# Importing


def test_public_names():
    import sklearn_patt_lite

    assert "PAttLiteClassifier" in dir(sklearn_patt_lite)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        sklearn_patt_lite.nothing  # noqa: B018
    version = Path(__file__).parents[1].joinpath("pyproject.toml").read_text()
    assert f'version = "{sklearn_patt_lite.__version__}"' in version


@pytest.mark.slow
def test_nothing_is_left_behind_from_candidate_to_candidate():
    """What holds memory is as many after 4 fits, of two architectures in turns, as after 2."""
    script = """
import collections, gc
from sklearn_patt_lite import PAttLiteClassifier
from sklearn_patt_lite.datasets import make_expression_faces

def alive():
    gc.collect()
    kinds = collections.Counter(type(thing).__name__ for thing in gc.get_objects())
    heavy = "Functional", "Variable", "FuncGraph", "FeatureBank", "HeadTrainer", "Engine"
    return {kind: kinds[kind] for kind in heavy}

faces = make_expression_faces(n_subjects=2, image_size=32, random_state=0)
for i in range(4):
    classifier = PAttLiteClassifier(
        backbone_weights="drawn", alpha=0.25, input_size=32, output_layer="conv_dw_4_relu",
        patch_size=1 + i % 2, n_filters=8, epochs=2, patience=None, finetune_epochs=1,
        finetune_patience=None, unfreeze_layers=4, random_state=i,
    )
    classifier.fit(faces.images, faces.target).predict(faces.images)
    if i in (1, 3):
        print(alive())
"""
    command = [sys.executable, "-c", script]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    warm, last = map(ast.literal_eval, result.stdout.splitlines())
    assert min(warm["Functional"], warm["HeadTrainer"]) > 0
    assert last == warm


def test_logarithms_of_probabilities(faces, fitted):
    found = fitted.predict_log_proba(faces.images)
    assert_allclose(np.exp(found), fitted.predict_proba(faces.images), atol=1e-6)


@pytest.mark.parametrize("transform", ["default", "pandas", "polars"])
def test_pipelines_of_images_may_ask_for_tables(faces, transform):
    pipeline = make_pipeline(
        FaceResizer(size=SIZE), FaceAugmenter(), PAttLiteClassifier(**HEAD_ONLY)
    )
    pipeline.set_output(transform=transform).fit(faces.images, faces.target)
    assert pipeline.predict(faces.images[:3]).shape == (3,)
    images = pipeline[:-1].transform(faces.images)
    assert isinstance(images, np.ndarray)
    assert images.shape == faces.images.shape


def test_a_cut_by_image_is_told_of(faces, capsys):
    told = "7 of 84 images are held out for validation, image by image"
    quick(verbose=1, epochs=1, unfreeze_layers=0).fit(faces.images, faces.target)
    assert told in capsys.readouterr().out
    quick(verbose=1, epochs=1, unfreeze_layers=0).fit(
        faces.images, faces.target, groups=faces.groups
    )
    assert "image by image" not in capsys.readouterr().out
    quick(epochs=1, unfreeze_layers=0).fit(faces.images, faces.target)
    assert not capsys.readouterr().out


@pytest.mark.usefixtures("without_training")
def test_a_halving_search_over_images_begins_with_few(faces):
    first = {"resource": "n_samples", "min_resources": 28}
    search = HalvingGridSearchCV(quick(), {"patch_size": [1, 2]}, cv=2, random_state=0, **first)
    search.fit(faces.images, faces.target)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
