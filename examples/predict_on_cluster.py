"""Predict image files on a cluster, with Dask, Ray or Spark.

    python examples/predict_on_cluster.py dask paths.csv predictions/
    python examples/predict_on_cluster.py dask paths.csv predictions/ --scheduler tcp://host:8786
    python examples/predict_on_cluster.py ray paths.csv predictions/
    python examples/predict_on_cluster.py spark paths.csv predictions/ --classifier /shared/mine.zip

paths.csv has a column "path" with files that all workers can read; predictions/ becomes a folder of
Parquet files with the columns of `predict_files`. Without a cluster, each engine runs on this
machine. To use an existing cluster, pass --scheduler for Dask, set RAY_ADDRESS for Ray, or start
the script with `spark-submit`. All paths must be on a disk that all workers share.

Workers need the extra `parquet`, but not TensorFlow or Keras. Dask needs the extra `cluster`
and "dask[dataframe]", Ray "ray[data]", and Spark a Java runtime, "pyspark", pandas, and the same
Python version on its workers (PYSPARK_PYTHON).
"""

import argparse
from pathlib import Path

from sklearn_patt_lite.__main__ import load_classifier
from sklearn_patt_lite.prediction import predict_files, predictions_schema

CHUNK = 1000  # files per task


def main():
    arguments = parse_arguments()
    if arguments.output.exists():  # engines would add to it, or overwrite parts of it
        raise SystemExit(f"{arguments.output} already exists: delete it, or choose another folder.")
    classifier = load_classifier(arguments.classifier)
    table, output = str(arguments.table.resolve()), str(arguments.output.resolve())
    if arguments.engine == "dask":
        predict_with_dask(classifier, table, output, arguments.scheduler)
    elif arguments.engine == "ray":
        predict_with_ray(classifier, table, output)
    else:
        predict_with_spark(classifier, table, output)


def parse_arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("engine", choices=["dask", "ray", "spark"])
    parser.add_argument("table", type=Path, help="a .csv file with a column 'path'")
    parser.add_argument("output", type=Path, help="folder for Parquet files")
    parser.add_argument("--classifier", type=Path, help="file of a classifier; default: pretrained")
    parser.add_argument("--scheduler", help="address of a running Dask cluster")
    return parser.parse_args()


def predict_with_dask(classifier, table, output, scheduler=None, blocksize="64KB"):
    """Map over the partitions of a DataFrame; if a worker dies, another gets its share."""
    import dask
    import dask.dataframe as dd
    import pandas as pd
    from dask.distributed import Client

    def predict(frame, classifier):
        return pd.DataFrame(predict_files(classifier, frame["path"]))

    no_files = pd.DataFrame(predict_files(classifier, []))
    with Client(**({"threads_per_worker": 1} if scheduler is None else {"address": scheduler})):
        frame = dd.read_csv(table, usecols=["path"], dtype=str, blocksize=blocksize)
        # Delayed, so that the classifier is sent once, and not with each partition.
        found = frame.map_partitions(predict, dask.delayed(classifier), meta=no_files)
        schema = predictions_schema(classifier)
        found.to_parquet(output, write_index=False, schema=schema)


def predict_with_ray(classifier, table, output):
    """Map over batches of a Dataset, with at most one actor per core."""
    import ray

    ray.init(ignore_reinit_error=True)
    n_actors = max(1, int(ray.cluster_resources()["CPU"]) - 1)  # one core reads and writes
    sent = ray.put(classifier)

    class Predictor:
        def __init__(self):
            self.classifier = ray.get(sent)

        def __call__(self, batch):
            return predict_files(self.classifier, batch["path"])

    actors = ray.data.ActorPoolStrategy(min_size=1, max_size=n_actors)
    paths = ray.data.read_csv(table).select_columns(["path"])
    found = paths.map_batches(Predictor, batch_size=CHUNK, compute=actors)
    found.write_parquet(output, schema=predictions_schema(classifier))


def predict_with_spark(classifier, table, output):
    """Map over batches of a column."""
    from pyspark.ml.functions import predict_batch_udf
    from pyspark.sql import SparkSession
    from pyspark.sql.pandas.types import from_arrow_schema

    def make_predict():
        return lambda paths: predict_files(sent.value, paths)

    spark = SparkSession.builder.getOrCreate()
    sent = spark.sparkContext.broadcast(classifier)
    columns = from_arrow_schema(predictions_schema(classifier))
    predict = predict_batch_udf(make_predict, return_type=columns, batch_size=CHUNK)
    paths = spark.read.csv(table, header=True)
    tasks = paths.repartition(paths.count() // CHUNK + 1)
    tasks.select(predict("path").alias("found")).select("found.*").write.parquet(output)


if __name__ == "__main__":
    main()
