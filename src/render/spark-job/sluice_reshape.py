"""
Capture files of Event Hubs, staged for a lake of sluice: the part of `sluice reshape` that one machine is too slow for.

Decodes Avro and Parquet, drops what comes twice, and writes the lines of each collection and hour, in order, to a staging folder, with
what is needed to prove them. `sluice adopt` then copies them into the lake: it alone writes there, by the rules of the lake.

Invariants
- Of each partition the longest run of messages is taken that asks nobody for a decision: it ends before a missing message and before
  another stream begins. `sluice reshape` goes on from there.
- What is written follows from the files and from where the lake ends. A run that dies leaves nothing that is believed: `partitions`,
  written last, is what makes a staging folder whole, and is emptied first.

    spark-submit --packages org.apache.spark:spark-avro_2.12:3.5.5 sluice_reshape.py --capture URL --staging URL

URLs are those of Spark: abfss://container@account.dfs.core.windows.net/folder, file:///folder. Where Spark brings its Avro reader
(Databricks, Synapse, Fabric) no package is needed. Python 3.8 and Spark 3.4, or newer.
"""
import argparse
import base64
import json
import re

from pyspark import StorageLevel
from pyspark.sql import SparkSession, Window
from pyspark.sql import functions as F
from pyspark.sql import types as T

# Written by `sluice render spark`.
SETTINGS = json.loads(r"""{}""")

# Of the pairs of seconds and ordinal of a cluster time, as one number that sorts as they do.
ORDINALS = 2**32
# Messages of a partition are looked at in runs of so many sequence numbers, each by a task of its own.
RUN = 100_000
# How a line begins, with its position.
LINE_BEGINS = r'^\{"_meta":\{"position":"([^"]+)"'
# Of the messages; what has another one is for `sluice adopt` to refuse.
VERSION = "1"
CHECKPOINT_FORMATS = (1, 2)
CLAIM = r"(_sluice/[^/]+/claims/\d{8}/[0-9a-f]{64}\.jsonl)$"

# A reader's schema: whatever order the types of a union have in a file, they are told by name.
AVRO_SCHEMA = json.dumps(
    {
        "type": "record",
        "name": "EventData",
        "namespace": "Microsoft.ServiceBus.Messaging",
        "fields": [
            {"name": "SequenceNumber", "type": "long"},
            {"name": "EnqueuedTimeUtc", "type": "string"},
            {
                "name": "Properties",
                "type": {"type": "map", "values": ["null", "long", "double", "string", "bytes", "boolean"]},
            },
            {"name": "Body", "type": ["null", "bytes"]},
        ],
    }
)


def main():
    parser = argparse.ArgumentParser(description="Stages Capture files for `sluice adopt`.")
    parser.add_argument("--capture", required=True, help="where the Capture files are")
    parser.add_argument("--staging", required=True, help="a folder of its own, which is written over")
    parser.add_argument("--lake", default=SETTINGS["lake"], help="the lake that will adopt, to see where it ends")
    parser.add_argument("--claims", default=None, help="the lake of the producer; left out: that of --lake")
    args = parser.parse_args()
    spark = SparkSession.builder.appName("sluice reshape " + SETTINGS["pipeline"]).getOrCreate()
    # Only so do positions and lines stay what they are, byte for byte.
    spark.conf.set("spark.sql.session.timeZone", "UTC")
    job = Job(spark, args.capture.rstrip("/"), args.staging.rstrip("/"), args.lake.rstrip("/"), (args.claims or args.lake).rstrip("/"))
    for line in job.run():
        print(line)
    spark.stop()


