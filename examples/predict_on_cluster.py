"""Predict image files on a cluster, by Dask, Ray or Spark.

    python examples/predict_on_cluster.py dask paths.csv predictions/
    python examples/predict_on_cluster.py dask paths.csv predictions/ --scheduler tcp://10.0.0.1:8786
    python examples/predict_on_cluster.py ray paths.csv predictions/
    python examples/predict_on_cluster.py spark paths.csv predictions/ --classifier /shared/mine.zip

paths.csv has a column "path", of files that all workers see; predictions/ becomes a folder of
Parquet files with the columns of `predict_files`. Without a cluster each engine starts on this
machine. Ray finds a running one by RAY_ADDRESS, Spark by `spark-submit`.

Workers need neither TensorFlow nor Keras. Dask needs the extra `cluster`, pandas and pyarrow; Ray
"ray[data]"; Spark a Java runtime, "pyspark", pandas and pyarrow, and on its workers the same Python
(PYSPARK_PYTHON).
"""

import argparse
from pathlib import Path

from sklearn_patt_lite import PAttLiteClassifier
from sklearn_patt_lite.prediction import predict_files

CHUNK = 1000  # files that a worker predicts at once


def main():
    arguments = parse_arguments()
    table, output = str(arguments.table.resolve()), str(arguments.output.resolve())
    if arguments.engine == "dask":
        with_dask(table, output, arguments.classifier, arguments.scheduler)
    else:
        {"ray": with_ray, "spark": with_spark}[arguments.engine](
            table, output, arguments.classifier
        )


def parse_arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("engine", choices=["dask", "ray", "spark"])
    parser.add_argument("table", type=Path, help="a .csv file with a column 'path'")
    parser.add_argument("output", type=Path, help="folder for Parquet files")
    parser.add_argument("--classifier", help="file of save_model; default: pretrained")
    parser.add_argument("--scheduler", help="address of a Dask cluster that is running")
    return parser.parse_args()


def load(path):
    """Load the classifier of a file, or the pretrained one."""
    if path is None:
        return PAttLiteClassifier.from_pretrained("fer2013")
    return PAttLiteClassifier.load_model(path)


def has_names(classifier):
    """Whether the classes have names, and no numbers."""
    return classifier.classes_.dtype.kind in "OU"


def with_dask(table, output, classifier=None, scheduler=None, blocksize="64KB"):
    """Map over partitions of a DataFrame: those of a worker that dies go to another one."""
    import dask.dataframe as dd
    import pandas as pd
    from dask.distributed import Client

    def predict(frame, classifier):
        return pd.DataFrame(predict_files(classifier, frame["path"])).astype(types)

    classifier = load(classifier)
    label = "string" if has_names(classifier) else "Int64"
    # Said, since a partition may have no label, or no error.
    types = {"path": "string", "label": label, "error": "string"}
    no_files = predict(pd.DataFrame({"path": []}), classifier)
    with Client(**({"threads_per_worker": 1} if scheduler is None else {"address": scheduler})):
        frame = dd.read_csv(table, usecols=["path"], blocksize=blocksize)
        found = frame.map_partitions(predict, classifier, meta=no_files)
        found.to_parquet(output, write_index=False)


def with_ray(table, output, classifier=None):
    """Map over batches of a Dataset, by actors that load the classifier once."""
    import ray

    class Predictor:
        def __init__(self):
            self.classifier = load(classifier)

        def __call__(self, batch):
            return predict_files(self.classifier, batch["path"])

    ray.init(ignore_reinit_error=True)
    # An actor a core, but for the one that reads and writes.
    n_actors = max(1, int(ray.cluster_resources()["CPU"]) - 1)
    paths = ray.data.read_csv(table).select_columns(["path"])
    paths.map_batches(Predictor, batch_size=CHUNK, concurrency=(1, n_actors)).write_parquet(output)


def with_spark(table, output, classifier=None):
    """Map over batches of a column, by a function that loads the classifier once."""
    from pyspark.ml.functions import predict_batch_udf
    from pyspark.sql import SparkSession
    from pyspark.sql.types import StructType

    def make_predict():
        loaded = load(classifier)
        return lambda paths: predict_files(loaded, paths)

    spark = SparkSession.builder.getOrCreate()  # before the types, which need it
    label = "string" if has_names(load(classifier)) else "bigint"
    columns = StructType().add("path", "string").add("label", label)
    for name in load(classifier).classes_:
        columns.add(f"probability_{name}", "float")
    columns.add("error", "string")
    predict = predict_batch_udf(make_predict, return_type=columns, batch_size=CHUNK)
    paths = spark.read.csv(table, header=True)
    paths.select(predict("path").alias("found")).select("found.*").write.parquet(output)


if __name__ == "__main__":
    main()
