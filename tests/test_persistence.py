"""Saved classifiers: the same in another process, and nothing is run of a file that is not one."""

import hashlib
import json
import pickle
import shutil
import subprocess
import sys
import threading
import warnings
import zipfile

import joblib
import keras
import numpy as np
import pytest
import safetensors.numpy
from numpy.testing import assert_allclose, assert_array_equal
from quick import HEAD_ONLY, SIZE
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from sklearn_patt_lite import PAttLiteClassifier
from sklearn_patt_lite._network.parts import backbone_of, head_layers
from sklearn_patt_lite._network.weights import read_weights
from sklearn_patt_lite.preprocessing import FaceResizer


@pytest.fixture(scope="module")
def saved_once(fitted_on_names, tmp_path_factory):
    path = tmp_path_factory.mktemp("saved") / "classifier.zip"
    fitted_on_names.save_model(path)
    return path


@pytest.fixture
def saved(saved_once, tmp_path):
    """A good file, in a folder of its own."""
    path = tmp_path / "saved" / "classifier.zip"
    path.parent.mkdir()
    shutil.copy(saved_once, path)
    return path


def members(path):
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def write(path, contents):
    """Write an archive with digests that fit its contents: what a forger would do."""
    metadata = json.loads(contents["metadata.json"])
    for name in metadata.get("digests", {}):
        metadata["digests"][name] = hashlib.sha256(contents[name]).hexdigest()
    contents = {**contents, "metadata.json": json.dumps(metadata).encode()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in contents.items():
            archive.writestr(name, content)


def change_metadata(path, change):
    contents = members(path)
    metadata = json.loads(contents["metadata.json"])
    change(metadata)
    write(path, {**contents, "metadata.json": json.dumps(metadata).encode()})


def change_weights(path, change):
    """Change the arrays within."""
    contents = members(path)
    arrays = safetensors.numpy.load(contents["weights.safetensors"])
    change(arrays)
    write(path, {**contents, "weights.safetensors": safetensors.numpy.save(arrays)})


def assert_refused(path, match):
    before = sorted(path.parent.iterdir())
    with pytest.raises(ValueError, match=f"classifier.zip' cannot be loaded: .*{match}"):
        PAttLiteClassifier.load_model(path)
    assert sorted(path.parent.iterdir()) == before


# There and back


def test_another_process_predicts_the_same(fitted_on_names, saved, faces, tmp_path):
    np.save(tmp_path / "images.npy", faces.images)
    program = (
        "import sys, numpy as np; from sklearn_patt_lite import PAttLiteClassifier\n"
        "classifier = PAttLiteClassifier.load_model(sys.argv[1])\n"
        "np.save(sys.argv[3], classifier.predict_proba(np.load(sys.argv[2])))\n"
        "print(*classifier.predict(np.load(sys.argv[2])))\n"
    )
    arguments = (saved, tmp_path / "images.npy", tmp_path / "probabilities.npy")
    result = subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert_array_equal(np.load(arguments[2]), fitted_on_names.predict_proba(faces.images))
    assert result.stdout.split() == fitted_on_names.predict(faces.images).tolist()


@pytest.mark.parametrize(
    "labels",
    [
        np.array(["sad", "happy"]),
        np.array(["traurig", "fröhlich"], dtype=object),
        np.array([-3, 2**40]),
        np.array([0.0, 2.0]),
        np.array([False, True]),
    ],
    ids=lambda labels: labels.dtype.str,
)
def test_all_is_there_again(labels, faces, tmp_path, request):
    if labels.dtype.kind != "U":  # the history of one is enough
        request.getfixturevalue("without_training")
    y = labels[faces.target % 2]
    weights = {label: 1.0 + i for i, label in enumerate(labels.tolist())}
    changes = {"class_weight": weights, "memory": tmp_path / "features", "verbose": 0}
    classifier = PAttLiteClassifier(**{**HEAD_ONLY, **changes, "unfreeze_layers": 3})
    classifier.set_params(finetune_epochs=1).fit(faces.images, y, groups=faces.groups)
    classifier.save_model(tmp_path / "classifier.zip")
    loaded = PAttLiteClassifier.load_model(tmp_path / "classifier.zip")
    assert loaded.get_params() == {**classifier.get_params(), "memory": None}
    assert loaded.classes_.dtype == classifier.classes_.dtype
    assert_array_equal(loaded.classes_, classifier.classes_)
    assert loaded.history_ == classifier.history_
    assert loaded.image_shape_ == classifier.image_shape_
    assert loaded.n_parameters_ == classifier.n_parameters_
    assert_array_equal(loaded.predict(faces.images), classifier.predict(faces.images))
    for mine, theirs in zip(
        loaded.model_.get_weights(), classifier.model_.get_weights(), strict=True
    ):
        assert_array_equal(mine, theirs)
    loaded.set_params(memory=tmp_path / "features")  # its features are found again
    assert_array_equal(loaded.predict_proba(faces.images), classifier.predict_proba(faces.images))


def test_searches_over_pipelines_go_through_joblib(faces, tmp_path):
    pipeline = make_pipeline(FaceResizer(size=SIZE), PAttLiteClassifier(**HEAD_ONLY))
    search = GridSearchCV(pipeline, {"pattliteclassifier__patch_size": [2]}, cv=2)
    again = clone(joblib_copy(search, tmp_path))
    names = faces.target_names[faces.target]
    predicted = search.fit(list(faces.images), names).predict_proba(list(faces.images))
    fitted_again = again.fit(list(faces.images), names).predict_proba(list(faces.images))
    assert_array_equal(fitted_again, predicted)  # the same seed
    joblib.dump(search, tmp_path / "search.joblib")
    np.save(tmp_path / "images.npy", faces.images)
    program = (
        "import sys, joblib, numpy as np; search = joblib.load(sys.argv[1])\n"
        "np.save(sys.argv[3], search.predict_proba(list(np.load(sys.argv[2]))))\n"
    )
    arguments = [tmp_path / name for name in ("search.joblib", "images.npy", "predicted.npy")]
    command = [sys.executable, "-c", program, *map(str, arguments)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert_array_equal(np.load(arguments[2]), predicted)


def joblib_copy(estimator, folder):
    joblib.dump(estimator, folder / "copy.joblib")
    return joblib.load(folder / "copy.joblib")


@pytest.mark.usefixtures("without_training")
def test_labels_that_are_shorter_than_their_dtype_allows(faces, tmp_path):
    """As those cut from an array of paths and labels."""
    labels = faces.target_names[faces.target].astype("<U100")
    classifier = PAttLiteClassifier(**HEAD_ONLY).fit(faces.images, labels)
    classifier.save_model(tmp_path / "classifier.zip")
    loaded = PAttLiteClassifier.load_model(tmp_path / "classifier.zip")
    assert_array_equal(loaded.classes_, classifier.classes_)


@pytest.mark.usefixtures("without_training")
@pytest.mark.parametrize(
    "changes",
    [
        {"attention": "batch", "output_layer": "conv_dw_2_relu"},
        {"attention": None, "hidden_units": None, "patch_extraction": None},
        {"patch_extraction": "conv", "augment": False, "output_layer": "conv_dw_2_relu"},
        {"patch_extraction": "attention", "output_layer": "conv_dw_2_relu"},
        {"backbone_weights": None, "unfreeze_layers": 40, "patience": None},
    ],
    ids=str,
)
def test_every_variant(changes, faces, tmp_path):
    classifier = PAttLiteClassifier(**{**HEAD_ONLY, **changes})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of attention over the batch
        classifier.fit(faces.images[..., 0], faces.target)
        classifier.save_model(tmp_path / "classifier.zip")
        loaded = PAttLiteClassifier.load_model(tmp_path / "classifier.zip")
    assert loaded.image_shape_ == (32, 32, 1)
    assert_array_equal(loaded.predict_proba(faces.images), classifier.predict_proba(faces.images))
    # A fit that goes on from it gets each layer's arrays in Keras' order.
    weights = read_weights(tmp_path / "classifier.zip", 0.25)
    network = classifier.model_
    for layer in [*backbone_of(network).layers, *head_layers(network)]:
        for mine, saved in zip(layer.get_weights(), weights.get(layer.name, []), strict=True):
            assert_array_equal(mine, saved, layer.name)


def test_what_was_loaded_pickles_saves_and_fits(fitted_on_names, saved, faces, tmp_path):
    loaded = PAttLiteClassifier.load_model(saved)
    expected = fitted_on_names.predict_proba(faces.images)
    assert_array_equal(pickle.loads(pickle.dumps(loaded)).predict_proba(faces.images), expected)
    loaded.save_model(tmp_path / "again.zip")
    again = PAttLiteClassifier.load_model(tmp_path / "again.zip")
    assert_array_equal(again.predict_proba(faces.images), expected)
    again.fit(faces.images, faces.target_names[faces.target])
    assert_array_equal(again.predict_proba(faces.images), expected)  # the same seed


def test_half_precision_halves_nearly_all_of_the_weights_but_for_small_ones(
    fitted_on_names, saved, faces, tmp_path
):
    path = tmp_path / "half.zip"
    fitted_on_names.save_model(path, half_precision=True)
    whole, half = (
        safetensors.numpy.load(members(each)["weights.safetensors"]) for each in (saved, path)
    )
    n_all = sum(array.size for array in whole.values())
    n_halved = sum(array.size for array in half.values() if array.dtype == np.float16)
    assert n_halved > 0.5 * n_all
    for name, array in whole.items():
        expected = array.astype(np.float16) if array.size > 0.04 * n_all else array
        assert expected.dtype == np.float32 or array.ndim > 1  # a kernel
        assert half[name].dtype == expected.dtype
        assert_array_equal(half[name], expected, name)
    loaded = PAttLiteClassifier.load_model(path)
    for variable in loaded.model_.weights:
        assert_array_equal(variable.numpy(), half[variable.path])
    assert_allclose(
        loaded.predict_proba(faces.images), fitted_on_names.predict_proba(faces.images), atol=0.01
    )


def test_other_tools_read_the_weights(fitted_on_names, saved):
    arrays = safetensors.numpy.load(members(saved)["weights.safetensors"])
    weights = fitted_on_names.model_.weights
    assert sorted(arrays) == sorted(variable.path for variable in weights)
    for variable in weights:
        assert_array_equal(arrays[variable.path], variable.numpy())


def test_the_digests_are_those_of_what_was_trained_on(fitted_on_names, faces, tmp_path):
    digests = fitted_on_names.history_["data"]
    assert digests["images"] == hashlib.sha256(faces.images.tobytes()).hexdigest()
    codes = np.searchsorted(fitted_on_names.classes_, faces.target_names[faces.target])
    assert digests["labels"] == hashlib.sha256(codes.astype(np.int64).tobytes()).hexdigest()


def test_the_model_card(fitted_on_names, tmp_path):
    fitted_on_names.save_model(tmp_path / "classifier.zip", description="Two *drawn* people.")
    card = members(tmp_path / "classifier.zip")["README.md"].decode()
    assert "Two *drawn* people." in card
    assert "Expressions are not emotions" in card
    assert f"{fitted_on_names.n_parameters_:,} parameters" in card
    assert fitted_on_names.history_["data"]["images"] in card
    assert "validation accuracy" in card
    assert "95 % interval" in card


def test_a_classifier_that_is_not_fitted(tmp_path):
    with pytest.raises(NotFittedError):
        PAttLiteClassifier().save_model(tmp_path / "classifier.zip")
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_written_leaves_the_file_that_was_there(fitted_on_names, saved):
    before = saved.read_bytes()
    odd = pickle.loads(pickle.dumps(fitted_on_names))
    odd.class_weight = {("a", "tuple"): 1}
    with pytest.raises(TypeError, match=r"class_weight contains \('a', 'tuple'\), of type tuple"):
        odd.save_model(saved)
    assert saved.read_bytes() == before
    assert list(saved.parent.iterdir()) == [saved]


def test_a_disk_that_fails_leaves_the_file_that_was_there(fitted_on_names, saved, monkeypatch):
    before = saved.read_bytes()

    def fail(self, name, content):
        raise OSError("No space left on device")

    monkeypatch.setattr(zipfile.ZipFile, "writestr", fail)
    with pytest.raises(OSError, match="No space left"):
        fitted_on_names.save_model(saved)
    assert saved.read_bytes() == before
    assert list(saved.parent.iterdir()) == [saved]


def test_links_stay_and_what_is_no_file_is_not_replaced(fitted_on_names, saved, tmp_path):
    link = tmp_path / "link.zip"
    link.symlink_to(saved)
    saved.write_bytes(b"old")
    fitted_on_names.save_model(link)
    assert link.is_symlink()
    PAttLiteClassifier.load_model(saved)
    with pytest.raises(FileExistsError, match="exists and is not a file"):
        fitted_on_names.save_model(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"There is no folder '.*nowhere'"):
        fitted_on_names.save_model(tmp_path / "nowhere" / "classifier.zip")
    with pytest.raises(ValueError, match="cannot be loaded: it is a folder"):
        PAttLiteClassifier.load_model(tmp_path)


def test_threads_that_save_to_one_path(fitted_on_names, saved, faces):
    failed = []

    def save():
        try:
            fitted_on_names.save_model(saved)
        except OSError as error:
            failed.append(error)

    threads = [threading.Thread(target=save) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    assert list(saved.parent.iterdir()) == [saved]
    PAttLiteClassifier.load_model(saved)


def test_names_that_are_no_proper_text(faces, tmp_path):
    labels = np.array(["a\udcff", "ü"])
    classifier = PAttLiteClassifier(**HEAD_ONLY).fit(faces.images, labels[faces.target % 2])
    classifier.save_model(tmp_path / ("n" * 251 + ".zip"), description="\udcff")
    loaded = PAttLiteClassifier.load_model(tmp_path / ("n" * 251 + ".zip"))
    assert_array_equal(loaded.classes_, classifier.classes_)
    with pytest.raises(TypeError, match="description must be a string, got int"):
        classifier.save_model(tmp_path / "classifier.zip", description=5)


@pytest.mark.parametrize("way", ["file", "pickle"])
def test_the_users_precision_changes_nothing(way, fitted_on_names, saved, faces):
    expected = fitted_on_names.predict_proba(faces.images)
    pickled = pickle.dumps(fitted_on_names)
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        loaded = PAttLiteClassifier.load_model(saved) if way == "file" else pickle.loads(pickled)
        assert_allclose(loaded.predict_proba(faces.images), expected, atol=1e-6)
        assert keras.config.dtype_policy().name == "mixed_bfloat16"
    finally:
        keras.config.set_dtype_policy(before)


# Files that are not what they should be


def test_no_such_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        PAttLiteClassifier.load_model(tmp_path / "classifier.zip")


@pytest.mark.parametrize("content", [b"", b"PK", b"\x80\x04K\x01.", b"{}" * 1000])
def test_no_archive(content, tmp_path):
    path = tmp_path / "classifier.zip"
    path.write_bytes(content)
    assert_refused(path, r"it is damaged or not from save_model .* joblib\.load reads joblib\.dump")


class Bomb:
    """Runs when it is unpickled."""

    def __reduce__(self):
        return (exec, ("raise SystemExit('a pickle was run')",))


@pytest.mark.parametrize("name", ["state.pkl", "../../escaped.txt", "/tmp/escaped.txt", "a/b.json"])
def test_members_that_do_not_belong(name, saved):
    with zipfile.ZipFile(saved, "a") as archive:
        archive.writestr(name, pickle.dumps(Bomb()))
    assert_refused(
        saved, "it contains '.*', expected only README.md, metadata.json, weights.safetensors"
    )


def test_pickles_under_good_names(saved):
    contents = members(saved)
    write(saved, {**contents, "weights.safetensors": pickle.dumps(Bomb())})
    assert_refused(saved, "not match the network of|weights.safetensors is damaged")
    with zipfile.ZipFile(saved, "w") as archive:
        for name in contents:
            archive.writestr(name, pickle.dumps(Bomb()))
    assert_refused(saved, "metadata.json is not valid JSON")


@pytest.mark.parametrize("name", ["metadata.json", "README.md", "weights.safetensors"])
def test_bombs(name, saved):
    contents = members(saved)
    contents[name] = b" " * 2**28 if name != "metadata.json" else b" " * 2**23
    with zipfile.ZipFile(saved, "w", zipfile.ZIP_DEFLATED) as archive:
        for each, content in contents.items():
            archive.writestr(each, content)
    assert_refused(saved, f"{name} would unpack from [0-9,]+ to (268,435,456|8,388,608) bytes")


def test_packings_that_python_unpacks_whole(saved):
    contents = members(saved)
    with zipfile.ZipFile(saved, "w", zipfile.ZIP_BZIP2) as archive:
        for name, content in contents.items():
            archive.writestr(name, content)
    assert_refused(saved, "metadata.json is packed in a way that may unpack to any size")


def test_a_long_text(saved):
    contents = members(saved)
    text = contents["metadata.json"] + np.random.default_rng(0).bytes(2**24).hex().encode()
    with zipfile.ZipFile(saved, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in {**contents, "metadata.json": text}.items():
            archive.writestr(name, content)
    assert_refused(saved, "metadata.json would unpack to more than 16,777,216 bytes")


def test_members_twice_and_missing(saved):
    contents = members(saved)
    with pytest.warns(UserWarning, match="Duplicate name"), zipfile.ZipFile(saved, "a") as archive:
        archive.writestr("README.md", b"another")
    assert_refused(saved, "it contains a file twice")
    del contents["README.md"]
    with zipfile.ZipFile(saved, "w") as archive:
        for name, content in contents.items():
            archive.writestr(name, content)
    assert_refused(saved, "it lacks README.md")


def test_a_changed_card_or_network(saved):
    contents = members(saved)
    for name in ("README.md", "weights.safetensors"):
        changed = {**contents, name: contents[name] + b" "}
        with zipfile.ZipFile(saved, "w") as archive:
            for each, content in changed.items():
                archive.writestr(each, content)
        assert_refused(saved, f"{name} is not what was saved: its digest differs")


@pytest.mark.slow
def test_a_flipped_byte_never_changes_a_prediction(fitted_on_names, saved, faces):
    """Refused, or without a meaning: the dates in an archive's headers."""
    good, expected = saved.read_bytes(), fitted_on_names.predict_proba(faces.images[:2])
    n_refused = 0
    for place in np.random.default_rng(0).integers(0, len(good), 60):
        bad = bytearray(good)
        bad[place] ^= 0xFF
        saved.write_bytes(bad)
        loaded = load_or_none(saved)
        if loaded is None:
            n_refused += 1
        else:
            assert_array_equal(loaded.predict_proba(faces.images[:2]), expected)
    assert n_refused > 50


def load_or_none(path):
    try:
        return PAttLiteClassifier.load_model(path)
    except ValueError as error:
        if "cannot be loaded: " not in str(error):
            raise
        return None


def test_a_file_cut_short(saved):
    good = saved.read_bytes()
    for share in (0.1, 0.5, 0.99):
        saved.write_bytes(good[: int(share * len(good))])
        assert_refused(saved, "damaged")


KERNEL = "probabilities/kernel"


@pytest.mark.parametrize(
    "change",
    [
        lambda arrays: arrays.pop(KERNEL),
        lambda arrays: arrays.update({KERNEL: arrays[KERNEL].T.copy()}),
        lambda arrays: arrays.update({KERNEL: arrays[KERNEL].ravel()}),
        lambda arrays: arrays.update(evil=np.zeros(3, np.float32)),
    ],
    ids=["lacks one", "transposed", "flat", "one more"],
)
def test_other_arrays(change, saved):
    change_weights(saved, lambda arrays: (change(arrays), arrays.update(pad=np.zeros(2**16, "f4"))))
    assert_refused(saved, "weights.safetensors does not fit the network that metadata")


@pytest.mark.parametrize(
    ("name", "value"), [(KERNEL, np.nan), (KERNEL, np.inf), ("conv1_bn/moving_variance", -1)]
)
def test_numbers_that_no_training_leaves(name, value, saved):
    """Every prediction would be NaN, and the first class."""
    change_weights(saved, lambda arrays: arrays[name].__setitem__(0, value))
    assert_refused(saved, f"weights.safetensors contains invalid values: see '{name}'")


@pytest.mark.parametrize("dtype", ["float64", "int32"])
def test_other_numbers(dtype, saved):
    change_weights(saved, lambda arrays: arrays.update({KERNEL: arrays[KERNEL].astype(dtype)}))
    assert_refused(saved, "weights.safetensors contains numbers other than float32 and float16")


@pytest.mark.parametrize(
    "header",
    [
        b"{",
        b'{"a": {"dtype": "F32", "shape": [1099511627776], "data_offsets": [0, 4398046511104]}}',
        b'{"a": {"dtype": "F32", "shape": [4], "data_offsets": [0, 4]}}',
        b'{"a": {"dtype": "O", "shape": [4], "data_offsets": [0, 16]}}',
        b"[" * 10_000,
    ],
    ids=["no JSON", "terabytes", "short", "objects", "deep"],
)
def test_a_header_that_lies(header, saved):
    contents = members(saved)
    size = len(contents["weights.safetensors"])
    weights = len(header).to_bytes(8, "little") + header + bytes(size)
    write(saved, {**contents, "weights.safetensors": weights})
    assert_refused(saved, "weights.safetensors is damaged")


def test_a_file_of_an_older_format(saved):
    contents = members(saved)
    with zipfile.ZipFile(saved, "w") as archive:
        for name in ("metadata.json", "model.keras", "README.md"):
            archive.writestr(name, contents.get(name, b""))
    assert_refused(
        saved, "the format of sklearn-patt-lite 0.1.0, .* unpack its model.keras and train further"
    )


def test_a_file_from_before_a_parameter_was_added(saved, fitted_on_names, faces):
    def forget(metadata):
        del metadata["crop_averaging"], metadata["parameters"]["crop_averaging"]

    change_metadata(saved, forget)
    loaded = PAttLiteClassifier.load_model(saved)
    assert loaded.get_params() == fitted_on_names.get_params()
    assert_array_equal(
        loaded.predict_proba(faces.images), fitted_on_names.predict_proba(faces.images)
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: m.update(format="x"), "not describe a classifier of this library"),
        (
            lambda m: m.update(format_version=9, versions={"sklearn-patt-lite": "9.9"}),
            r"format version 9, .* install the one that wrote it \(sklearn-patt-lite 9.9\)",
        ),
        (lambda m: m.update(format_version=9, versions=3), "its version is not recorded"),
        (lambda m: m.update(history=[]), "no valid 'history'"),
        (lambda m: m.update(batch_size=True), "no valid 'batch_size'"),
        (lambda m: m.pop("classes"), "no valid 'classes'"),
        (lambda m: m.update(frozen_until="input_1"), "names an unknown layer 'input_1'"),
        (lambda m: m["classes"].update(values=["a", "b"]), "no valid classes"),
        (lambda m: m["classes"].update(dtype="O"), "no valid classes"),
        (lambda m: m["classes"].update(dtype="<U99999999"), "no valid classes"),
        (lambda m: m["classes"].update(values=[[1], [2]]), "no valid classes"),
        (lambda m: m["architecture"].update(n_filters=2**19), "not match the network of"),
        (lambda m: m["architecture"].update(n_filters=2**40), "not match the network of"),
        (lambda m: m["architecture"].update(n_filters=16), "not match the network of"),
        (lambda m: m["architecture"].update(hidden_units="many"), "an impossible network"),
        (lambda m: m["architecture"].update(alpha=float("nan")), "an impossible network"),
        (lambda m: m["architecture"].update(alpha=1e9), "not match the network of"),
        (lambda m: m["architecture"].update(input_size=10**9), "an impossible network"),
        (lambda m: m["architecture"].update(input_size="auto"), "an impossible network"),
        (lambda m: m["architecture"].update(affine=2), "an impossible network"),
        (lambda m: m.update(flip_averaging=1), "no valid 'flip_averaging'"),
        (lambda m: m.pop("flip_averaging"), "no valid 'flip_averaging'"),
        (lambda m: m.update(crop_averaging="x"), "no valid 'crop_averaging'"),
        (lambda m: m["architecture"].update(output_layer="x"), "an impossible network"),
        (lambda m: m["architecture"].update(image_shape=[32, 32]), "an impossible network"),
        (lambda m: m["architecture"].update(image_shape=[32, 32, 2]), "an impossible network"),
        (lambda m: m["architecture"].update(extra=1), "by fields other than"),
        (lambda m: m["parameters"].update(extra=1), "not match this version: see 'extra'"),
        (lambda m: m["parameters"].update(epochs="x"), r"parameters do not match this version \("),
        (lambda m: m["parameters"].update(class_weight={"pairs": 1}), "no valid parameters"),
        (lambda m: m["parameters"].update(class_weight={}), "no valid parameters"),
        (lambda m: m["parameters"].update(memory="/tmp"), "not match this version: see 'memory'"),
        (lambda m: m["parameters"].clear(), "do not match this version: see"),
        (lambda m: m["classes"].update(dtype="<U1"), "no valid classes"),
        (lambda m: m["classes"].update(dtype="<U999999"), "no valid classes"),
        (lambda m: m["classes"].update(dtype="<i8", values=[0.5 * i for i in range(7)]), "classes"),
        (lambda m: m["classes"].update(values=["a"] * 7), "no valid classes"),
        (lambda m: m["classes"]["values"].reverse(), "no valid classes"),
        (lambda m: m["classes"].update(dtype="<f8", values=[float("nan")] * 7), "valid classes"),
        (lambda m: m.update(history={}), "no valid history"),
        (lambda m: m["history"].update(validation=3), "no valid history"),
        (lambda m: m["history"]["validation"].update(n_train="many"), "no valid history"),
        (lambda m: m["history"]["head"].update(best_epoch=99), "no valid history"),
        (lambda m: m["history"]["head"].update(val_accuracy=["x"]), "no valid history"),
        (
            lambda m: m.update(frozen_until="conv_pw_13_relu"),
            "names an unknown layer 'conv_pw_13_relu'",
        ),
        (lambda m: m.update(batch_size=0), "no valid 'batch_size'"),
        (lambda m: m.update(batch_size=-8), "no valid 'batch_size'"),
        (lambda m: m["history"]["head"].update(loss=3), "no valid history"),
        (lambda m: m["architecture"].update(alpha=1e308), "an impossible network"),
        (lambda m: m.update(dtype_policy="float8"), "an unknown dtype policy 'float8'"),
        (lambda m: m.update(z=[{}] * 100), "an unknown key 'z'"),
        (lambda m: m["architecture"].update(image_shape=[True, 32, 3]), "an impossible network"),
        (
            lambda m: m["architecture"].update(image_shape=[20000] * 2 + [3]),
            "an impossible network",
        ),
    ],
)
def test_metadata_that_lies(change, message, saved):
    change_metadata(saved, change)
    assert_refused(saved, message)
