"""Predict the expressions of any number of image files, into a Parquet file.

    python examples/predict_files.py faces/ --output faces.parquet
    python examples/predict_files.py "faces/**/*.jpg" --output faces.parquet --classifier mine.zip
    python examples/predict_files.py table.csv --column path --output faces.parquet
    python examples/predict_files.py photos/ --crop --output photos.parquet

What to predict is a folder with all that lies below it, a pattern in quotation marks, or a column
of a .csv or .parquet file. Each file holds one face, cropped; with --crop the largest face of each
photograph is found first (extra `faces`). The classifier is the pretrained one of
`PAttLiteClassifier.from_pretrained("fer2013")`, or one that was saved with `save_model`.

Run the same command again after a crash: it goes on where it was. A row says of each file what it
shows or, in the column "error", why it could not be read. Needs the extra `parquet`.
"""

import argparse
import glob
from pathlib import Path

import pyarrow.csv
import pyarrow.parquet
from sklearn.pipeline import make_pipeline

from sklearn_patt_lite import PAttLiteClassifier
from sklearn_patt_lite.prediction import write_predictions
from sklearn_patt_lite.preprocessing import FaceCropper

ENDINGS = {".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".tif", ".tiff", ".webp"}


def main():
    arguments = parse_arguments()
    paths = find_paths(arguments.files, arguments.column)
    if not paths:
        raise SystemExit(f"No images were found: {arguments.files}")
    print(f"{len(paths)} files")
    n_unread = write_predictions(
        load_classifier(arguments.classifier, arguments.crop),
        paths,
        arguments.output,
        chunk_size=arguments.chunk_size,
        verbose=1,
    )
    print(f"{arguments.output}: {len(paths) - n_unread} predicted, {n_unread} not read")


def parse_arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("files", help="a folder, a pattern, or a table: .csv or .parquet")
    parser.add_argument("--output", type=Path, required=True, help="the .parquet file to write")
    parser.add_argument("--column", default="path", help="of the table; default: path")
    parser.add_argument("--classifier", type=Path, help="file of save_model; default: pretrained")
    parser.add_argument("--crop", action="store_true", help="find the largest face of each first")
    parser.add_argument("--chunk-size", type=int, default=2000)
    return parser.parse_args()


def find_paths(files, column):
    """List paths: of a table's column as they stand there, otherwise sorted."""
    if files.endswith(".csv"):
        options = pyarrow.csv.ConvertOptions(include_columns=[column])
        return pyarrow.csv.read_csv(files, convert_options=options)[column].to_pylist()
    if files.endswith(".parquet"):
        return pyarrow.parquet.read_table(files, columns=[column])[column].to_pylist()
    pattern = f"{glob.escape(files)}/**/*" if Path(files).is_dir() else files
    found = glob.iglob(pattern, recursive=True)
    return sorted(path for path in found if Path(path).suffix.lower() in ENDINGS)


def load_classifier(path, crops):
    """Load the classifier of a file or the pretrained one, behind a `FaceCropper` if asked for."""
    if path is None:
        classifier, margin = PAttLiteClassifier.from_pretrained("fer2013"), "fer2013"
    else:
        classifier, margin = PAttLiteClassifier.load_model(path), 0.2
    if not crops:
        return classifier
    return make_pipeline(FaceCropper(size=classifier.image_shape_[0], margin=margin), classifier)


if __name__ == "__main__":
    main()
