"""
A stand-in for Snowflake: fakesnow (SQL by sqlglot and DuckDB, over Snowflake's HTTP), with what the Node driver and sluice
need and fakesnow lacks:

- results as JSON rowsets, with `returned` and `version`, and every error as an error of Snowflake, never as HTTP 500, which
  the driver would try again;
- PUT to internal stages as files of this machine, REMOVE, COPY of whole lines with FILES, METADATA$FILENAME and
  METADATA$FILE_ROW_NUMBER, gzip and zstd;
- functions in JavaScript, run by a JavaScript engine;
- DDL commits the transaction that is open; a second writer of a row waits for the first; a session that is gone or
  idle loses its transaction to whoever waits for it (after 5 minutes there, after three seconds here);
- functions that sqlglot does not translate.

What it cannot show is in docs/snowflake.md.
"""

import datetime
import decimal
import gzip
import io
import json
import os
import re
import shutil
import sys
import tempfile
import threading
import time
import uuid

# fakesnow makes a folder as it is imported, and leaves it behind: all that is temporary goes with ours.
STAGES = tempfile.tempdir = tempfile.mkdtemp(prefix="sluice-fakesnow-")

import duckdb
import fakesnow.info_schema as info_schema
import fakesnow.server as fs
import fakesnow.transforms as transforms
import pyarrow as pa
import pyarrow.parquet as pq
import quickjs
import snowflake.connector.errors as errors
import uvicorn
import zstandard
from fakesnow.converter import from_binding
from fakesnow.dialect import parse_one
from fakesnow.statement_type import SELECT, statement_type_id
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse
from starlette.routing import Route

PUT_TYPE = 0x7777
LOCK_WAIT_SECONDS = 120
IDLE_SECONDS = 3.0
engines = threading.local()
# fakesnow adds numbers up as doubles, and loses digits.
transforms.numeric_agg_implicit_cast = lambda expression: expression
# Nor does it escape what it puts into a statement.
plain_comment = info_schema.insert_table_comment_sql
info_schema.insert_table_comment_sql = lambda catalog, schema, table, comment: plain_comment(catalog, schema, table, comment.replace("'", "''"))
sessions = {}  # token -> Session


class Session:
    def __init__(self, conn):
        self.conn, self.open, self.used, self.fresh, self.robbed = conn, False, time.monotonic(), False, False
        self.lock = threading.RLock()


class Refused(Exception):
    def __init__(self, code, state, message):
        super().__init__(message)
        self.code, self.state = code, state


# --- JavaScript functions: DuckDB calls the engine with a batch of rows -------------------------------------------------------


def javascript(names, body):
    source = f"(function({', '.join(names)}) {{{body}}})"

    def call(columns):
        known = engines.__dict__.setdefault("known", {})
        if source not in known:
            known[source] = quickjs.Context().eval(source)
        function = known[source]
        # RETURNS NULL ON NULL INPUT, as all of ours are.
        return pa.array([None if None in row else function(*row) for row in zip(*[c.to_pylist() for c in columns])], pa.string())

    # DuckDB looks at how many parameters there are.
    return eval(f"lambda {', '.join(names)}: call([{', '.join(names)}])", {"call": call})


FUNCTION = re.compile(
    r"CREATE OR REPLACE FUNCTION (\S+?)\(([^)]*)\)\s+RETURNS (\w+)\s.*?LANGUAGE JAVASCRIPT.*?AS\s+\$\$(.*)\$\$\s*$", re.S | re.I
)


compiled = {}


def create_function(session, match):
    name, arguments, _type, body = match.groups()
    names = re.findall(r'"(\w+)"', arguments)
    duck = session.conn._duck_conn
    key = (tuple(names), body)
    engine = compiled.get(key)
    if engine is None:
        engine = compiled[key] = f"js_{len(compiled)}"
        fs.shared_fs.duck_conn.create_function(
            engine, javascript(names, body), ["VARCHAR"] * len(names), "VARCHAR", type="arrow", null_handling="special"
        )
    given = ", ".join(names)
    duck.execute(f"CREATE OR REPLACE MACRO {session.conn.database}.{name}({given}) AS {engine}({given})")


# --- Stages ------------------------------------------------------------------------------------------------------------------


