"""One Spark session that runs jobs, one after another: each line of stdin is the arguments of one as JSON, its own path first."""
import json
import runpy
import sys

from pyspark.sql import SparkSession

session = SparkSession.builder.getOrCreate()
stop = SparkSession.stop
# The next one uses it, too.
SparkSession.stop = lambda self: None
for line in sys.stdin:
    sys.argv = json.loads(line)
    try:
        runpy.run_path(sys.argv[0], run_name="__main__")
        session.catalog.clearCache()
        print("ENDED 0", flush=True)
    except BaseException as error:  # What a job dies of is what the test asks about.
        print("ENDED " + json.dumps(str(error)), flush=True)
stop(session)