class Job:
    def __init__(self, spark, capture, staging, lake, claims):
        self.spark = spark
        self.capture = capture
        self.staging = staging
        self.lake = lake
        self.claims = claims

    def run(self):
        # From here on, until the end, nobody takes what lies there for whole.
        self.write_facts("partitions", [])
        starts = self.starts()
        records = self.records(starts)
        if records is None:
            return ["no Capture file there has a name like " + SETTINGS["pattern"]]
        records = records.persist(StorageLevel.DISK_ONLY)
        known = self.with_streams(records, starts)
        ends = self.ends(records, known)
        judged = self.judged(records, known, ends).persist(StorageLevel.DISK_ONLY)
        files = self.write_lines(judged)
        self.write_bad(judged)
        partitions = self.partitions(judged, known, ends)
        self.write_facts("files", files)
        self.write_facts("partitions", partitions)
        return [self.told(each) for each in partitions] + ["Now: sluice adopt --from " + self.staging]

    @staticmethod
    def told(each):
        why = {"end": "", "hole": ": message %s is missing" % each["next"], "stream": ": another stream begins at %s" % each["next"]}
        return "partition %d: %d events, %d repetitions, up to %s%s" % (
            each["partition"],
            each["events"],
            each["repeated"],
            each["next"],
            why[each["endedBy"]],
        )

    # Where the lake ends.

    def starts(self):
        """Of each partition that the lake has begun: next sequence number, position, cluster time, watermark, fingerprint."""
        root = "%s/_sluice/%s/bus" % (self.lake, SETTINGS["pipeline"])
        try:
            found = (
                self.spark.read.option("pathGlobFilter", "checkpoint.json")
                .option("recursiveFileLookup", "true")
                .text(root, wholetext=True)
                .select("value", F.col("_metadata.file_path").alias("path"))
                .collect()
            )
        except Exception as error:  # Its class is not the same in all versions of Spark.
            if "PATH_NOT_FOUND" in str(error) or "Path does not exist" in str(error):
                return {}
            raise
        starts = {}
        for text, path in found:
            name = re.search(r"/p(\d+)/checkpoint\.json$", path)
            if name is None:
                continue
            checkpoint = json.loads(text)
            if checkpoint["v"] not in CHECKPOINT_FORMATS:
                raise SystemExit("%s has format %s: render this job again with the sluice that wrote it" % (path, checkpoint["v"]))
            resume = checkpoint["resume"]
            if resume is None:
                continue
            starts[int(name.group(1))] = {
                "next": int(json.loads(base64.b64decode(resume["token"]))["next"]),
                "position": resume["position"],
                "time": time_of(resume["clusterTime"]),
                "watermark": time_of(checkpoint["watermark"]),
                "fingerprint": checkpoint["fingerprint"][len("bus ") :],
            }
        return starts

    # What the files hold.

    def records(self, starts):
        """All messages at or after where their partition's lake ends."""
        name = re.compile(re.sub(r"\(\?<(\w+)>", r"(?P<\1>", SETTINGS["regex"]), re.IGNORECASE)
        listed = (
            self.spark.read.format("binaryFile")
            .option("recursiveFileLookup", "true")
            .load(self.capture)
            .where("length > 0")
            .select("path")
            .toLocalIterator()
        )
        paths = [row.path for row in listed if name.search(row.path)]
        kinds = [
            self.decoded(kind, [path for path in paths if path.lower().endswith("." + kind)])
            for kind in ("avro", "parquet")
            if any(path.lower().endswith("." + kind) for path in paths)
        ]
        if not kinds:
            return None
        records = kinds[0] if len(kinds) == 1 else kinds[0].unionByName(kinds[1])
        group = name.groupindex["PartitionId"]
        java = "(?i)" + re.sub(r"\(\?<\w+>", "(", SETTINGS["regex"])
        records = records.withColumn("partition", F.regexp_extract("path", java, group).cast("int")).drop("path")
        begin = self.spark.createDataFrame(
            [(partition, start["next"]) for partition, start in starts.items()],
            T.StructType([T.StructField("partition", T.IntegerType()), T.StructField("begin", T.LongType())]),
        )
        records = records.join(F.broadcast(begin), "partition", "left").where(F.col("sequence") >= F.coalesce("begin", F.lit(0))).drop("begin")
        return self.read_headers(records)

    def decoded(self, kind, paths):
        reader = self.spark.read.format(kind)
        if kind == "avro":
            reader = reader.option("avroSchema", AVRO_SCHEMA)
        frame = reader.load(paths)
        if kind == "avro":
            values = F.transform_values(
                "Properties",
                lambda _, v: F.coalesce(
                    v["member0"].cast("string"),
                    v["member1"].cast("string"),
                    v["member2"],
                    v["member3"].cast("string"),
                    v["member4"].cast("string"),
                ),
            )
        elif isinstance(frame.schema["Properties"].dataType, T.MapType):
            values = F.transform_values("Properties", lambda _, v: v.cast("string"))
        else:
            values = F.from_json(F.col("Properties").cast("string"), "map<string,string>")
        return frame.select(
            F.col("_metadata.file_path").alias("path"),
            F.col("SequenceNumber").cast("long").alias("sequence"),
            F.col("EnqueuedTimeUtc").cast("string").alias("enqueued"),
            F.coalesce(F.map_filter(values, lambda _, v: v.isNotNull()), F.create_map().cast("map<string,string>")).alias("headers"),
            F.col("Body").cast("binary").alias("body"),
        )

    @staticmethod
    def read_headers(records):
        """As `receive` does in src/pipeline/bus-message.ts: `kind` is event, watermark or bad."""

        def header(key):
            return F.col("headers")[key]

        is_time = r"^\d+\.\d+$"
        time = lambda key: F.when(  # noqa: E731
            header(key).rlike(is_time),
            F.substring_index(header(key), ".", 1).cast("long") * ORDINALS + F.substring_index(header(key), ".", -1).cast("long"),
        )
        records = records.select(
            "*",
            # In the line; of what has none, in a header.
            F.when(F.col("body").isNull() | header("claim").isNotNull() | header("watermark").isNotNull(), header("position"))
            .otherwise(F.regexp_extract(F.col("body").cast("string"), LINE_BEGINS, 1))
            .alias("position"),
            header("v").alias("v"),
            header("fingerprint").alias("fingerprint"),
            header("operationType").alias("operation"),
            header("ns").alias("ns"),
            header("claim").alias("claim"),
            time("clusterTime").alias("at"),
            time("watermark").alias("watermark"),
            header("watermark").isNotNull().alias("is_watermark"),
            F.floor(F.col("sequence") / RUN).alias("run"),
        )
        is_known = F.col("v") == F.lit(VERSION)
        is_whole = is_known & F.col("position").isNotNull() & F.col("fingerprint").isNotNull() & F.col("at").isNotNull()
        has_place = F.col("claim").isNotNull() | (F.col("position") != "")
        is_event = is_whole & ~F.col("is_watermark") & F.col("operation").isNotNull() & F.col("ns").isNotNull() & has_place
        is_watermark = is_whole & F.col("is_watermark") & F.col("watermark").isNotNull()
        return records.withColumn(
            "kind", F.when(F.coalesce(is_event, F.lit(False)), "event").when(F.coalesce(is_watermark, F.lit(False)), "watermark").otherwise("bad")
        )

    # How far each partition goes.

    def with_streams(self, records, starts):
        """`starts`, and what a lake would begin with of partitions that it has not begun."""
        good = F.col("kind") != "bad"
        first_of = lambda column: F.min(F.when(good, F.struct("sequence", column)))[column]  # noqa: E731
        rows = (
            records.groupBy("partition")
            .agg(
                F.min("sequence").alias("first"),
                first_of("fingerprint").alias("fingerprint"),
                first_of("watermark").alias("first_watermark"),
                first_of("at").alias("first_at"),
            )
            .collect()
        )
        said = {row.partition: row.first_at if row.first_watermark is None else row.first_watermark for row in rows}
        begun = min([at for at in said.values() if at is not None], default=0)
        known = {}
        for row in rows:
            if row.fingerprint is None and row.partition not in starts:
                continue
            fresh = {"next": row.first, "position": "", "time": begun, "watermark": 0, "fingerprint": row.fingerprint}
            known[row.partition] = dict(starts.get(row.partition, fresh), first=said[row.partition])
        return known

    def ends(self, records, known):
        """By partition: the number after the last message that is taken, and why; and by run what holds before its first message."""
        streams = self.frame_of([(p, each["fingerprint"]) for p, each in known.items()], "partition int, stream string")
        is_other = (F.col("kind") != "bad") & (F.col("fingerprint") != F.col("stream"))
        runs = (
            records.join(F.broadcast(streams), "partition")
            .groupBy("partition", "run")
            .agg(
                F.min("sequence").alias("first"),
                F.max("sequence").alias("last"),
                F.countDistinct("sequence").alias("count"),
                F.min(F.when(is_other, F.col("sequence"))).alias("other"),
                F.max(F.when(F.col("kind") == "event", F.col("position"))).alias("position"),
                F.max(F.when(F.col("kind") == "watermark", F.col("watermark"))).alias("watermark"),
            )
            .orderBy("partition", "run")
            .collect()
        )
        ends = {}
        before = []
        for partition, start in known.items():
            position, watermark, next_ = start["position"], start["watermark"], start["next"]
            ended = "end"
            for run in (each for each in runs if each.partition == partition):
                before.append((partition, run.run, position, watermark))
                hole = None
                if run.first != next_:
                    hole = next_
                elif run.last - run.first + 1 != run["count"]:
                    hole = self.hole_in(records, partition, run.run)
                stops = [(at, why) for at, why in ((hole, "hole"), (run.other, "stream")) if at is not None]
                if stops:
                    next_, ended = min(stops)
                    break
                next_ = run.last + 1
                position = max(position, run.position or "")
                watermark = max(watermark, run.watermark or 0)
            ends[partition] = (next_, ended)
        self.before = before
        return ends

    @staticmethod
    def hole_in(records, partition, run):
        """The first number that is missing within a run."""
        numbers = records.where((F.col("partition") == partition) & (F.col("run") == run)).select("sequence").distinct()
        follows = F.lead("sequence").over(Window.orderBy("sequence"))
        return numbers.withColumn("follows", follows).where("follows > sequence + 1").agg(F.min("sequence")).first()[0] + 1

    def judged(self, records, known, ends):
        """
        All messages that are taken, with `outcome`: kept, repeated, late, watermark, bad. As the pipeline's own source of a partition
        has it (src/pipeline/partition-source.ts): what is not above the highest position before it is a repetition, and so is what
        lies before a watermark.
        """
        # Without a position to compare with, the cluster time decides.
        bounds = [(p, ends[p][0], each["time"] if each["position"] == "" else 0) for p, each in known.items()]
        taken = (
            records.join(F.broadcast(self.frame_of(bounds, "partition int, end long, since long")), "partition")
            .where("sequence < end")
            .join(F.broadcast(self.frame_of(self.before, "partition int, run long, run_position string, run_watermark long")), ["partition", "run"])
        )
        earlier = Window.partitionBy("partition", "run").orderBy("sequence").rowsBetween(Window.unboundedPreceding, -1)
        highest = F.max(F.when(F.col("kind") == "event", F.col("position"))).over(earlier)
        passed = F.max(F.when(F.col("kind") == "watermark", F.col("watermark"))).over(earlier)
        taken = taken.withColumn("highest", F.greatest("run_position", highest)).withColumn(
            "passed", F.greatest("run_watermark", "since", passed)
        )
        is_new = (F.col("position") > F.col("highest")) & (F.col("at") >= F.col("passed"))
        return taken.withColumn(
            "outcome",
            F.when(F.col("kind") != "event", F.col("kind"))
            .when(is_new, "kept")
            .when(F.col("headers")["sluice-replayed"].isNotNull(), "late")
            .otherwise("repeated"),
        )

    # What is written.

    def write_lines(self, judged):
        """Files of lines, each of one partition, collection and hour. @returns what each holds"""
        kept = judged.where("outcome = 'kept'").select("partition", "sequence", "ns", "operation", "at", "position", "claim", "body")
        kept = self.with_claims(kept).withColumn("hour", F.floor(F.col("at") / (3600 * ORDINALS)))
        before = Window.partitionBy("partition", "ns", "hour").orderBy("sequence").rowsBetween(Window.unboundedPreceding, -1)
        size = F.expr("octet_length(line)") + 1
        kept = kept.withColumn("part", F.floor(F.coalesce(F.sum(size).over(before), F.lit(0)) / SETTINGS["rollBytes"]))
        kept = kept.withColumn(
            "file", F.format_string("p%03d-%d-%s-%d", "partition", "hour", F.substring(F.sha2("ns", 256), 1, 16), "part")
        ).persist(StorageLevel.DISK_ONLY)
        by_op = kept.groupBy("file", "operation").agg(F.count("*").alias("n"))
        ops = by_op.groupBy("file").agg(F.map_from_entries(F.collect_list(F.struct("operation", "n"))).alias("ops"))
        facts = kept.groupBy("file", "partition", "ns", "hour", "part").agg(
            F.count("*").alias("rows"),
            F.sum(size).alias("bytes"),
            # No order in it, so that it can be summed where the lines are; the order is told by the positions.
            F.sum(F.crc32(F.col("line").cast("binary"))).alias("crc32Sum"),
            F.min("position").alias("first"),
            F.max("position").alias("last"),
            F.min("at").alias("first_at"),
            F.max("at").alias("last_at"),
        )
        files = [
            {
                "file": row.file,
                "partition": row.partition,
                "ns": row.ns,
                "hour": row.hour,
                "part": row.part,
                "rows": row["rows"],
                "bytes": row["bytes"],
                "crc32Sum": str(row.crc32Sum),
                "first": row.first,
                "last": row.last,
                "firstAt": pair_of(row.first_at),
                "lastAt": pair_of(row.last_at),
                "ops": row.ops,
            }
            for row in facts.join(ops, "file").orderBy("partition", "hour", "ns", "part").toLocalIterator()
        ]
        tasks = int(self.spark.conf.get("spark.sql.shuffle.partitions"))
        lines = kept.select("file", "sequence", "line").repartition(tasks, "file").sortWithinPartitions("file", "sequence")
        lines.select("file", "line").write.partitionBy("file").mode("overwrite").option("compression", "none").option("lineSep", "\n").text(
            self.staging + "/lines"
        )
        return files

    def with_claims(self, kept):
        """Lines that were too large for the hub lie on the lake of the producer."""
        body = F.col("body").cast("string")
        claims = [row.claim for row in kept.where("claim is not null").select("claim").distinct().collect()]
        if not claims:
            return kept.withColumn("line", body).drop("claim", "body")
        content = (
            self.spark.read.format("binaryFile")
            .load(["%s/%s" % (self.claims, claim) for claim in claims])
            .select(
                F.regexp_extract("path", CLAIM, 1).alias("claim"),
                F.regexp_replace(F.col("content").cast("string"), "\n$", "").alias("claimed"),
            )
        )
        return kept.join(content, "claim", "left").withColumn("line", F.coalesce("claimed", body)).drop("claim", "claimed", "body")

    def write_bad(self, judged):
        """What `sluice adopt` puts among the dead letters, with its reason."""
        bad = judged.where("outcome in ('bad', 'late')").select(
            "partition",
            F.col("sequence").cast("string").alias("offset"),
            "enqueued",
            F.map_entries("headers").alias("headers"),
            F.base64("body").alias("body"),
            F.when(F.col("outcome") == "late", F.col("highest")).alias("behind"),
        )
        bad.coalesce(1).sortWithinPartitions("partition", "offset").write.mode("overwrite").option("compression", "none").json(
            self.staging + "/bad"
        )

    def partitions(self, judged, known, ends):
        def count(outcome):
            return F.count(F.when(F.col("outcome") == outcome, True)).alias(outcome)

        rows = judged.groupBy("partition").agg(
            F.countDistinct("sequence").alias("messages"),
            *[count(outcome) for outcome in ("kept", "repeated", "late", "watermark", "bad")],
            F.max(F.when(F.col("outcome") == "kept", F.col("position"))).alias("position"),
            F.max(F.when(F.col("outcome") == "kept", F.col("at"))).alias("at"),
            F.max("watermark").alias("passed"),
        )
        totals = {row.partition: row.asDict() for row in rows.collect()}
        partitions = []
        for partition, start in sorted(known.items()):
            total = totals.get(partition, {})
            next_, ended = ends[partition]
            passed = max(start["watermark"], total.get("passed") or 0)
            partitions.append(
                {
                    "v": 1,
                    "pipeline": SETTINGS["pipeline"],
                    "partition": partition,
                    "fingerprint": start["fingerprint"],
                    "firstAt": pair_of(start["first"]),
                    "from": str(start["next"]),
                    "fromPosition": start["position"],
                    "next": str(next_),
                    "position": max(start["position"], total.get("position") or ""),
                    "clusterTime": pair_of(max(start["time"], total.get("at") or 0, passed)),
                    "watermark": pair_of(passed),
                    "messages": total.get("messages", 0),
                    "events": total.get("kept", 0),
                    "repeated": total.get("repeated", 0),
                    "bad": total.get("bad", 0) + total.get("late", 0),
                    "endedBy": ended,
                }
            )
        return partitions

    def write_facts(self, name, rows):
        """JSON lines, in one file."""
        lines = self.frame_of([(json.dumps(row),) for row in rows], "value string")
        lines.coalesce(1).write.mode("overwrite").option("compression", "none").text("%s/%s" % (self.staging, name))

    def frame_of(self, rows, schema):
        return self.spark.createDataFrame(rows, schema)


def time_of(timestamp):
    return timestamp["t"] * ORDINALS + timestamp["i"]


def pair_of(time):
    return {"t": time // ORDINALS, "i": time % ORDINALS}


if __name__ == "__main__":
    main()