def folder_of(stage):
    """Folder of `@a.b/c` below our own."""
    name, _, path = stage.lstrip("@").partition("/")
    return os.path.normpath(os.path.join(STAGES, name.lower().replace('"', ""), path))


PUT = re.compile(r"\s*PUT\s+'file://(.*?)'\s+'?(@[^\s']+)'?", re.I)
REMOVE = re.compile(r"\s*(?:REMOVE|RM)\s+'?(@[^\s']+)'?", re.I)
LIST = re.compile(r"\s*(?:LIST|LS)\s+'?(@[^\s']+)'?", re.I)
COPY = re.compile(
    r"\s*COPY INTO (\S+) \(([^)]*)\)\s+FROM \(\s*SELECT METADATA\$FILENAME, METADATA\$FILE_ROW_NUMBER, \$1(?::(\w+)::VARCHAR)?\s+FROM '?(@[^\s']+)'?\s*\)"
    r"\s+FILES = \(((?:'(?:[^']|'')*'(?:, )?)+)\)\s+FILE_FORMAT = \((.*?)\)\s+ON_ERROR = ABORT_STATEMENT",
    re.I | re.S,
)


def put(match):
    """The driver copies the file itself, to where this says: a stage that is a folder."""
    source, stage = match.groups()
    return answer([("source", "text")], [[source, folder_of(stage)]], PUT_TYPE)


def put_answer(rows):
    source, folder = rows[0]
    info = {"locationType": "LOCAL_FS", "location": folder, "creds": {}, "path": "", "region": "", "storageAccount": ""}
    return {
        "stageInfo": info,
        "src_locations": [source],
        "parallel": 4,
        "threshold": 209715200,
        "autoCompress": False,
        "overwrite": True,
        "sourceCompression": "auto_detect",
        "command": "UPLOAD",
        "kind": None,
        "operation": "Node",
        "encryptionMaterial": None,
    }


def lines_of(path, file_format, column):
    if "TYPE = PARQUET" in file_format:
        # `$1` is then an object with the columns of the row.
        return pq.read_table(path).column(column).to_pylist()
    with open(path, "rb") as file:
        if "COMPRESSION = GZIP" in file_format:
            file = gzip.open(file)
        elif "COMPRESSION = ZSTD" in file_format:
            file = zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True)
        data = io.BytesIO(file.read()).getvalue()
    rows = data.split(b"\n")
    if rows[-1] == b"":
        rows.pop()
    return [row.decode("utf-8") for row in rows]


def copy(session, match):
    table, columns, column, stage, files, file_format = match.groups()
    table = TEMPORARY.sub(f"sluice.incoming_{id(session)}", table)
    files = [name.replace("''", "'") for name in re.findall(r"'((?:[^']|'')*)'", files)]
    if len(files) > 1000:
        raise Refused("001007", "22023", "the maximum number of files that can be specified is 1000")
    out, loaded = [], []
    for name in files:
        path = os.path.join(folder_of(stage), name)
        if not os.path.exists(path):
            raise Refused("091016", "22000", f"Remote file '{name}' was not found")
        try:
            rows = lines_of(path, file_format, column)
        except Exception as e:
            raise Refused("100016", "22000", f"Error reading file '{name}': {e}") from e
        # As there: the path inside the stage, whatever was named in FROM.
        inside = "/".join(stage.split("/")[1:] + [name])
        loaded += [(inside, i + 1, row) for i, row in enumerate(rows)]
        out.append([inside, "LOADED", len(rows), len(rows)])
    incoming = pa.table({n: [row[i] for row in loaded] for i, n in enumerate(["f", "n", "l"])}, schema=pa.schema([("f", pa.string()), ("n", pa.int64()), ("l", pa.string())]))
    duck = session.conn._duck_conn
    duck.register("_copied", incoming)
    duck.execute(f"INSERT INTO {session.conn.database}.{table} ({columns}) SELECT f, n, l FROM _copied")
    duck.unregister("_copied")
    return answer([("file", "text"), ("status", "text"), ("rows_parsed", "fixed"), ("rows_loaded", "fixed")], out)


NAME = r'"(?:[^"]|"")+"|\w+'
MOVE = re.compile(rf"\s*ALTER TABLE ({NAME})\.({NAME}) RENAME TO ({NAME})\.({NAME})\s*$", re.I)


