# Databricks notebook source
# MAGIC %md
# MAGIC # What is in a lake of sluice
# MAGIC Follows the ledger, never listings: it alone says which files are promised. Reads only. Needs Spark 3.4 or newer and the right to
# MAGIC read the container (an external location, or `fs.azure…` settings of the cluster). Hours that `sluice compact` has made Parquet of are
# MAGIC read, too; their lines need a cluster with RDDs (single user), not serverless.

# COMMAND ----------

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as T

LEDGER = T.StructType(
    [
        T.StructField("path", T.StringType()),
        T.StructField("db", T.StringType()),
        T.StructField("coll", T.StringType()),
        T.StructField("hour", T.StringType()),
        T.StructField("bytes", T.LongType()),
        T.StructField("rows", T.LongType()),
        T.StructField("ops", T.MapType(T.StringType(), T.LongType())),
        T.StructField("supersedes", T.ArrayType(T.StringType())),
    ]
)


def ledger(spark: SparkSession, lake: str, pipeline: str) -> DataFrame:
    """One row for each file that counts: sealed, and not replaced by another one."""
    lines = spark.read.schema(LEDGER).option("recursiveFileLookup", "true").json(f"{lake}/_sluice/{pipeline}/ledger")
    # A line without a path is the first of an owner.
    files = lines.where(F.col("path").isNotNull())
    replaced = files.select(F.explode("supersedes").alias("path")).distinct()
    return files.join(replaced, "path", "left_anti")


def collections(files: DataFrame) -> DataFrame:
    """Every collection that was ever written, with what there is of it."""
    return (
        files.groupBy("db", "coll")
        .agg(
            F.count("*").alias("files"),
            F.sum("rows").alias("events"),
            F.sum("bytes").alias("bytes"),
            F.min("hour").alias("first_hour"),
            F.max("hour").alias("last_hour"),
            F.sum(F.coalesce(F.element_at("ops", F.lit("delete")), F.lit(0))).alias("deletes"),
        )
        .orderBy("db", "coll")
    )


def events(spark: SparkSession, lake: str, files: DataFrame, db: str, coll: str, hours: int) -> DataFrame:
    """The lines of a collection's latest hours, as they were sent: `doc` is the line, parsed with a schema of its own."""
    chosen = files.where((F.col("db") == db) & (F.col("coll") == coll)).where("rows > 0")
    latest = [row.hour for row in chosen.select("hour").distinct().orderBy(F.desc("hour")).limit(hours).collect()]
    paths = [f"{lake}/{row.path}" for row in chosen.where(F.col("hour").isin(latest)).select("path").collect()]
    if len(paths) == 0:
        raise ValueError(f"nothing is sealed of {db}.{coll}")
    compacted = [path for path in paths if path.endswith(".parquet")]
    reader = spark.read.option("primitivesAsString", "true")
    if len(compacted) == 0:
        return reader.json(paths)
    # One schema over both: a Parquet file of sluice has the line itself in a column.
    lines = spark.read.parquet(*compacted).select("line")
    plain = [path for path in paths if not path.endswith(".parquet")]
    if len(plain) > 0:
        lines = lines.unionByName(spark.read.text(plain).withColumnRenamed("value", "line"))
    return reader.json(lines.rdd.map(lambda row: row.line))


# COMMAND ----------

# In a notebook these come from widgets; `dbutils` and `spark` are there.
if "dbutils" in globals():
    dbutils.widgets.text("lake", "abfss://lake@account.dfs.core.windows.net/shop")  # noqa: F821
    dbutils.widgets.text("pipeline", "shop")  # noqa: F821
    dbutils.widgets.text("collection", "shop.orders")  # noqa: F821
    lake = dbutils.widgets.get("lake").rstrip("/")  # noqa: F821
    files = ledger(spark, lake, dbutils.widgets.get("pipeline")).cache()  # noqa: F821
    display(collections(files))  # noqa: F821

    db, coll = dbutils.widgets.get("collection").split(".", 1)  # noqa: F821
    sample = events(spark, lake, files, db, coll, 24)  # noqa: F821
    sample.createOrReplaceTempView("events")
    sample.printSchema()
    display(spark.sql("SELECT _meta.operationType, count(*) AS events FROM events GROUP BY ALL"))  # noqa: F821
