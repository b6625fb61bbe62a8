"""Compare the dense layer's two places: before the attention, and after it.

The paper's equations put it before; its figure does not say. This script decides by
cross-validation on real faces: both heads train on the same frozen features, in the
same folds, with the same seeds. Prints a line a fit, and the table of the documentation.

    python examples/benchmarks/hidden_layer_place.py fer2013_sample.npz
"""

import argparse
import time

import keras
import numpy as np
from keras import layers
from sklearn.model_selection import StratifiedKFold, train_test_split
from sklearn.utils.class_weight import compute_sample_weight

from sklearn_patt_lite._network.architecture import Architecture
from sklearn_patt_lite._network.patt_lite import (
    BACKBONE,
    _attend,
    _extract_patches,
    _hidden,
    build_network,
)
from sklearn_patt_lite._network.weights import load_weights
from sklearn_patt_lite._process import seeded
from sklearn_patt_lite._training.data import TrainingData
from sklearn_patt_lite._training.fit import StagedFit
from sklearn_patt_lite._training.stages import head_stage

ARCHITECTURE = Architecture(n_classes=7, image_shape=(48, 48, 1), augment=False)


def main():
    arguments = parse_arguments()
    with np.load(arguments.data) as data:
        images, y = data["X_train"][..., None], data["y_train"]
    views = np.stack([features_of(images), features_of(images[:, :, ::-1])])
    scores = {place: [] for place in ("before", "after")}
    for seed in range(arguments.seeds):
        folds = StratifiedKFold(arguments.folds, shuffle=True, random_state=seed)
        for fold, (train, test) in enumerate(folds.split(y, y)):
            for place in scores:
                start = time.perf_counter()
                accuracy = score(place, views, y, train, test, seed, arguments)
                scores[place].append(accuracy)
                print(
                    f"seed {seed}  fold {fold}  {place:6}  accuracy {accuracy:.4f}"
                    f"  {time.perf_counter() - start:.0f} s",
                    flush=True,
                )
    report({place: np.reshape(s, (arguments.seeds, -1)) for place, s in scores.items()})


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", help="an .npz with X_train (n, 48, 48) and y_train")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--folds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--batch-size", type=int, default=32)
    return parser.parse_args()


def features_of(images):
    """Frozen ImageNet features at conv_dw_9_relu: (n, 14, 14, 512), float16."""
    network = build_network(ARCHITECTURE)
    load_weights(network, "imagenet", ARCHITECTURE)
    backbone = network.get_layer(BACKBONE)
    extractor = keras.Model(network.input, backbone(network.get_layer("scale").output))
    return np.concatenate(
        [extractor.predict_on_batch(images[i : i + 32]) for i in range(0, len(images), 32)],
        dtype=np.float16,
        casting="same_kind",
    )


def score(place, views, y, train, test, seed, arguments):
    """Accuracy on `test` of a head that is trained on `train`, in both views of each image."""
    fit, validate = train_test_split(train, test_size=0.1, stratify=y[train], random_state=seed)
    data = TrainingData(
        X=np.concatenate(views[:, fit]),
        y=np.tile(y[fit], 2),
        sample_weight=compute_sample_weight("balanced", np.tile(y[fit], 2)),
        X_val=views[0, validate],
        y_val=y[validate],
    )
    with seeded(seed):
        head = build_head(place)
    stage = head_stage(
        epochs=arguments.epochs, learning_rate=1e-3, patience=5, clipnorm=3.0, dropout=0.1
    )
    keras.utils.set_random_seed(seed)
    StagedFit(head, [stage], data, batch_size=arguments.batch_size, seed=seed).run()
    return np.mean(head.predict(views[0, test], verbose=0).argmax(axis=1) == y[test])


def build_head(place):
    features = keras.Input((14, 14, 512))
    # A stage looks for its backbone; that of ready-made features has nothing left to do.
    scaled = layers.Identity(name="scale")(features)
    backbone = keras.Sequential([layers.Identity()], name=BACKBONE)
    tokens = _extract_patches(backbone(scaled), ARCHITECTURE)
    tokens = layers.Reshape((4, 256))(tokens)
    x = layers.Dropout(0.1, name="token_dropout")(tokens)
    if place == "before":
        x = _hidden(x, ARCHITECTURE)
    x = _attend(x, "patch_attention")
    x = layers.GlobalAveragePooling1D()(x)
    if place == "after":
        x = _hidden(x, ARCHITECTURE)
    x = layers.Dropout(0.1, name="attention_dropout")(x)
    return keras.Model(features, layers.Dense(7, activation="softmax")(x))


def report(scores):
    print(f"\n{'dense layer':14}{'accuracy':>10}{'± between seeds':>18}")
    for place, by_seed in scores.items():
        means = by_seed.mean(axis=1)
        print(f"{place + ' it':14}{means.mean():10.4f}{means.std(ddof=1):18.4f}")
    difference = (scores["before"] - scores["after"]).ravel()
    error = difference.std(ddof=1) / np.sqrt(difference.size)
    paired = f"{difference.mean():+.4f} ± {error:.4f}"
    print(f"before minus after, paired over {difference.size} fits: {paired} (standard error)")


if __name__ == "__main__":
    main()
