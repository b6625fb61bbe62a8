"""The classifier inside the package: its file, and that all that works with one works with it."""

import pickle
import zipfile
from argparse import Namespace

import keras
import numpy as np
import pytest
import safetensors.numpy
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone

from sklearn_patt_lite import PAttLiteClassifier
from sklearn_patt_lite import __main__ as command
from sklearn_patt_lite._network.archive import PRETRAINED, pretrained_file
from sklearn_patt_lite._network.parts import head_layers, named_weights
from sklearn_patt_lite.datasets import make_expression_faces
from sklearn_patt_lite.inspection import (
    GradCAMDisplay,
    PatchAttentionDisplay,
    TrainingHistoryDisplay,
    batch_invariance,
)
from sklearn_patt_lite.preprocessing import BackboneFeatures

NAMES = ["angry", "disgust", "fear", "happy", "neutral", "sad", "surprise"]


@pytest.fixture(scope="module")
def pretrained():
    return PAttLiteClassifier.from_pretrained("fer2013")


@pytest.fixture(scope="module")
def grey():
    """28 drawn faces, grey and small as FER2013's."""
    images = make_expression_faces(n_subjects=2, image_size=48, random_state=0).images
    return images.mean(axis=3).astype(np.uint8)


# The file


def test_it_is_small_and_holds_finite_numbers():
    with pretrained_file("fer2013") as path, zipfile.ZipFile(path) as archive:
        assert path.stat().st_size <= 2_500_000
        arrays = safetensors.numpy.load(archive.read("weights.safetensors"))
    for name, array in arrays.items():
        assert np.isfinite(array).all(), name


def test_it_is_what_its_card_says(pretrained):
    assert pretrained.classes_.tolist() == NAMES
    assert pretrained.image_shape_ == (48, 48, 1)
    assert pretrained.n_parameters_ <= 1_150_000
    assert pretrained.history_["validation"]["n_train"] == 28_709
    assert pretrained.random_state is not None  # so that its training can be repeated
    with pretrained_file("fer2013") as path, zipfile.ZipFile(path) as archive:
        card = archive.read("README.md").decode()
    assert "PublicTest" in card
    assert "Expressions are not emotions" in card


def test_unknown_names():
    with pytest.raises(ValueError, match=r"no pretrained classifier 'raf'; available: 'fer2013'"):
        PAttLiteClassifier.from_pretrained("raf")


# A fitted classifier as any other


def test_a_subclass_gets_one_of_its_own():
    class Mine(PAttLiteClassifier):
        pass

    assert type(Mine.from_pretrained("fer2013")) is Mine


def test_it_pickles_and_clones(pretrained, grey):
    expected = pretrained.predict_proba(grey)
    copy = pickle.loads(pickle.dumps(pretrained))
    assert_array_equal(copy.predict_proba(grey), expected)
    fresh = clone(pretrained)
    assert fresh.get_params() == pretrained.get_params()
    assert not hasattr(fresh, "model_")


def test_a_prediction_is_its_own_images(pretrained, grey):
    y = np.resize(NAMES, len(grey))
    assert batch_invariance(pretrained, grey, y, random_state=0).is_invariant


def test_it_may_average_over_crops(pretrained, grey, tmp_path):
    expected = pretrained.predict_proba(grey)
    cropping = PAttLiteClassifier.from_pretrained("fer2013", crop_averaging=True)
    found = cropping.predict_proba(grey)
    assert np.abs(found - expected).max() > 1e-3
    assert_allclose(cropping.predict_proba(grey[:, :, ::-1]), found, atol=1e-4)
    cropping.save_model(tmp_path / "cropping.zip")
    loaded = PAttLiteClassifier.load_model(tmp_path / "cropping.zip")
    assert loaded.get_params() == {**pretrained.get_params(), "crop_averaging": True}
    assert_array_equal(loaded.predict_proba(grey), found)
    plain = PAttLiteClassifier.load_model(tmp_path / "cropping.zip", crop_averaging=False)
    assert plain.get_params() == pretrained.get_params()
    assert_array_equal(plain.predict_proba(grey), expected)
    assert_array_equal(pickle.loads(pickle.dumps(cropping)).predict_proba(grey), found)
    with pytest.raises(ValueError, match="'crop_averaging' parameter"):
        PAttLiteClassifier.from_pretrained("fer2013", crop_averaging="always")


