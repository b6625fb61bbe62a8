"""Pack faces and a backbone into one small file, for `whole_fer2013.py` on another machine.

The file is an uncompressed .npz of mosaics in lossless WebP, labels, and the backbone's weights
under Keras' names. Packing needs the library. Unpacking needs NumPy and Pillow.
"""

import io

import numpy as np
from PIL import Image

COLUMNS = 80  # images per row and per column of a mosaic: WebP ends at 16,383 pixels


def pack(data, weights):
    """Make the arrays of a packed file.

    Parameters
    ----------
    data : mapping
        "X_train", "y_train", "X_val", "y_val", "val_in_train"; images are uint8 (n, side, side).
    weights : dict
        Arrays of the backbone by name, as `read_backbone` returns them.

    Returns
    -------
    dict
        Arrays by name, for `np.savez`.
    """
    n_train, n_val = len(data["y_train"]), len(data["y_val"])
    images = np.concatenate([data["X_train"], data["X_val"]])
    # FER2013 contains some 1,500 images twice: these are packed once.
    distinct, rows = np.unique(images.reshape(len(images), -1), axis=0, return_inverse=True)
    distinct = distinct.reshape(-1, *images.shape[1:])
    val_in_train = np.asarray(data["val_in_train"])
    if val_in_train.dtype != bool:
        val_in_train = np.isin(np.arange(n_val), val_in_train)
    packed = {
        "rows": rows.reshape(-1).astype(np.int32),
        "n_distinct": np.array(len(distinct)),
        "y_train": np.asarray(data["y_train"], dtype=np.int8),
        "y_val": np.asarray(data["y_val"], dtype=np.int8),
        "val_in_train": val_in_train,
    }
    packed |= {f"mosaic/{i}": part for i, part in enumerate(encode(distinct))}
    assert len(rows) == n_train + n_val
    return packed | {f"backbone/{name}": array for name, array in weights.items()}


def unpack(path):
    """Read a packed file.

    Returns
    -------
    data : dict
        What was packed: "X_train", "y_train", "X_val", "y_val", "val_in_train".
    weights : dict
        The backbone's arrays by name, float32.
    """
    with np.load(path) as file:
        packed = {name: file[name] for name in file.files}
    n_mosaics = sum(name.startswith("mosaic/") for name in packed)
    images = decode([packed[f"mosaic/{i}"] for i in range(n_mosaics)])[: packed["n_distinct"]]
    images = images[packed["rows"]]
    n_train = len(packed["y_train"])
    data = {name: packed[name] for name in ("y_train", "y_val", "val_in_train")}
    data |= {"X_train": images[:n_train], "X_val": images[n_train:]}
    start = len("backbone/")
    weights = {
        name[start:]: array.astype(np.float32)
        for name, array in packed.items()
        if name.startswith("backbone/")
    }
    return data, weights


def encode(images):
    """Compress uint8 images (n, side, side) without loss: mosaics, as arrays of bytes."""
    side, n_tiles = images.shape[1], COLUMNS**2
    parts = []
    for start in range(0, len(images), n_tiles):
        some = images[start : start + n_tiles]
        n_rows = -(-len(some) // COLUMNS)
        tiles = np.zeros((n_rows * COLUMNS, side, side), np.uint8)
        tiles[: len(some)] = some
        tiles = tiles.reshape(n_rows, COLUMNS, side, side).transpose(0, 2, 1, 3)
        mosaic = Image.fromarray(tiles.reshape(n_rows * side, COLUMNS * side))
        stream = io.BytesIO()
        mosaic.convert("RGB").save(stream, "WEBP", lossless=True, quality=80)
        parts.append(np.frombuffer(stream.getvalue(), np.uint8))
    return parts


def decode(parts):
    """Undo `encode`; blank images may follow the last one."""
    images = []
    for part in parts:
        with Image.open(io.BytesIO(part.tobytes())) as mosaic:
            pixels = np.asarray(mosaic.convert("RGB"))[..., 0]
        side = pixels.shape[1] // COLUMNS
        tiles = pixels.reshape(-1, side, COLUMNS, side).transpose(0, 2, 1, 3)
        images.append(tiles.reshape(-1, side, side))
    return np.concatenate(images)


def read_backbone(source):
    """Read the arrays of MobileNetV1 to `conv_dw_9_relu` by name, such as "conv1/kernel".

    Parameters
    ----------
    source : {"imagenet", "drawn"}
        As `PAttLiteClassifier`'s `backbone_weights`. The drawn backbone has a quarter of the
        filters: it is for trials.
    """
    import keras

    from sklearn_patt_lite._network.architecture import Architecture
    from sklearn_patt_lite._network.patt_lite import BACKBONE, build_network
    from sklearn_patt_lite._network.weights import DRAWN_ALPHA, load_weights

    alpha = DRAWN_ALPHA if source == "drawn" else 1.0
    architecture = Architecture(7, (48, 48, 1), alpha=alpha, input_size=112)
    network = build_network(architecture)
    load_weights(network, source, architecture)
    return {
        f"{layer.name}/{weight.name}": np.asarray(keras.ops.convert_to_numpy(weight))
        for layer in network.get_layer(BACKBONE).layers
        for weight in layer.weights
    }
