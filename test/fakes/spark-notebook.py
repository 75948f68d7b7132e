"""What the functions of deploy/databricks/discovery.py say of a lake: notebook, lake, pipeline, database, collection."""
import json
import runpy
import sys

from pyspark.sql import SparkSession

notebook, lake, pipeline, db, coll = sys.argv[1:]
spark = SparkSession.builder.getOrCreate()
found = runpy.run_path(notebook)
files = found["ledger"](spark, lake, pipeline)
events = found["events"](spark, lake, files, db, coll, 24)
print(
    json.dumps(
        {
            "collections": [[row.coll, row.events] for row in found["collections"](files).collect()],
            "positions": sorted(row.position for row in events.select("_meta.position").collect()),
            "ids": sorted(row._id for row in events.select("fullDocument._id").collect()),
        }
    )
)