@pytest.mark.parametrize("format", ["litert", "onnx"])
def test_it_is_exported(format, pretrained, grey, tmp_path):
    report = pretrained.export_model(tmp_path / f"faces.{format}", format=format, X=grey)
    assert report.agreement == 1


def test_displays_show_it(pretrained, grey):
    plt = pytest.importorskip("matplotlib.pyplot")
    for display in (GradCAMDisplay, PatchAttentionDisplay):
        display.from_estimator(pretrained, grey[:2])
    TrainingHistoryDisplay.from_estimator(pretrained)
    plt.close("all")


# To go on from


LAST = ("probabilities/kernel", "probabilities/bias")


@pytest.mark.usefixtures("without_training")
def test_a_fit_begins_with_its_weights_and_with_what_it_knows_of_each_label(pretrained, grey):
    classifier = PAttLiteClassifier(backbone_weights="fer2013", random_state=0)
    classifier.fit(grey, np.resize(["amused", "happy", "surprise"], len(grey)))
    begun, known = named_weights(classifier.model_), named_weights(pretrained.model_)
    assert list(begun) == list(known)
    for path, weights in known.items():
        if path in LAST:
            assert_array_equal(begun[path][..., 1:], weights[..., [3, 6]], path)
            assert (begun[path][..., 0] != weights.T).any()
        else:
            assert_array_equal(begun[path], weights, path)


@pytest.mark.usefixtures("without_training")
def test_codes_are_no_labels_that_it_knows(pretrained, grey):
    classifier = PAttLiteClassifier(backbone_weights="fer2013", random_state=0)
    classifier.fit(grey, np.arange(len(grey)) % 7)
    begun, known = named_weights(classifier.model_), named_weights(pretrained.model_)
    assert (begun[LAST[0]] != known[LAST[0]]).all()
    assert_array_equal(begun["hidden/kernel"], known["hidden/kernel"])


@pytest.mark.usefixtures("without_training")
def test_the_head_begins_anew_from_the_first_layer_of_another_shape(pretrained, grey):
    classifier = PAttLiteClassifier(backbone_weights="fer2013", hidden_units=16, random_state=0)
    classifier.fit(grey, np.resize(NAMES, len(grey)))
    begun, known = named_weights(classifier.model_), named_weights(pretrained.model_)
    assert_array_equal(begun["patch_pointwise/kernel"], known["patch_pointwise/kernel"])
    assert begun["hidden/kernel"].shape != known["hidden/kernel"].shape
    classifier.set_params(hidden_units=32, patch_size=3).fit(grey, np.resize(NAMES, len(grey)))
    begun = named_weights(classifier.model_)
    assert_array_equal(begun["conv_pw_8/kernel"], known["conv_pw_8/kernel"])
    for path in ("patch_pointwise/kernel", "hidden/kernel", *LAST[:1]):
        assert (begun[path] != known[path]).any()


def test_other_networks_are_refused(grey):
    with pytest.raises(ValueError, match=r"'fer2013' does not fit the layer 'conv1'.*Set alpha"):
        PAttLiteClassifier(backbone_weights="fer2013", alpha=0.5).fit(
            grey, np.arange(len(grey)) % 2
        )


def test_its_features_are_those_of_its_backbone(pretrained, grey):
    features = BackboneFeatures(backbone_weights="fer2013", input_size=112, grid=1)
    network = pretrained.model_
    to_maps = keras.Model(network.input, head_layers(network)[0].input)
    maps = to_maps(grey[:4, ..., np.newaxis].astype("float32"), training=False)
    expected = np.asarray(maps).mean(axis=(1, 2))
    assert_allclose(features.fit_transform(grey[:4]), expected, atol=1e-3 * abs(expected).max())


def test_the_command_takes_it_by_default():
    given = Namespace(classifier=None, margin=None, min_score=0.9)
    cropper, classifier = command.load(given)
    assert cropper.margin == "fer2013"
    assert cropper.size == 48
    assert command.names_of(classifier, None) == NAMES
    for names, why in ((["a", "b"], "gives 2 names"), (["face", *NAMES[1:]], "columns 'face'")):
        with pytest.raises(SystemExit, match=why):
            command.names_of(classifier, names)


def test_names_are_those_of_the_files():
    for name in PRETRAINED:
        with pretrained_file(name) as path:
            assert path.is_file()
