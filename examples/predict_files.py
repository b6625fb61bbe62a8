"""Predict the expressions of any number of image files, into a Parquet file.

    python examples/predict_files.py faces/ --output faces.parquet
    python examples/predict_files.py "faces/**/*.jpg" --output faces.parquet --classifier mine.zip
    python examples/predict_files.py table.csv --column path --output faces.parquet
    python examples/predict_files.py photos/ --crop --output photos.parquet

The input is a folder (searched recursively), a quoted glob pattern, or a column of a .csv or
.parquet file. From folders and patterns, only files with the usual image extensions are taken. Each
file must hold one cropped face; with --crop, the largest face in each photograph is found first
(extra `faces`). The classifier is the pretrained one of
`PAttLiteClassifier.from_pretrained("fer2013")`, or a file written by `save_model` or `joblib.dump`
(a Pipeline, a calibrated classifier). A joblib file can run any code when it is loaded: only use
files from people you trust.

After a crash, run the same command again: it continues with the first unfinished chunk. Each file
gets a row; if it could not be read, the column "error" says why. Needs the extra `parquet`.
"""

import argparse
import glob
from pathlib import Path

import pyarrow.csv
import pyarrow.parquet
from sklearn.pipeline import make_pipeline

from sklearn_patt_lite.__main__ import add_cropping, cropper_for, load_classifier
from sklearn_patt_lite.prediction import write_predictions

ENDINGS = {".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".tif", ".tiff", ".webp"}


def main():
    arguments = parse_arguments()
    paths = find_paths(arguments.files, arguments.column)
    if not paths:
        raise SystemExit(f"No images were found: {arguments.files}")
    print(f"{len(paths)} files")
    classifier = load_classifier(arguments.classifier)
    if arguments.crop:
        classifier = make_pipeline(cropper_for(classifier, arguments), classifier)
    n_unread = write_predictions(
        classifier, paths, arguments.output, chunk_size=arguments.chunk_size, verbose=1
    )
    print(f"{arguments.output}: {len(paths) - n_unread} predicted, {n_unread} failed")


def parse_arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("files", help="a folder, a pattern, or a table: .csv or .parquet")
    parser.add_argument("--output", type=Path, required=True, help="the .parquet file to write")
    parser.add_argument("--column", default="path", help="column with the paths; default: path")
    parser.add_argument("--classifier", type=Path, help="file of a classifier; default: pretrained")
    parser.add_argument("--crop", action="store_true", help="first find the largest face in each")
    add_cropping(parser)  # for --crop
    parser.add_argument("--chunk-size", type=int, default=2000)
    return parser.parse_args()


def find_paths(files, column):
    """List the paths: those of a table's column in its order, others sorted."""
    ending = Path(files).suffix.lower()
    if ending == ".csv":
        types = {column: pyarrow.string()}  # names such as 00001 are not numbers
        options = pyarrow.csv.ConvertOptions(include_columns=[column], column_types=types)
        return pyarrow.csv.read_csv(files, convert_options=options)[column].to_pylist()
    if ending == ".parquet":
        return pyarrow.parquet.read_table(files, columns=[column])[column].to_pylist()
    pattern = f"{glob.escape(files)}/**/*" if Path(files).is_dir() else files
    found = glob.iglob(pattern, recursive=True)
    return sorted(path for path in found if Path(path).suffix.lower() in ENDINGS)


if __name__ == "__main__":
    main()