def stored(name):
    return name[1:-1].replace('""', '"') if name.startswith('"') else name.upper()


def move(session, match):
    """A table to another schema, which DuckDB cannot do: at once, with its comment."""
    (from_schema, from_name, to_schema, to_name) = [stored(name) for name in match.groups()]
    duck, catalog = session.conn._duck_conn, session.conn.database
    quoted = lambda schema, name: '{}."{}"."{}"'.format(catalog, schema, name.replace('"', '""'))
    duck.begin()
    try:
        duck.execute(f"CREATE TABLE {quoted(to_schema, to_name)} AS FROM {quoted(from_schema, from_name)}")
        duck.execute(f"DROP TABLE {quoted(from_schema, from_name)}")
        duck.commit()
    except Exception:
        duck.rollback()
        raise
    duck.execute(
        "UPDATE _fs_global._fs_information_schema._fs_tables_ext SET ext_table_schema = ?, ext_table_name = ?"
        " WHERE ext_table_catalog = ? AND ext_table_schema = ? AND ext_table_name = ?",
        [to_schema, to_name, catalog, from_schema, from_name],
    )
    return answer([("status", "text")], [["Statement executed successfully."]], 0x6000)


# --- Answers -----------------------------------------------------------------------------------------------------------------


def answer(columns, rows, type_id=0x1000):
    rowtype = [dict(name=n, type=t, nullable=True, length=None, byteLength=None, precision=38, scale=0) for n, t in columns]
    return rowtype, [[None if v is None else str(v) for v in row] for row in rows], type_id


def column_of(field):
    t = field.type
    if pa.types.is_decimal(t):
        return dict(name=field.name, type="fixed", nullable=True, length=None, byteLength=None, precision=t.precision, scale=t.scale)
    kind = "text"
    if pa.types.is_integer(t):
        kind = "fixed"
    elif pa.types.is_floating(t):
        kind = "real"
    elif pa.types.is_boolean(t):
        kind = "boolean"
    elif pa.types.is_date(t):
        kind = "date"
    elif pa.types.is_timestamp(t):
        kind = "timestamp_tz" if t.tz else "timestamp_ntz"
    return dict(name=field.name, type=kind, nullable=True, length=None, byteLength=None, precision=38, scale=9 if "time" in kind else 0)


# What fakesnow makes of a statement takes it much longer than running it: kept by the statement's text, without the names of tables.
made = {}
NAMES = re.compile(r'\b(bronze|silver|gold)\.("(?:[^"]|"")+"|\w+)', re.I)
PLAIN = re.compile(r"\s*(?:SELECT|WITH|INSERT|UPDATE|DELETE|MERGE|CREATE (?:OR REPLACE )?(?:TABLE|VIEW)|ALTER TABLE)\b", re.I)


def translated(cur, sql):
    """The statement for DuckDB and its kind."""
    names = []

    def number(match):
        schema, name = match.groups()
        stored = name if name.startswith('"') else f'"{name.upper()}"'
        if (schema, stored) not in names:
            names.append((schema, stored))
        return f'{schema}."@{names.index((schema, stored))}@"'

    general = NAMES.sub(number, sql)
    if general not in made:
        expression = parse_one(general)
        made[general] = statement_type_id(expression), cur._transform(expression, None).sql(dialect="duckdb")
    type_id, text = made[general]
    return type_id, re.sub(r'"@(\d+)@"', lambda match: names[int(match.group(1))][1], text)


EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)


def text_of(value, kind):
    """A value as Snowflake writes it into a JSON rowset."""
    if value is None:
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime.datetime):
        at = value if value.tzinfo else value.replace(tzinfo=datetime.timezone.utc)
        micros = (at - EPOCH) // datetime.timedelta(microseconds=1)
        seconds = f"{'-' if micros < 0 else ''}{abs(micros) // 1_000_000}.{abs(micros) % 1_000_000:06d}000"
        return f"{seconds} 1440" if kind == "timestamp_tz" else seconds
    if isinstance(value, datetime.date):
        return str((value - datetime.date(1970, 1, 1)).days)
    if isinstance(value, float):
        return {"inf": "inf", "-inf": "-inf", "nan": "NaN"}.get(repr(value), repr(value))
    if isinstance(value, decimal.Decimal):
        return format(value, "f")
    return str(value)


