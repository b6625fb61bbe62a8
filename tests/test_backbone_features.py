"""BackboneFeatures: what a frozen backbone sees, for other estimators."""

import pickle

import numpy as np
import pytest
from PIL import Image
from rows_as_images import rows_to_images
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import estimator_checks_generator, parametrize_with_checks
from sklearn.utils.validation import validate_data

from sklearn_patt_lite import PAttLiteClassifier
from sklearn_patt_lite.datasets import make_expression_faces
from sklearn_patt_lite.preprocessing import BackboneFeatures

DRAWN = {"backbone_weights": "drawn", "alpha": 0.25, "input_size": 64}


class BackboneFeaturesOnRows(BackboneFeatures):
    """Rows (n, d) in, as small images; all else is the transformer's own work."""

    def fit(self, X, y=None):
        return super().fit(self._images(X, reset=True))

    def transform(self, X):
        return super().transform(self._images(X, reset=False))

    def _images(self, X, reset):
        return rows_to_images(validate_data(self, X, reset=reset, dtype=[np.float64, np.float32]))

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = True
        tags.input_tags.three_d_array = False
        tags.input_tags.string = False
        return tags


ON_ROWS = BackboneFeaturesOnRows(**{**DRAWN, "input_size": 32}, output_layer="conv_pw_1_relu")


@parametrize_with_checks([ON_ROWS])
def test_common_checks(estimator, check):
    check(estimator)


def test_the_common_checks_do_run():
    assert len(list(estimator_checks_generator(ON_ROWS))) >= 40


@pytest.fixture(scope="module")
def faces():
    return make_expression_faces(
        n_subjects=8, image_size=64, occlusion=0.0, max_yaw=5.0, random_state=0
    )


@pytest.mark.usefixtures("without_training")
@pytest.mark.parametrize("output_layer", ["conv_dw_9_relu", "conv_pw_3_relu", None])
def test_they_are_the_means_of_the_backbones_map(faces, output_layer):
    import keras

    X = faces.images[:5]
    features = BackboneFeatures(**DRAWN, output_layer=output_layer, grid=2).fit(X)
    classifier = PAttLiteClassifier(
        **DRAWN,
        output_layer=output_layer,
        patch_extraction=None,
        attention=None,
        epochs=1,
        unfreeze_layers=0,
    ).fit(faces.images, faces.target)
    network = classifier.model_
    scaled = keras.Model(network.input, network.get_layer("scale").output).predict(X, verbose=0)
    maps = network.get_layer("mobilenet").predict(scaled, verbose=0)  # n × cells × cells × channels
    n, cells, _, channels = maps.shape
    half = cells // 2
    expected = maps.reshape(n, 2, half, 2, half, channels).mean(axis=(2, 4)).reshape(n, -1)
    np.testing.assert_allclose(features.transform(X), expected, atol=1e-3)
    assert features.transform(X).dtype == np.float32


def test_a_grid_need_not_divide_the_cells(faces):
    X = faces.images[:3]
    whole, cells, thirds = (
        BackboneFeatures(**DRAWN, grid=grid).fit_transform(X) for grid in (1, 4, 3)
    )
    maps = cells.reshape(3, 4, 4, -1)
    np.testing.assert_allclose(maps.mean(axis=(1, 2)), whole, atol=1e-5)
    expected = maps[:, :2, 2:3].mean(axis=(1, 2))  # first of three rows, second of three columns
    found = thirds.reshape(3, 3, 3, -1)[:, 0, 1]
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_each_row_is_its_own_images(faces):
    features = BackboneFeatures(**DRAWN).fit(faces.images)
    together = features.transform(faces.images[:40])
    np.testing.assert_allclose(features.transform(faces.images[39:40]), together[39:], atol=1e-5)


def test_files_give_what_their_pixels_give(faces, tmp_path):
    for i, image in enumerate(faces.images[:3]):
        Image.fromarray(image).save(tmp_path / f"{i}.png")
    paths = [str(tmp_path / f"{i}.png") for i in range(3)]
    from_files = BackboneFeatures(**DRAWN).fit_transform(paths)
    from_arrays = BackboneFeatures(**DRAWN).fit_transform(faces.images[:3])
    np.testing.assert_allclose(from_files, from_arrays, atol=1e-4)


def test_a_memory_is_shared_with_the_classifier_and_changes_nothing(faces, tmp_path):
    X = faces.images[:20]
    plain = BackboneFeatures(**DRAWN).fit_transform(X)
    kept = BackboneFeatures(**DRAWN, memory=tmp_path)
    np.testing.assert_array_equal(kept.fit_transform(X), plain)
    np.testing.assert_array_equal(kept.transform(X), plain)  # found
    classifier = PAttLiteClassifier(
        **DRAWN,
        patch_size=2,
        epochs=1,
        patience=None,
        validation_fraction=None,
        unfreeze_layers=0,
        augment=False,
        memory=tmp_path,
    ).fit(X, faces.target[:20])
    assert classifier.history_["features"] == {"computed": 0, "found": 20}


def test_pickled_it_needs_no_file_of_weights(faces, tmp_path):
    earlier = PAttLiteClassifier(**DRAWN, patch_size=2, epochs=1, unfreeze_layers=0)
    path = tmp_path / "earlier.keras"
    earlier.fit(faces.images, faces.target).model_.save(path)
    features = BackboneFeatures(**{**DRAWN, "backbone_weights": path}).fit(faces.images)
    path.unlink()
    again = pickle.loads(pickle.dumps(features))
    np.testing.assert_array_equal(again.transform(faces.images), features.transform(faces.images))


def test_it_searches_in_a_pipeline_and_clones(faces):
    pipeline = make_pipeline(
        BackboneFeatures(**DRAWN), StandardScaler(), LogisticRegression(C=0.01, max_iter=300)
    )
    search = GridSearchCV(clone(pipeline), {"backbonefeatures__grid": [1, 2]}, cv=2)
    search.fit(faces.images, faces.target)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    names = search.best_estimator_[0].get_feature_names_out()
    grid = search.best_params_["backbonefeatures__grid"]
    assert names[0] == "backbonefeatures0"
    assert len(names) == grid**2 * 128


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_tables_of_features_have_named_columns(faces, library):
    module = pytest.importorskip(library)
    features = BackboneFeatures(**DRAWN, grid=1).fit(faces.images)
    expected = features.transform(faces.images[:3])
    table = features.set_output(transform=library).transform(faces.images[:3])
    assert isinstance(table, module.DataFrame)
    assert list(table.columns) == list(features.get_feature_names_out())
    np.testing.assert_array_equal(table.to_numpy(), expected)


def test_parameters_set_after_a_fit_wait_for_the_next(faces):
    features = BackboneFeatures(**DRAWN, grid=1).fit(faces.images)
    features.set_params(grid=2, input_size=96)
    assert features.transform(faces.images[:2]).shape == (2, 128)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"grid": 5}, "grid=5 is finer than the map .* 4×4 cells"),
        ({"output_layer": "conv_dw_99_relu"}, "not one of MobileNetV1's activations"),
        ({"alpha": 0.5}, "needs alpha=0.25, got alpha=0.5"),
        ({"backbone_weights": None}, "'backbone_weights' parameter"),
        ({"grid": 0}, "'grid' parameter"),
    ],
)
def test_what_cannot_be_is_refused(faces, parameters, message):
    with pytest.raises(ValueError, match=message):
        BackboneFeatures(**{**DRAWN, **parameters}).fit(faces.images[:2])