SAFE = [
    (re.compile(r"\bTO_NUMBER\((.*?), '(X+)', \d+, 0\)", re.S), r"hex_number(\1)"),
]
# What only Snowflake has: taken and forgotten.
UNSEEN = re.compile(
    r"\s*(?:USE|GRANT)\b|\s*DESCRIBE INTEGRATION|\s*(?:CREATE|ALTER|DROP) (?:OR REPLACE )?"
    r"(?:ROLE|USER|WAREHOUSE|DATABASE|(?:STORAGE |NOTIFICATION )?INTEGRATION|FILE FORMAT|STAGE|TASK|PIPE|STREAM|ALERT|DYNAMIC TABLE|EXTERNAL TABLE|PROCEDURE)\b",
    re.I,
)
# A temporary table is the session's own, and in a schema, which DuckDB does not have.
TEMPORARY = re.compile(r"\bsluice\.incoming\b", re.I)


def execute(session, sql, params):
    conn = session.conn
    head = re.match(r"\s*(\w+)", sql)
    word = head.group(1).upper() if head else ""
    if match := FUNCTION.match(sql.strip()):
        commit(session)
        create_function(session, match)
        return answer([("status", "text")], [["Function successfully created."]], 0x6000)
    if match := PUT.match(sql):
        return put(match)
    if match := REMOVE.match(sql):
        shutil.rmtree(folder_of(match.group(1)), ignore_errors=True)
        return answer([("name", "text")], [])
    if match := COPY.match(sql):
        return copy(session, match)
    if word == "COPY":
        raise Refused("001003", "42000", "syntax error: the stand-in knows another form of COPY")
    if word in ("ALTER",) and re.match(r"\s*ALTER SESSION", sql, re.I):
        return answer([("status", "text")], [["Statement executed successfully."]], 0x4000)
    if word in ("CREATE", "ALTER", "DROP", "COMMENT", "TRUNCATE"):
        commit(session)
    if match := MOVE.match(sql):
        return move(session, match)
    if UNSEEN.match(sql):
        return answer([("status", "text")], [["Statement executed successfully."]], 0x6000)
    for pattern, by in SAFE:
        sql = pattern.sub(by, sql)
    sql = TEMPORARY.sub(f"sluice.incoming_{id(session)}", sql).replace("CREATE TEMPORARY TABLE", "CREATE TABLE")
    cur = conn.cursor()
    if word == "BEGIN":
        conn._duck_conn.begin()
        session.open = True
        return answer([("status", "text")], [["Statement executed successfully."]], 0x5000)
    if word in ("COMMIT", "ROLLBACK"):
        end(session, word)
        return answer([("status", "text")], [["Statement executed successfully."]], 0x5000)
    if PLAIN.match(sql) and "information_schema" not in sql.lower():
        type_id, text = translated(cur, sql)
        duck = conn._duck_conn
        duck.execute(text, list(params) if params else None)
        table = duck.to_arrow_table()
    else:
        type_id = statement_type_id(parse_one(sql))
        # fakesnow looks for session variables inside of texts, too, and finds `$timestamp`.
        cur._inline_variables = lambda command: command
        cur.execute(sql, binding_params=params, server=True)
        table = cur._arrow_table
    if table is None or (type_id != SELECT and word not in ("INSERT", "UPDATE", "DELETE", "MERGE", "SHOW", "DESCRIBE", "DESC", "LIST")):
        return answer([("status", "text")], [["Statement executed successfully."]], type_id)
    if type_id != SELECT and word in ("INSERT", "UPDATE", "DELETE", "MERGE"):
        return answer([("number of rows", "fixed")], [[table.column(0)[0].as_py()]], type_id)
    rowtype = [column_of(field) for field in table.schema]
    kinds = [column["type"] for column in rowtype]
    columns = [c.to_pylist() for c in table.columns]
    rows = [[text_of(v, kind) for v, kind in zip(row, kinds)] for row in zip(*columns)]
    return rowtype, rows, type_id


def commit(session):
    if session.open:
        end(session, "COMMIT")


def end(session, how):
    if session.open:
        session.open = False
        getattr(session.conn._duck_conn, how.lower())()


def is_conflict(error):
    return "Conflict on" in str(error) or "write-write conflict" in str(error)


def run(session, sql, params):
    """Waits as a lock there would, where DuckDB refuses at once. Only a transaction's first write can: it has seen nothing yet."""
    until = time.monotonic() + LOCK_WAIT_SECONDS
    with session.lock:
        while True:
            if session.robbed:
                raise Refused("390111", "08001", "Session no longer exists. New login required to access the service.")
            session.used = time.monotonic()
            try:
                done = execute(session, sql, params)
                session.fresh = sql.upper().startswith("BEGIN")
                session.used = time.monotonic()
                return done
            except Exception as e:
                if not is_conflict(e):
                    raise
                waits = not session.open or session.fresh
                again = session.open
                end(session, "ROLLBACK")
                if not waits or time.monotonic() > until:
                    raise Refused("000625", "57014", f"Statement has locked a table and the lock has not been released: {e}") from e
            take_from_idle(session)
            time.sleep(0.02)
            if again:
                execute(session, "BEGIN", None)
                session.fresh = True


def take_from_idle(waiting):
    for other in list(sessions.values()):
        if other is not waiting and other.open and time.monotonic() - other.used > IDLE_SECONDS and other.lock.acquire(blocking=False):
            try:
                end(other, "ROLLBACK")
                other.robbed = True
            finally:
                other.lock.release()


# --- HTTP --------------------------------------------------------------------------------------------------------------------

running = {}  # requestId -> Session


def failed(code, state, message):
    return JSONResponse({"data": {"errorCode": code, "sqlState": state}, "code": code, "message": message, "success": False})


def refused_login(data, query):
    """Why Snowflake would not let these in, or None."""
    import jwt

    if data.get("LOGIN_NAME", "").upper() == "LOCKED":
        return "390102", "The user has been temporarily locked."
    kind, token = data.get("AUTHENTICATOR"), data.get("TOKEN")
    if kind == "SNOWFLAKE_JWT":
        try:
            claims = jwt.decode(token, open(os.environ["SLUICE_FAKE_PUBLIC_KEY"]).read(), algorithms=["RS256"], options={"verify_iat": False})
        except jwt.PyJWTError as e:
            return "390144", f"JWT token is invalid. [{e}]"
        if not claims["sub"].endswith("." + data["LOGIN_NAME"].upper()):
            return "390144", "JWT token is invalid. [subject]"
    elif kind == "OAUTH" and token != "good-token":
        return "390303", "Invalid OAuth access token."
    elif kind == "PROGRAMMATIC_ACCESS_TOKEN" and token != "good-token":
        return "394400", "Programmatic access token is invalid."
    elif kind not in ("SNOWFLAKE_JWT", "OAUTH", "PROGRAMMATIC_ACCESS_TOKEN"):
        return "390100", "Incorrect username or password was specified."
    if query.get("roleName", "").upper() == "NOBODY":
        return "390189", "Role 'NOBODY' specified in the connect string does not exist or not authorized."
    return None


async def login(request):
    body = await request.body()
    if request.headers.get("Content-Encoding") == "gzip":
        body = gzip.decompress(body)
    data = json.loads(body)["data"]
    if (why := refused_login(data, request.query_params)) is not None:
        return JSONResponse({"data": {"nextAction": "RETRY_LOGIN"}, "code": why[0], "message": why[1], "success": False})
    reply = await fs.login_request(request)
    out = json.loads(reply.body)
    token = out["data"]["token"]
    sessions[token] = Session(fs.sessions[token])
    sessions[token].conn._duck_conn.execute("CREATE MACRO IF NOT EXISTS hex_number(x) AS CAST(CAST('0x' || x AS UBIGINT) AS DECIMAL(38, 0))")
    sessions[token].warehouse = request.query_params.get("warehouse", "")
    if "FAKESNOW_DATABASE_MISSING" == (request.query_params.get("databaseName") or "").upper():
        sessions[token].conn.database_set = False
    out["data"] |= {"masterToken": token, "validityInSeconds": 3600, "masterValidityInSeconds": 14400, "sessionId": len(sessions)}
    return JSONResponse(out)


CODES = [
    (duckdb.ConstraintException, ("100072", "22000")),
    (duckdb.ConversionException, ("100038", "22018")),
    (duckdb.CatalogException, ("002003", "42S02")),
    (duckdb.ParserException, ("001003", "42000")),
]
NEEDS_WAREHOUSE = re.compile(r"\s*(SELECT|WITH|INSERT|UPDATE|DELETE|MERGE|COPY)", re.I)


async def query(request):
    session = sessions.get((request.headers.get("Authorization") or "")[17:-1])
    if session is None:
        return failed("390104", "08001", "User must login again to access the service.")
    body = await request.body()
    if request.headers.get("Content-Encoding") == "gzip":
        body = gzip.decompress(body)
    body = json.loads(body)
    sql = body["sqlText"]
    bound = body.get("bindings") or {}
    params = tuple(from_binding(bound[str(i)]) for i in range(1, len(bound) + 1)) or None
    if session.warehouse.upper() == "MISSING" and NEEDS_WAREHOUSE.match(sql):
        return failed("000606", "57P03", "No active warehouse selected in the current session.")
    if session.warehouse.upper() == "SPENT" and NEEDS_WAREHOUSE.match(sql):
        return failed("090073", "22000", "Warehouse 'SPENT' cannot be resumed because resource monitor 'M' has exceeded its quota.")
    identity = request.query_params.get("requestId")
    running[identity] = session
    try:
        rowtype, rows, type_id = await run_in_threadpool(run, session, sql, params)
    except Refused as e:
        return failed(e.code, e.state, str(e))
    except errors.Error as e:
        return failed(f"{e.errno or 0:06d}", e.sqlstate or "", e.msg or "")
    except duckdb.InterruptException:
        return failed("000604", "57014", "SQL execution canceled")
    except duckdb.Error as e:
        code, state = next((codes for kind, codes in CODES if isinstance(e, kind)), ("000904", "42000"))
        return failed(code, state, str(e))
    except Exception as e:
        return failed("000904", "42000", f"{type(e).__name__}: {e}")
    finally:
        running.pop(identity, None)
    data = {
        "parameters": [{"name": "TIMEZONE", "value": "UTC"}],
        "rowtype": rowtype,
        "rowset": rows,
        "total": len(rows),
        "returned": len(rows),
        "queryId": str(uuid.uuid4()),
        "statementTypeId": type_id,
        "queryResultFormat": "json",
        "finalDatabaseName": session.conn.database,
        "finalSchemaName": session.conn.schema,
        "version": 1,
    }
    if type_id == PUT_TYPE:
        data |= put_answer(rows)
    return JSONResponse({"data": data, "success": True, "code": None, "message": None})


async def abort(request):
    body = await request.body()
    if request.headers.get("Content-Encoding") == "gzip":
        body = gzip.decompress(body)
    session = running.get(json.loads(body).get("requestId"))
    if session is not None:
        session.conn._duck_conn.interrupt()
    return JSONResponse({"data": None, "code": None, "message": None, "success": True})


async def close(request):
    token = (request.headers.get("Authorization") or "")[17:-1]
    session = sessions.get(token)
    if session is not None and request.query_params.get("delete"):
        del sessions[token]
        await run_in_threadpool(end_session, session)
    return JSONResponse({"data": None, "code": None, "message": None, "success": True})


def end_session(session):
    with session.lock:
        end(session, "ROLLBACK")


async def nothing(_request):
    return JSONResponse({"data": None, "code": None, "message": None, "success": True})


def main():
    """Ends with its standard input, so that it never outlives the test that started it."""
    app = Starlette(
        routes=[
            Route("/session/v1/login-request", login, methods=["POST"]),
            Route("/session", close, methods=["POST"]),
            Route("/session/heartbeat", nothing, methods=["POST"]),
            Route("/queries/v1/query-request", query, methods=["POST"]),
            Route("/queries/v1/abort-request", abort, methods=["POST"]),
            Route("/telemetry/send", nothing, methods=["POST"]),
        ]
    )
    fs.logger.setLevel("ERROR")
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="warning", timeout_keep_alive=600))

    def watch():
        while not server.started:
            time.sleep(0.01)
        print(json.dumps({"port": server.servers[0].sockets[0].getsockname()[1]}), flush=True)
        sys.stdin.read()
        shutil.rmtree(STAGES, ignore_errors=True)
        os._exit(0)

    threading.Thread(target=watch, daemon=True).start()
    server.run()


if __name__ == "__main__":
    main()
