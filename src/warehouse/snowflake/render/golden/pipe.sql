-- ==== 01_roles.sql
-- Roles: one that loads, one that reads. As USERADMIN.
-- Written by `sluice render snowflake`; every statement may run again.

USE ROLE USERADMIN;

CREATE ROLE IF NOT EXISTS SLUICE_LOADER COMMENT = 'sluice: loads and merges';

CREATE ROLE IF NOT EXISTS SLUICE_READER COMMENT = 'sluice: reads silver, gold and the health of the pipeline';

GRANT ROLE SLUICE_READER TO ROLE SLUICE_LOADER;

GRANT ROLE SLUICE_LOADER TO ROLE SYSADMIN;

CREATE USER IF NOT EXISTS SLUICE TYPE = SERVICE DEFAULT_ROLE = SLUICE_LOADER DEFAULT_WAREHOUSE = SLUICE_WH;

GRANT ROLE SLUICE_LOADER TO USER SLUICE;

-- ==== 02_warehouse.sql
-- Warehouse, sized by volume, and database. As SYSADMIN.
-- Written by `sluice render snowflake`; every statement may run again.

USE ROLE SYSADMIN;

CREATE WAREHOUSE IF NOT EXISTS SLUICE_WH WAREHOUSE_SIZE = XSMALL AUTO_SUSPEND = 60 AUTO_RESUME = TRUE STATEMENT_TIMEOUT_IN_SECONDS = 3600 INITIALLY_SUSPENDED = TRUE COMMENT = 'sluice';

ALTER WAREHOUSE SLUICE_WH SET WAREHOUSE_SIZE = XSMALL AUTO_SUSPEND = 60 AUTO_RESUME = TRUE STATEMENT_TIMEOUT_IN_SECONDS = 3600;

GRANT USAGE, OPERATE ON WAREHOUSE SLUICE_WH TO ROLE SLUICE_LOADER;

GRANT USAGE ON WAREHOUSE SLUICE_WH TO ROLE SLUICE_READER;

CREATE DATABASE IF NOT EXISTS ANALYTICS;

GRANT USAGE, CREATE SCHEMA ON DATABASE ANALYTICS TO ROLE SLUICE_LOADER;

GRANT USAGE ON DATABASE ANALYTICS TO ROLE SLUICE_READER;

-- ==== 03_integrations.sql
-- Integrations, and what only an account administrator may grant.
-- Written by `sluice render snowflake`; every statement may run again.

USE ROLE ACCOUNTADMIN;

CREATE STORAGE INTEGRATION IF NOT EXISTS SLUICE_LAKE TYPE = EXTERNAL_STAGE STORAGE_PROVIDER = 'AZURE' ENABLED = TRUE
  AZURE_TENANT_ID = '00000000-0000-0000-0000-000000000000' STORAGE_ALLOWED_LOCATIONS = ('azure://acme.blob.core.windows.net/lake/prod/');

GRANT USAGE ON INTEGRATION SLUICE_LAKE TO ROLE SLUICE_LOADER;

DESCRIBE INTEGRATION SLUICE_LAKE;

CREATE NOTIFICATION INTEGRATION IF NOT EXISTS SLUICE_EVENTS ENABLED = TRUE TYPE = QUEUE NOTIFICATION_PROVIDER = AZURE_STORAGE_QUEUE
  AZURE_STORAGE_QUEUE_PRIMARY_URI = 'https://acme.queue.core.windows.net/events' AZURE_TENANT_ID = '00000000-0000-0000-0000-000000000000';

GRANT USAGE ON INTEGRATION SLUICE_EVENTS TO ROLE SLUICE_LOADER;

DESCRIBE INTEGRATION SLUICE_EVENTS;

CREATE NOTIFICATION INTEGRATION IF NOT EXISTS SLUICE_MAIL TYPE = EMAIL ENABLED = TRUE ALLOWED_RECIPIENTS = ('oncall@example.com');

GRANT USAGE ON INTEGRATION SLUICE_MAIL TO ROLE SLUICE_LOADER;

GRANT EXECUTE TASK ON ACCOUNT TO ROLE SLUICE_LOADER;

GRANT EXECUTE ALERT ON ACCOUNT TO ROLE SLUICE_LOADER;

-- ==== 04_schemas.sql
-- Schemas, tables and functions of sluice itself, and pipeline_health.
-- Written by `sluice render snowflake`; every statement may run again.

USE ROLE SLUICE_LOADER;

USE WAREHOUSE SLUICE_WH;

USE DATABASE ANALYTICS;

CREATE SCHEMA IF NOT EXISTS sluice;

CREATE SCHEMA IF NOT EXISTS bronze;

CREATE SCHEMA IF NOT EXISTS silver;

CREATE SCHEMA IF NOT EXISTS gold;

CREATE TABLE IF NOT EXISTS sluice.control (
  schema_version INTEGER NOT NULL,
  last_batch BIGINT NOT NULL
);

INSERT INTO sluice.control SELECT 0, 0 WHERE NOT EXISTS (SELECT 1 FROM sluice.control);

CREATE TABLE IF NOT EXISTS sluice.load_ledger (
  path VARCHAR PRIMARY KEY,
  collection VARCHAR NOT NULL,
  state VARCHAR NOT NULL,
  hour VARCHAR,
  bytes BIGINT,
  "rows" BIGINT,
  first_position VARCHAR,
  last_position VARCHAR,
  first_at TIMESTAMPTZ,
  last_at TIMESTAMPTZ,
  sha256 VARCHAR,
  epoch BIGINT,
  batch BIGINT,
  loaded_at TIMESTAMPTZ,
  load_ms BIGINT,
  superseded_by VARCHAR
);

ALTER TABLE sluice.load_ledger ADD COLUMN IF NOT EXISTS left_rows BIGINT;

ALTER TABLE sluice.load_ledger ADD COLUMN IF NOT EXISTS left_lines VARCHAR;

ALTER TABLE sluice.load_ledger ADD COLUMN IF NOT EXISTS whole_lines VARCHAR;

ALTER TABLE sluice.load_ledger ADD COLUMN IF NOT EXISTS erased_rows BIGINT;

CREATE TABLE IF NOT EXISTS sluice.load_errors (
  path VARCHAR PRIMARY KEY,
  collection VARCHAR NOT NULL,
  reason VARCHAR NOT NULL,
  failed_at TIMESTAMPTZ NOT NULL
);

CREATE TABLE IF NOT EXISTS sluice.collection_registry (
  collection VARCHAR PRIMARY KEY,
  db VARCHAR NOT NULL,
  coll VARCHAR,
  table_name VARCHAR NOT NULL,
  status VARCHAR NOT NULL,
  reason VARCHAR,
  first_seen_at TIMESTAMPTZ NOT NULL,
  last_event_at TIMESTAMPTZ,
  last_load_at TIMESTAMPTZ,
  "rows" BIGINT NOT NULL,
  bytes BIGINT NOT NULL,
  source_count BIGINT,
  source_counted_at TIMESTAMPTZ,
  complete_through TIMESTAMPTZ,
  complete_through_i BIGINT,
  last_batch BIGINT NOT NULL,
  merged_batch BIGINT NOT NULL,
  learnt_batch BIGINT,
  baseline_applied VARCHAR NOT NULL
);

ALTER TABLE sluice.collection_registry ADD COLUMN IF NOT EXISTS source_counted_at TIMESTAMPTZ;

ALTER TABLE sluice.collection_registry ADD COLUMN IF NOT EXISTS learnt_batch BIGINT;

ALTER TABLE sluice.collection_registry ADD COLUMN IF NOT EXISTS bronze_from TIMESTAMPTZ;

ALTER TABLE sluice.collection_registry ADD COLUMN IF NOT EXISTS bronze_removed BIGINT;

ALTER TABLE sluice.collection_registry ADD COLUMN IF NOT EXISTS bronze_removed_at TIMESTAMPTZ;

CREATE TABLE IF NOT EXISTS sluice.superseded (
  file VARCHAR NOT NULL,
  row_number BIGINT NOT NULL,
  key VARCHAR NOT NULL,
  counted_by VARCHAR,
  events BIGINT NOT NULL,
  first_at TIMESTAMPTZ NOT NULL
);

CREATE TABLE IF NOT EXISTS sluice.baselines (
  collection VARCHAR NOT NULL,
  position VARCHAR NOT NULL,
  cause VARCHAR NOT NULL,
  "at" TIMESTAMPTZ NOT NULL,
  file VARCHAR NOT NULL
);

ALTER TABLE sluice.baselines ADD COLUMN IF NOT EXISTS files BIGINT;

ALTER TABLE sluice.baselines ADD COLUMN IF NOT EXISTS batch BIGINT;

CREATE TABLE IF NOT EXISTS sluice.gaps (
  from_at TIMESTAMPTZ,
  to_at TIMESTAMPTZ,
  collections VARCHAR,
  cause VARCHAR NOT NULL,
  repaired_by VARCHAR
);

ALTER TABLE sluice.gaps ADD COLUMN IF NOT EXISTS pipeline VARCHAR;

ALTER TABLE sluice.gaps ADD COLUMN IF NOT EXISTS detected_at TIMESTAMPTZ;

CREATE TABLE IF NOT EXISTS sluice.schema_history (
  collection VARCHAR NOT NULL,
  version BIGINT NOT NULL,
  hash VARCHAR NOT NULL,
  documents BIGINT NOT NULL,
  fields VARCHAR NOT NULL,
  plan VARCHAR NOT NULL,
  valid_from TIMESTAMPTZ NOT NULL,
  updated_at TIMESTAMPTZ NOT NULL
);

CREATE TABLE IF NOT EXISTS sluice.views (
  name VARCHAR PRIMARY KEY,
  collection VARCHAR NOT NULL,
  field VARCHAR
);

CREATE OR REPLACE FUNCTION sluice.member("line" VARCHAR, "name" VARCHAR)
RETURNS VARCHAR
LANGUAGE JAVASCRIPT
RETURNS NULL ON NULL INPUT
IMMUTABLE
AS $$
  function space(s, i) { while (i < s.length && ' \t\r\n'.indexOf(s[i]) >= 0) i++; return i; }
  function end(s, i) {
    var c = s[i], depth = 0;
    if (c === '"') {
      for (i++; i < s.length && s[i] !== '"'; i++) if (s[i] === '\\') i++;
      return i + 1;
    }
    if (c === '{' || c === '[') {
      for (; i < s.length; i++) {
        c = s[i];
        if (c === '"') i = end(s, i) - 1;
        else if (c === '{' || c === '[') depth++;
        else if ((c === '}' || c === ']') && --depth === 0) return i + 1;
      }
      return i;
    }
    while (i < s.length && ',]} \t\r\n'.indexOf(s[i]) < 0) i++;
    return i;
  }
  function unquoted(s) { return s.indexOf('\\') < 0 ? s.slice(1, -1) : JSON.parse(s); }
  function inside(s, i, part) {
    var array = s[i] === '[', n = 0, k, e;
    if (!array && s[i] !== '{') return -1;
    for (i = space(s, i + 1); i < s.length && s[i] !== '}' && s[i] !== ']'; n++) {
      k = array ? String(n) : null;
      if (!array) {
        e = end(s, i);
        k = unquoted(s.slice(i, e));
        i = space(s, space(s, e) + 1);
      }
      if (k === part) return i;
      i = space(s, end(s, i));
      if (s[i] === ',') i = space(s, i + 1);
    }
    return -1;
  }
  function find(s, parts) {
    var i = space(s, 0);
    for (var p = 0; p < parts.length; p++) {
      i = inside(s, i, parts[p]);
      if (i < 0) return null;
    }
    return s.slice(i, end(s, i));
  }
  function at(s, pointer) {
    return find(s, pointer === '' ? [] : pointer.slice(1).split('/').map(function (part) {
      return part.replace(/~1/g, '/').replace(/~0/g, '~');
    }));
  }
  function plain(v) {
    if (v === null || v === 'null') return null;
    return v[0] === '"' ? JSON.parse(v) : v;
  }
  return find(line, [name]);
$$;

CREATE OR REPLACE FUNCTION sluice.document_key("line" VARCHAR)
RETURNS VARCHAR
LANGUAGE JAVASCRIPT
RETURNS NULL ON NULL INPUT
IMMUTABLE
AS $$
  function space(s, i) { while (i < s.length && ' \t\r\n'.indexOf(s[i]) >= 0) i++; return i; }
  function end(s, i) {
    var c = s[i], depth = 0;
    if (c === '"') {
      for (i++; i < s.length && s[i] !== '"'; i++) if (s[i] === '\\') i++;
      return i + 1;
    }
    if (c === '{' || c === '[') {
      for (; i < s.length; i++) {
        c = s[i];
        if (c === '"') i = end(s, i) - 1;
        else if (c === '{' || c === '[') depth++;
        else if ((c === '}' || c === ']') && --depth === 0) return i + 1;
      }
      return i;
    }
    while (i < s.length && ',]} \t\r\n'.indexOf(s[i]) < 0) i++;
    return i;
  }
  function unquoted(s) { return s.indexOf('\\') < 0 ? s.slice(1, -1) : JSON.parse(s); }
  function inside(s, i, part) {
    var array = s[i] === '[', n = 0, k, e;
    if (!array && s[i] !== '{') return -1;
    for (i = space(s, i + 1); i < s.length && s[i] !== '}' && s[i] !== ']'; n++) {
      k = array ? String(n) : null;
      if (!array) {
        e = end(s, i);
        k = unquoted(s.slice(i, e));
        i = space(s, space(s, e) + 1);
      }
      if (k === part) return i;
      i = space(s, end(s, i));
      if (s[i] === ',') i = space(s, i + 1);
    }
    return -1;
  }
  function find(s, parts) {
    var i = space(s, 0);
    for (var p = 0; p < parts.length; p++) {
      i = inside(s, i, parts[p]);
      if (i < 0) return null;
    }
    return s.slice(i, end(s, i));
  }
  function at(s, pointer) {
    return find(s, pointer === '' ? [] : pointer.slice(1).split('/').map(function (part) {
      return part.replace(/~1/g, '/').replace(/~0/g, '~');
    }));
  }
  function plain(v) {
    if (v === null || v === 'null') return null;
    return v[0] === '"' ? JSON.parse(v) : v;
  }
  return find(line, ['documentKey', '_id']);
$$;

CREATE OR REPLACE FUNCTION sluice.value_at("doc" VARCHAR, "pointer" VARCHAR)
RETURNS VARCHAR
LANGUAGE JAVASCRIPT
RETURNS NULL ON NULL INPUT
IMMUTABLE
AS $$
  function space(s, i) { while (i < s.length && ' \t\r\n'.indexOf(s[i]) >= 0) i++; return i; }
  function end(s, i) {
    var c = s[i], depth = 0;
    if (c === '"') {
      for (i++; i < s.length && s[i] !== '"'; i++) if (s[i] === '\\') i++;
      return i + 1;
    }
    if (c === '{' || c === '[') {
      for (; i < s.length; i++) {
        c = s[i];
        if (c === '"') i = end(s, i) - 1;
        else if (c === '{' || c === '[') depth++;
        else if ((c === '}' || c === ']') && --depth === 0) return i + 1;
      }
      return i;
    }
    while (i < s.length && ',]} \t\r\n'.indexOf(s[i]) < 0) i++;
    return i;
  }
  function unquoted(s) { return s.indexOf('\\') < 0 ? s.slice(1, -1) : JSON.parse(s); }
  function inside(s, i, part) {
    var array = s[i] === '[', n = 0, k, e;
    if (!array && s[i] !== '{') return -1;
    for (i = space(s, i + 1); i < s.length && s[i] !== '}' && s[i] !== ']'; n++) {
      k = array ? String(n) : null;
      if (!array) {
        e = end(s, i);
        k = unquoted(s.slice(i, e));
        i = space(s, space(s, e) + 1);
      }
      if (k === part) return i;
      i = space(s, end(s, i));
      if (s[i] === ',') i = space(s, i + 1);
    }
    return -1;
  }
  function find(s, parts) {
    var i = space(s, 0);
    for (var p = 0; p < parts.length; p++) {
      i = inside(s, i, parts[p]);
      if (i < 0) return null;
    }
    return s.slice(i, end(s, i));
  }
  function at(s, pointer) {
    return find(s, pointer === '' ? [] : pointer.slice(1).split('/').map(function (part) {
      return part.replace(/~1/g, '/').replace(/~0/g, '~');
    }));
  }
  function plain(v) {
    if (v === null || v === 'null') return null;
    return v[0] === '"' ? JSON.parse(v) : v;
  }
  return at(doc, pointer);
$$;

CREATE OR REPLACE FUNCTION sluice.text_at("doc" VARCHAR, "pointer" VARCHAR)
RETURNS VARCHAR
LANGUAGE JAVASCRIPT
RETURNS NULL ON NULL INPUT
IMMUTABLE
AS $$
  function space(s, i) { while (i < s.length && ' \t\r\n'.indexOf(s[i]) >= 0) i++; return i; }
  function end(s, i) {
    var c = s[i], depth = 0;
    if (c === '"') {
      for (i++; i < s.length && s[i] !== '"'; i++) if (s[i] === '\\') i++;
      return i + 1;
    }
    if (c === '{' || c === '[') {
      for (; i < s.length; i++) {
        c = s[i];
        if (c === '"') i = end(s, i) - 1;
        else if (c === '{' || c === '[') depth++;
        else if ((c === '}' || c === ']') && --depth === 0) return i + 1;
      }
      return i;
    }
    while (i < s.length && ',]} \t\r\n'.indexOf(s[i]) < 0) i++;
    return i;
  }
  function unquoted(s) { return s.indexOf('\\') < 0 ? s.slice(1, -1) : JSON.parse(s); }
  function inside(s, i, part) {
    var array = s[i] === '[', n = 0, k, e;
    if (!array && s[i] !== '{') return -1;
    for (i = space(s, i + 1); i < s.length && s[i] !== '}' && s[i] !== ']'; n++) {
      k = array ? String(n) : null;
      if (!array) {
        e = end(s, i);
        k = unquoted(s.slice(i, e));
        i = space(s, space(s, e) + 1);
      }
      if (k === part) return i;
      i = space(s, end(s, i));
      if (s[i] === ',') i = space(s, i + 1);
    }
    return -1;
  }
  function find(s, parts) {
    var i = space(s, 0);
    for (var p = 0; p < parts.length; p++) {
      i = inside(s, i, parts[p]);
      if (i < 0) return null;
    }
    return s.slice(i, end(s, i));
  }
  function at(s, pointer) {
    return find(s, pointer === '' ? [] : pointer.slice(1).split('/').map(function (part) {
      return part.replace(/~1/g, '/').replace(/~0/g, '~');
    }));
  }
  function plain(v) {
    if (v === null || v === 'null') return null;
    return v[0] === '"' ? JSON.parse(v) : v;
  }
  return plain(at(doc, pointer));
$$;

CREATE OR REPLACE FUNCTION sluice.type_at("doc" VARCHAR, "pointer" VARCHAR)
RETURNS VARCHAR
LANGUAGE JAVASCRIPT
RETURNS NULL ON NULL INPUT
IMMUTABLE
AS $$
  function space(s, i) { while (i < s.length && ' \t\r\n'.indexOf(s[i]) >= 0) i++; return i; }
  function end(s, i) {
    var c = s[i], depth = 0;
    if (c === '"') {
      for (i++; i < s.length && s[i] !== '"'; i++) if (s[i] === '\\') i++;
      return i + 1;
    }
    if (c === '{' || c === '[') {
      for (; i < s.length; i++) {
        c = s[i];
        if (c === '"') i = end(s, i) - 1;
        else if (c === '{' || c === '[') depth++;
        else if ((c === '}' || c === ']') && --depth === 0) return i + 1;
      }
      return i;
    }
    while (i < s.length && ',]} \t\r\n'.indexOf(s[i]) < 0) i++;
    return i;
  }
  function unquoted(s) { return s.indexOf('\\') < 0 ? s.slice(1, -1) : JSON.parse(s); }
  function inside(s, i, part) {
    var array = s[i] === '[', n = 0, k, e;
    if (!array && s[i] !== '{') return -1;
    for (i = space(s, i + 1); i < s.length && s[i] !== '}' && s[i] !== ']'; n++) {
      k = array ? String(n) : null;
      if (!array) {
        e = end(s, i);
        k = unquoted(s.slice(i, e));
        i = space(s, space(s, e) + 1);
      }
      if (k === part) return i;
      i = space(s, end(s, i));
      if (s[i] === ',') i = space(s, i + 1);
    }
    return -1;
  }
  function find(s, parts) {
    var i = space(s, 0);
    for (var p = 0; p < parts.length; p++) {
      i = inside(s, i, parts[p]);
      if (i < 0) return null;
    }
    return s.slice(i, end(s, i));
  }
  function at(s, pointer) {
    return find(s, pointer === '' ? [] : pointer.slice(1).split('/').map(function (part) {
      return part.replace(/~1/g, '/').replace(/~0/g, '~');
    }));
  }
  function plain(v) {
    if (v === null || v === 'null') return null;
    return v[0] === '"' ? JSON.parse(v) : v;
  }
  var v = at(doc, pointer);
    if (v === null) return null;
    switch (v[0]) {
      case '{': return 'OBJECT';
      case '[': return 'ARRAY';
      case '"': return 'VARCHAR';
      case 't': case 'f': return 'BOOLEAN';
      case 'n': return 'NULL';
      default: return /[.eE]/.test(v) ? 'DOUBLE' : 'BIGINT';
    }
$$;

CREATE OR REPLACE FUNCTION sluice.scalar("value" VARCHAR)
RETURNS VARCHAR
LANGUAGE JAVASCRIPT
RETURNS NULL ON NULL INPUT
IMMUTABLE
AS $$
  function space(s, i) { while (i < s.length && ' \t\r\n'.indexOf(s[i]) >= 0) i++; return i; }
  function end(s, i) {
    var c = s[i], depth = 0;
    if (c === '"') {
      for (i++; i < s.length && s[i] !== '"'; i++) if (s[i] === '\\') i++;
      return i + 1;
    }
    if (c === '{' || c === '[') {
      for (; i < s.length; i++) {
        c = s[i];
        if (c === '"') i = end(s, i) - 1;
        else if (c === '{' || c === '[') depth++;
        else if ((c === '}' || c === ']') && --depth === 0) return i + 1;
      }
      return i;
    }
    while (i < s.length && ',]} \t\r\n'.indexOf(s[i]) < 0) i++;
    return i;
  }
  function unquoted(s) { return s.indexOf('\\') < 0 ? s.slice(1, -1) : JSON.parse(s); }
  function inside(s, i, part) {
    var array = s[i] === '[', n = 0, k, e;
    if (!array && s[i] !== '{') return -1;
    for (i = space(s, i + 1); i < s.length && s[i] !== '}' && s[i] !== ']'; n++) {
      k = array ? String(n) : null;
      if (!array) {
        e = end(s, i);
        k = unquoted(s.slice(i, e));
        i = space(s, space(s, e) + 1);
      }
      if (k === part) return i;
      i = space(s, end(s, i));
      if (s[i] === ',') i = space(s, i + 1);
    }
    return -1;
  }
  function find(s, parts) {
    var i = space(s, 0);
    for (var p = 0; p < parts.length; p++) {
      i = inside(s, i, parts[p]);
      if (i < 0) return null;
    }
    return s.slice(i, end(s, i));
  }
  function at(s, pointer) {
    return find(s, pointer === '' ? [] : pointer.slice(1).split('/').map(function (part) {
      return part.replace(/~1/g, '/').replace(/~0/g, '~');
    }));
  }
  function plain(v) {
    if (v === null || v === 'null') return null;
    return v[0] === '"' ? JSON.parse(v) : v;
  }
  if (value[0] !== '{') return plain(value);
    var wrappers = ['$numberDecimal', '$numberLong', '$numberInt', '$numberDouble', '$oid', '$symbol'];
    for (var i = 0; i < wrappers.length; i++) {
      var inner = plain(find(value, [wrappers[i]]));
      if (inner !== null) return inner;
    }
    var date = find(value, ['$date']);
    if (date === null) return value;
    if (date[0] !== '{') return plain(date);
    var ms = plain(find(date, ['$numberLong']));
    var moment = new Date(ms === null ? NaN : Number(ms));
    if (isNaN(moment.getTime())) return null;
    return /^\d{4}-/.test(moment.toISOString()) ? moment.toISOString() : null;
$$;

CREATE OR REPLACE FUNCTION sluice.uuid_text("value" VARCHAR)
RETURNS VARCHAR
LANGUAGE JAVASCRIPT
RETURNS NULL ON NULL INPUT
IMMUTABLE
AS $$
  function space(s, i) { while (i < s.length && ' \t\r\n'.indexOf(s[i]) >= 0) i++; return i; }
  function end(s, i) {
    var c = s[i], depth = 0;
    if (c === '"') {
      for (i++; i < s.length && s[i] !== '"'; i++) if (s[i] === '\\') i++;
      return i + 1;
    }
    if (c === '{' || c === '[') {
      for (; i < s.length; i++) {
        c = s[i];
        if (c === '"') i = end(s, i) - 1;
        else if (c === '{' || c === '[') depth++;
        else if ((c === '}' || c === ']') && --depth === 0) return i + 1;
      }
      return i;
    }
    while (i < s.length && ',]} \t\r\n'.indexOf(s[i]) < 0) i++;
    return i;
  }
  function unquoted(s) { return s.indexOf('\\') < 0 ? s.slice(1, -1) : JSON.parse(s); }
  function inside(s, i, part) {
    var array = s[i] === '[', n = 0, k, e;
    if (!array && s[i] !== '{') return -1;
    for (i = space(s, i + 1); i < s.length && s[i] !== '}' && s[i] !== ']'; n++) {
      k = array ? String(n) : null;
      if (!array) {
        e = end(s, i);
        k = unquoted(s.slice(i, e));
        i = space(s, space(s, e) + 1);
      }
      if (k === part) return i;
      i = space(s, end(s, i));
      if (s[i] === ',') i = space(s, i + 1);
    }
    return -1;
  }
  function find(s, parts) {
    var i = space(s, 0);
    for (var p = 0; p < parts.length; p++) {
      i = inside(s, i, parts[p]);
      if (i < 0) return null;
    }
    return s.slice(i, end(s, i));
  }
  function at(s, pointer) {
    return find(s, pointer === '' ? [] : pointer.slice(1).split('/').map(function (part) {
      return part.replace(/~1/g, '/').replace(/~0/g, '~');
    }));
  }
  function plain(v) {
    if (v === null || v === 'null') return null;
    return v[0] === '"' ? JSON.parse(v) : v;
  }
  if (value[0] !== '{') return plain(value);
    var written = plain(find(value, ['$uuid']));
    if (written !== null) return written;
    var base64 = plain(find(value, ['$binary', 'base64']));
    if (base64 === null) return null;
    var digits = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/', bits = 0, held = 0, hex = '';
    for (var i = 0; i < base64.length && base64[i] !== '='; i++) {
      bits = (bits << 6) | digits.indexOf(base64[i]);
      held += 6;
      if (held >= 8) {
        held -= 8;
        hex += ('0' + ((bits >> held) & 255).toString(16)).slice(-2);
        bits &= (1 << held) - 1;
      }
    }
    return hex.toUpperCase();
$$;

CREATE OR REPLACE FUNCTION sluice.uuid("written" VARCHAR)
RETURNS VARCHAR
LANGUAGE JAVASCRIPT
RETURNS NULL ON NULL INPUT
IMMUTABLE
AS $$
  var hex = written.replace(/[-{}]/g, '').toLowerCase();
    if (!/^[0-9a-f]{32}$/.test(hex)) return null;
    return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-');
$$;

CREATE OR REPLACE FUNCTION sluice.elements("doc" VARCHAR, "pointer" VARCHAR)
RETURNS VARCHAR
LANGUAGE JAVASCRIPT
RETURNS NULL ON NULL INPUT
IMMUTABLE
AS $$
  function space(s, i) { while (i < s.length && ' \t\r\n'.indexOf(s[i]) >= 0) i++; return i; }
  function end(s, i) {
    var c = s[i], depth = 0;
    if (c === '"') {
      for (i++; i < s.length && s[i] !== '"'; i++) if (s[i] === '\\') i++;
      return i + 1;
    }
    if (c === '{' || c === '[') {
      for (; i < s.length; i++) {
        c = s[i];
        if (c === '"') i = end(s, i) - 1;
        else if (c === '{' || c === '[') depth++;
        else if ((c === '}' || c === ']') && --depth === 0) return i + 1;
      }
      return i;
    }
    while (i < s.length && ',]} \t\r\n'.indexOf(s[i]) < 0) i++;
    return i;
  }
  function unquoted(s) { return s.indexOf('\\') < 0 ? s.slice(1, -1) : JSON.parse(s); }
  function inside(s, i, part) {
    var array = s[i] === '[', n = 0, k, e;
    if (!array && s[i] !== '{') return -1;
    for (i = space(s, i + 1); i < s.length && s[i] !== '}' && s[i] !== ']'; n++) {
      k = array ? String(n) : null;
      if (!array) {
        e = end(s, i);
        k = unquoted(s.slice(i, e));
        i = space(s, space(s, e) + 1);
      }
      if (k === part) return i;
      i = space(s, end(s, i));
      if (s[i] === ',') i = space(s, i + 1);
    }
    return -1;
  }
  function find(s, parts) {
    var i = space(s, 0);
    for (var p = 0; p < parts.length; p++) {
      i = inside(s, i, parts[p]);
      if (i < 0) return null;
    }
    return s.slice(i, end(s, i));
  }
  function at(s, pointer) {
    return find(s, pointer === '' ? [] : pointer.slice(1).split('/').map(function (part) {
      return part.replace(/~1/g, '/').replace(/~0/g, '~');
    }));
  }
  function plain(v) {
    if (v === null || v === 'null') return null;
    return v[0] === '"' ? JSON.parse(v) : v;
  }
  var v = at(doc, pointer), list = [], e;
    if (v === null || v[0] !== '[') return null;
    for (var i = space(v, 1); i < v.length && v[i] !== ']';) {
      e = end(v, i);
      list.push(v.slice(i, e));
      i = space(v, e);
      if (v[i] === ',') i = space(v, i + 1);
    }
    return JSON.stringify(list);
$$;

CREATE OR REPLACE FUNCTION sluice.structure("value" VARCHAR)
RETURNS VARCHAR
LANGUAGE JAVASCRIPT
RETURNS NULL ON NULL INPUT
IMMUTABLE
AS $$
  function space(s, i) { while (i < s.length && ' \t\r\n'.indexOf(s[i]) >= 0) i++; return i; }
  function end(s, i) {
    var c = s[i], depth = 0;
    if (c === '"') {
      for (i++; i < s.length && s[i] !== '"'; i++) if (s[i] === '\\') i++;
      return i + 1;
    }
    if (c === '{' || c === '[') {
      for (; i < s.length; i++) {
        c = s[i];
        if (c === '"') i = end(s, i) - 1;
        else if (c === '{' || c === '[') depth++;
        else if ((c === '}' || c === ']') && --depth === 0) return i + 1;
      }
      return i;
    }
    while (i < s.length && ',]} \t\r\n'.indexOf(s[i]) < 0) i++;
    return i;
  }
  function unquoted(s) { return s.indexOf('\\') < 0 ? s.slice(1, -1) : JSON.parse(s); }
  function inside(s, i, part) {
    var array = s[i] === '[', n = 0, k, e;
    if (!array && s[i] !== '{') return -1;
    for (i = space(s, i + 1); i < s.length && s[i] !== '}' && s[i] !== ']'; n++) {
      k = array ? String(n) : null;
      if (!array) {
        e = end(s, i);
        k = unquoted(s.slice(i, e));
        i = space(s, space(s, e) + 1);
      }
      if (k === part) return i;
      i = space(s, end(s, i));
      if (s[i] === ',') i = space(s, i + 1);
    }
    return -1;
  }
  function find(s, parts) {
    var i = space(s, 0);
    for (var p = 0; p < parts.length; p++) {
      i = inside(s, i, parts[p]);
      if (i < 0) return null;
    }
    return s.slice(i, end(s, i));
  }
  function at(s, pointer) {
    return find(s, pointer === '' ? [] : pointer.slice(1).split('/').map(function (part) {
      return part.replace(/~1/g, '/').replace(/~0/g, '~');
    }));
  }
  function plain(v) {
    if (v === null || v === 'null') return null;
    return v[0] === '"' ? JSON.parse(v) : v;
  }
  function number(t) {
      if (/[.eE]/.test(t)) return 'DOUBLE';
      var n = t.replace('-', '');
      return n.length < 19 || (n.length === 19 && n <= (t[0] === '-' ? '9223372036854775808' : '9223372036854775807')) ? 'BIGINT' : 'DOUBLE';
    }
    function merged(a, b) {
      if (a === 'NULL') return b;
      if (b === 'NULL' || a === b) return a;
      if (typeof a === 'string' || typeof b === 'string') {
        return (a === 'DOUBLE' && b === 'BIGINT') || (a === 'BIGINT' && b === 'DOUBLE') ? 'DOUBLE' : 'JSON';
      }
      if ((a.element === undefined) !== (b.element === undefined)) return 'JSON';
      if (a.element !== undefined) return { element: merged(a.element, b.element) };
      for (var name in b.members) put(a, name, b.members[name]);
      return a;
    }
    function put(object, name, shape) {
      var known = object.members[name];
      object.members[name] = known === undefined ? shape : merged(known, shape);
    }
    function shapeOf(s) {
      var i, e, k, out;
      switch (s[0]) {
        case '"': return 'VARCHAR';
        case 't': case 'f': return 'BOOLEAN';
        case 'n': return 'NULL';
        case '[':
          out = { element: 'NULL' };
          for (i = space(s, 1); i < s.length && s[i] !== ']'; i = s[e] === ',' ? space(s, e + 1) : e) {
            e = end(s, i);
            out.element = merged(out.element, shapeOf(s.slice(i, e)));
            e = space(s, e);
          }
          return out;
        case '{':
          out = { members: Object.create(null) };
          for (i = space(s, 1); i < s.length && s[i] !== '}'; i = s[e] === ',' ? space(s, e + 1) : e) {
            e = end(s, i);
            k = unquoted(s.slice(i, e));
            i = space(s, space(s, e) + 1);
            e = end(s, i);
            put(out, k, shapeOf(s.slice(i, e)));
            e = space(s, e);
          }
          return out;
        default: return number(s);
      }
    }
    function written(shape) {
      if (typeof shape === 'string') return '"' + shape + '"';
      if (shape.element !== undefined) return '[' + written(shape.element) + ']';
      var names = Object.keys(shape.members);
      if (names.length === 0) return '"JSON"';
      return '{' + names.map(function (name) { return JSON.stringify(name) + ':' + written(shape.members[name]); }).join(',') + '}';
    }
    return written(shapeOf(find(value, [])));
$$;

CREATE OR REPLACE FUNCTION sluice.problem("line" VARCHAR)
RETURNS VARCHAR
LANGUAGE JAVASCRIPT
RETURNS NULL ON NULL INPUT
IMMUTABLE
AS $$
  var meta;
    try { meta = JSON.parse(line)._meta; } catch (e) { return 'is not JSON'; }
    var time = meta && meta.clusterTime && meta.clusterTime.$timestamp;
    if (!meta || typeof meta.position !== 'string') return 'is no event: its position is null';
    if (typeof meta.operationType !== 'string') return 'is no event: its operation is null';
    return time && Number.isInteger(time.t) && Number.isInteger(time.i) ? null : 'is no event: its cluster time is null';
$$;

CREATE OR REPLACE VIEW sluice.pipeline_health AS
WITH loads AS (
  SELECT collection, count(*) AS files, avg(load_ms) AS mean_load_ms
  FROM sluice.load_ledger WHERE state = 'LOADED' GROUP BY collection
), failures AS (
  SELECT collection, count(*) AS files_rejected, max_by(reason, failed_at) AS reason
  FROM sluice.load_errors GROUP BY collection
), lags AS (
  SELECT *, DATEDIFF('second', coalesce(complete_through, first_seen_at), CURRENT_TIMESTAMP) AS lag_seconds
  FROM sluice.collection_registry
)
SELECT
  r.collection,
  CASE
    WHEN r.status IN ('ERROR', 'PAUSED') THEN r.status
    WHEN r.lag_seconds > 7200 THEN 'STALE'
    ELSE 'HEALTHY'
  END AS health,
  r.lag_seconds,
  r."rows",
  r.bytes,
  coalesce(l.files, 0) AS files,
  coalesce(f.files_rejected, 0) AS files_rejected,
  r.last_batch > r.merged_batch AS merge_pending,
  l.mean_load_ms,
  r.last_event_at,
  r.last_load_at,
  r.complete_through,
  coalesce(f.reason, r.reason) AS last_error
FROM lags r
LEFT JOIN loads l ON l.collection = r.collection
LEFT JOIN failures f ON f.collection = r.collection;

UPDATE sluice.control SET schema_version = 5 WHERE schema_version < 5;

-- ==== 05_stage.sql
-- File formats and the stage of the lake.
-- Written by `sluice render snowflake`; every statement may run again.

USE ROLE SLUICE_LOADER;

USE WAREHOUSE SLUICE_WH;

USE DATABASE ANALYTICS;

CREATE FILE FORMAT IF NOT EXISTS sluice.lines TYPE = CSV COMPRESSION = ZSTD RECORD_DELIMITER = '\n' FIELD_DELIMITER = NONE ESCAPE = NONE ESCAPE_UNENCLOSED_FIELD = NONE
  FIELD_OPTIONALLY_ENCLOSED_BY = NONE TRIM_SPACE = FALSE EMPTY_FIELD_AS_NULL = FALSE NULL_IF = () SKIP_BLANK_LINES = FALSE ENCODING = 'UTF8';

CREATE FILE FORMAT IF NOT EXISTS sluice.manifests TYPE = CSV COMPRESSION = NONE RECORD_DELIMITER = '\n' FIELD_DELIMITER = NONE ESCAPE = NONE ESCAPE_UNENCLOSED_FIELD = NONE
  FIELD_OPTIONALLY_ENCLOSED_BY = NONE TRIM_SPACE = FALSE EMPTY_FIELD_AS_NULL = FALSE NULL_IF = () SKIP_BLANK_LINES = FALSE ENCODING = 'UTF8';

CREATE STAGE IF NOT EXISTS sluice.lake URL = 'azure://acme.blob.core.windows.net/lake/prod/' STORAGE_INTEGRATION = SLUICE_LAKE FILE_FORMAT = (FORMAT_NAME = 'sluice.lines');

-- ==== 06_tables.sql
-- Bronze and silver tables, one of each per collection.
-- Written by `sluice render snowflake`; every statement may run again.

USE ROLE SLUICE_LOADER;

USE WAREHOUSE SLUICE_WH;

USE DATABASE ANALYTICS;

MERGE INTO sluice.collection_registry AS r USING (SELECT 'shop.orders' AS collection) AS n ON r.collection = n.collection
WHEN NOT MATCHED THEN INSERT (collection, db, coll, table_name, status, first_seen_at, "rows", bytes, last_batch, merged_batch, baseline_applied)
VALUES (n.collection, 'shop', 'orders', 'shop__orders', 'DISCOVERED', CURRENT_TIMESTAMP, 0, 0, 0, 0, '');

CREATE TABLE IF NOT EXISTS bronze.shop__orders (
  file VARCHAR NOT NULL,
  row_number BIGINT NOT NULL,
  position VARCHAR NOT NULL,
  operation VARCHAR NOT NULL,
  "at" TIMESTAMPTZ NOT NULL,
  cluster_time_t BIGINT NOT NULL,
  cluster_time_i BIGINT NOT NULL,
  key VARCHAR,
  doc VARCHAR(134217728) NOT NULL,
  year SMALLINT NOT NULL,
  month SMALLINT NOT NULL,
  day SMALLINT NOT NULL,
  hour SMALLINT NOT NULL,
  batch BIGINT NOT NULL,
  removed_before BIGINT,
  removed_since TIMESTAMPTZ
);

CREATE TABLE IF NOT EXISTS silver.shop__orders (
  key VARCHAR NOT NULL,
  doc VARCHAR(134217728),
  doc_position VARCHAR,
  operation VARCHAR NOT NULL,
  position VARCHAR NOT NULL,
  "at" TIMESTAMPTZ NOT NULL,
  version_number BIGINT NOT NULL,
  is_current BOOLEAN NOT NULL,
  deleted_at TIMESTAMPTZ,
  first_seen_at TIMESTAMPTZ NOT NULL,
  loaded_at TIMESTAMPTZ NOT NULL
);

ALTER TABLE bronze.shop__orders ADD COLUMN IF NOT EXISTS removed_before BIGINT;

ALTER TABLE bronze.shop__orders ADD COLUMN IF NOT EXISTS removed_since TIMESTAMPTZ;

CREATE OR REPLACE VIEW silver.shop__orders_history AS
WITH ends AS (
  SELECT position, "at" FROM sluice.baselines
  WHERE collection IN ('shop.orders', 'shop') AND cause <> 'snapshot'
), snapshots AS (
  SELECT position, "at" FROM sluice.baselines
  WHERE collection = 'shop.orders' AND cause = 'snapshot' AND files IS NULL
), versions AS (
  SELECT
    r.key, r.doc AS line, r.operation, r.position, r."at", r.removed_before,
    e.position AS end_position, e."at" AS end_at, n."at" AS snapshot_at
  FROM bronze.shop__orders r
    LEFT JOIN ends e ON e.position > r.position
    LEFT JOIN snapshots n ON n.position > r.position
  WHERE r.key IS NOT NULL AND r.operation IN ('insert', 'update', 'replace', 'delete', 'snapshot')
  QUALIFY row_number() OVER (PARTITION BY r.file, r.row_number ORDER BY e.position, n.position) = 1
), followed AS (
  SELECT
    *,
    CAST(sum(1 + coalesce(removed_before, 0)) OVER (PARTITION BY key, end_position ORDER BY position ROWS UNBOUNDED PRECEDING) AS BIGINT) AS version_number,
    coalesce(lead("at") OVER (PARTITION BY key, end_position ORDER BY position), end_at) AS next_at
  FROM versions
), numbered AS (
  SELECT *, CASE WHEN next_at IS NULL OR snapshot_at < next_at THEN snapshot_at ELSE next_at END AS valid_to
  FROM followed
)
SELECT
  key,
  CASE WHEN sluice.type_at(line, '/fullDocument') = 'OBJECT' THEN sluice.member(CAST(line AS VARCHAR), 'fullDocument') END AS doc,
  operation,
  position,
  "at",
  version_number,
  "at" AS valid_from,
  valid_to
FROM numbered
WHERE operation <> 'delete'
  AND coalesce(valid_to > (SELECT g.bronze_from FROM sluice.collection_registry g WHERE g.collection = 'shop.orders'), TRUE);

MERGE INTO sluice.collection_registry AS r USING (SELECT 'shop.a"b.c $é 🐟' AS collection) AS n ON r.collection = n.collection
WHEN NOT MATCHED THEN INSERT (collection, db, coll, table_name, status, first_seen_at, "rows", bytes, last_batch, merged_batch, baseline_applied)
VALUES (n.collection, 'shop', 'a"b.c $é 🐟', 'shop__a"b.c $é 🐟', 'DISCOVERED', CURRENT_TIMESTAMP, 0, 0, 0, 0, '');

CREATE TABLE IF NOT EXISTS bronze."shop__a""b.c $é 🐟" (
  file VARCHAR NOT NULL,
  row_number BIGINT NOT NULL,
  position VARCHAR NOT NULL,
  operation VARCHAR NOT NULL,
  "at" TIMESTAMPTZ NOT NULL,
  cluster_time_t BIGINT NOT NULL,
  cluster_time_i BIGINT NOT NULL,
  key VARCHAR,
  doc VARCHAR(134217728) NOT NULL,
  year SMALLINT NOT NULL,
  month SMALLINT NOT NULL,
  day SMALLINT NOT NULL,
  hour SMALLINT NOT NULL,
  batch BIGINT NOT NULL,
  removed_before BIGINT,
  removed_since TIMESTAMPTZ
);

CREATE TABLE IF NOT EXISTS silver."shop__a""b.c $é 🐟" (
  key VARCHAR NOT NULL,
  doc VARCHAR(134217728),
  doc_position VARCHAR,
  operation VARCHAR NOT NULL,
  position VARCHAR NOT NULL,
  "at" TIMESTAMPTZ NOT NULL,
  version_number BIGINT NOT NULL,
  is_current BOOLEAN NOT NULL,
  deleted_at TIMESTAMPTZ,
  first_seen_at TIMESTAMPTZ NOT NULL,
  loaded_at TIMESTAMPTZ NOT NULL
);

ALTER TABLE bronze."shop__a""b.c $é 🐟" ADD COLUMN IF NOT EXISTS removed_before BIGINT;

ALTER TABLE bronze."shop__a""b.c $é 🐟" ADD COLUMN IF NOT EXISTS removed_since TIMESTAMPTZ;

CREATE OR REPLACE VIEW silver."shop__a""b.c $é 🐟_history" AS
WITH ends AS (
  SELECT position, "at" FROM sluice.baselines
  WHERE collection IN ('shop.a"b.c $é 🐟', 'shop') AND cause <> 'snapshot'
), snapshots AS (
  SELECT position, "at" FROM sluice.baselines
  WHERE collection = 'shop.a"b.c $é 🐟' AND cause = 'snapshot' AND files IS NULL
), versions AS (
  SELECT
    r.key, r.doc AS line, r.operation, r.position, r."at", r.removed_before,
    e.position AS end_position, e."at" AS end_at, n."at" AS snapshot_at
  FROM bronze."shop__a""b.c $é 🐟" r
    LEFT JOIN ends e ON e.position > r.position
    LEFT JOIN snapshots n ON n.position > r.position
  WHERE r.key IS NOT NULL AND r.operation IN ('insert', 'update', 'replace', 'delete', 'snapshot')
  QUALIFY row_number() OVER (PARTITION BY r.file, r.row_number ORDER BY e.position, n.position) = 1
), followed AS (
  SELECT
    *,
    CAST(sum(1 + coalesce(removed_before, 0)) OVER (PARTITION BY key, end_position ORDER BY position ROWS UNBOUNDED PRECEDING) AS BIGINT) AS version_number,
    coalesce(lead("at") OVER (PARTITION BY key, end_position ORDER BY position), end_at) AS next_at
  FROM versions
), numbered AS (
  SELECT *, CASE WHEN next_at IS NULL OR snapshot_at < next_at THEN snapshot_at ELSE next_at END AS valid_to
  FROM followed
)
SELECT
  key,
  CASE WHEN sluice.type_at(line, '/fullDocument') = 'OBJECT' THEN sluice.member(CAST(line AS VARCHAR), 'fullDocument') END AS doc,
  operation,
  position,
  "at",
  version_number,
  "at" AS valid_from,
  valid_to
FROM numbered
WHERE operation <> 'delete'
  AND coalesce(valid_to > (SELECT g.bronze_from FROM sluice.collection_registry g WHERE g.collection = 'shop.a"b.c $é 🐟'), TRUE);

-- ==== 07_load.sql
-- Bronze, mode pipe.
-- Written by `sluice render snowflake`; every statement may run again.

USE ROLE SLUICE_LOADER;

USE WAREHOUSE SLUICE_WH;

USE DATABASE ANALYTICS;

CREATE TABLE IF NOT EXISTS sluice.shop__orders_lines (
  file VARCHAR NOT NULL,
  number BIGINT NOT NULL,
  line VARCHAR(134217728) NOT NULL,
  arrived_at TIMESTAMP_TZ
);

CREATE STREAM IF NOT EXISTS sluice.shop__orders_arrivals ON TABLE sluice.shop__orders_lines APPEND_ONLY = TRUE;

CREATE PIPE IF NOT EXISTS sluice.shop__orders_pipe AUTO_INGEST = TRUE INTEGRATION = 'SLUICE_EVENTS'
AS
  COPY INTO sluice.shop__orders_lines (file, number, line, arrived_at)
  FROM (SELECT METADATA$FILENAME, METADATA$FILE_ROW_NUMBER, $1, METADATA$START_SCAN_TIME FROM @sluice.lake/shop/orders/)
  PATTERN = '.*/events-[^/]*[.]jsonl([.]gz|[.]zst)?'
  FILE_FORMAT = (FORMAT_NAME = 'sluice.lines');

CREATE TASK IF NOT EXISTS sluice.shop__orders_refresh
  WAREHOUSE = SLUICE_WH
  SCHEDULE = 'USING CRON 7 * * * * UTC'
  ALLOW_OVERLAPPING_EXECUTION = FALSE
  COMMENT = 'sluice: files whose event was lost; Snowpipe knows those that it has'
AS
  ALTER PIPE sluice.shop__orders_pipe REFRESH;

CREATE OR REPLACE PROCEDURE sluice.shop__orders_load_arrivals()
RETURNS VARCHAR
LANGUAGE SQL
EXECUTE AS OWNER
AS
$$
DECLARE
  batch NUMBER;
BEGIN
  CREATE TEMPORARY TABLE IF NOT EXISTS sluice.arrived (path VARCHAR);
  BEGIN TRANSACTION;
  UPDATE sluice.control SET last_batch = last_batch + 1;
  SELECT max(last_batch) INTO :batch FROM sluice.control;
  DELETE FROM sluice.arrived;
  INSERT INTO sluice.arrived SELECT DISTINCT SUBSTR(file, 6) FROM sluice.shop__orders_arrivals;
  INSERT INTO bronze.shop__orders
    (file, row_number, position, operation, "at", cluster_time_t, cluster_time_i, key, doc, year, month, day, hour, batch)
  SELECT
    l.path, l.number, l.position, l.operation, coalesce(TRY_CAST(l.written AS TIMESTAMP_TZ), DATEADD('second', CAST(l.seconds AS BIGINT), CAST('1970-01-01T00:00:00Z' AS TIMESTAMP_TZ))),
    CAST(l.seconds AS BIGINT), CAST(l.ordinal AS BIGINT), l.key, l.line,
    EXTRACT(YEAR FROM DATEADD('second', CAST(l.seconds AS BIGINT), CAST('1970-01-01T00:00:00Z' AS TIMESTAMP_TZ))), EXTRACT(MONTH FROM DATEADD('second', CAST(l.seconds AS BIGINT), CAST('1970-01-01T00:00:00Z' AS TIMESTAMP_TZ))), EXTRACT(DAY FROM DATEADD('second', CAST(l.seconds AS BIGINT), CAST('1970-01-01T00:00:00Z' AS TIMESTAMP_TZ))), EXTRACT(HOUR FROM DATEADD('second', CAST(l.seconds AS BIGINT), CAST('1970-01-01T00:00:00Z' AS TIMESTAMP_TZ))), :batch
  FROM (
    SELECT
      s.path, i.number, i.line, sluice.text_at(i.line, '/_meta/position') AS position, sluice.text_at(i.line, '/_meta/operationType') AS operation, sluice.text_at(i.line, '/_meta/at') AS written,
      sluice.text_at(i.line, '/_meta/clusterTime/$timestamp/t') AS seconds, sluice.text_at(i.line, '/_meta/clusterTime/$timestamp/i') AS ordinal, sluice.document_key(i.line) AS key
    FROM sluice.shop__orders_arrivals i JOIN sluice.arrived s ON i.file = 'prod/' || s.path
  ) l;
  INSERT INTO sluice.baselines (collection, position, cause, "at", file)
  SELECT 'shop.orders', position, operation, "at", file
  FROM bronze.shop__orders WHERE batch = :batch AND operation IN ('drop', 'rename', 'dropDatabase')
  UNION ALL
  SELECT target, position, operation, "at", file
  FROM (
    SELECT *, sluice.text_at(doc, '/to/db') || '.' || sluice.text_at(doc, '/to/coll') AS target
    FROM bronze.shop__orders WHERE batch = :batch AND operation = 'rename'
  )
  WHERE target IS NOT NULL AND target <> 'shop.orders';
  UPDATE sluice.collection_registry SET
    status = IFF(status = 'DISCOVERED', 'ACTIVE', status), last_load_at = CURRENT_TIMESTAMP, last_batch = :batch,
    "rows" = (SELECT count(*) FROM bronze.shop__orders)
    WHERE collection = 'shop.orders';
  COMMIT;
  RETURN 'batch ' || batch;
EXCEPTION
  WHEN OTHER THEN
    ROLLBACK;
    RAISE;
END;
$$;

CREATE TASK IF NOT EXISTS sluice.shop__orders_load
  WAREHOUSE = SLUICE_WH
  SCHEDULE = '5 MINUTE'
  ALLOW_OVERLAPPING_EXECUTION = FALSE
  USER_TASK_TIMEOUT_MS = 3600000
WHEN
  SYSTEM$STREAM_HAS_DATA('sluice.shop__orders_arrivals')
AS
  CALL sluice.shop__orders_load_arrivals();

CREATE TABLE IF NOT EXISTS sluice."shop__a""b.c $é 🐟_lines" (
  file VARCHAR NOT NULL,
  number BIGINT NOT NULL,
  line VARCHAR(134217728) NOT NULL,
  arrived_at TIMESTAMP_TZ
);

CREATE STREAM IF NOT EXISTS sluice."shop__a""b.c $é 🐟_arrivals" ON TABLE sluice."shop__a""b.c $é 🐟_lines" APPEND_ONLY = TRUE;

CREATE PIPE IF NOT EXISTS sluice."shop__a""b.c $é 🐟_pipe" AUTO_INGEST = TRUE INTEGRATION = 'SLUICE_EVENTS'
AS
  COPY INTO sluice."shop__a""b.c $é 🐟_lines" (file, number, line, arrived_at)
  FROM (SELECT METADATA$FILENAME, METADATA$FILE_ROW_NUMBER, $1, METADATA$START_SCAN_TIME FROM '@sluice.lake/shop/a%22b.c%20%24%C3%A9%20%F0%9F%90%9F/')
  PATTERN = '.*/events-[^/]*[.]jsonl([.]gz|[.]zst)?'
  FILE_FORMAT = (FORMAT_NAME = 'sluice.lines');

CREATE TASK IF NOT EXISTS sluice."shop__a""b.c $é 🐟_refresh"
  WAREHOUSE = SLUICE_WH
  SCHEDULE = 'USING CRON 14 * * * * UTC'
  ALLOW_OVERLAPPING_EXECUTION = FALSE
  COMMENT = 'sluice: files whose event was lost; Snowpipe knows those that it has'
AS
  ALTER PIPE sluice."shop__a""b.c $é 🐟_pipe" REFRESH;

CREATE OR REPLACE PROCEDURE sluice."shop__a""b.c $é 🐟_load_arrivals"()
RETURNS VARCHAR
LANGUAGE SQL
EXECUTE AS OWNER
AS
$$
DECLARE
  batch NUMBER;
BEGIN
  CREATE TEMPORARY TABLE IF NOT EXISTS sluice.arrived (path VARCHAR);
  BEGIN TRANSACTION;
  UPDATE sluice.control SET last_batch = last_batch + 1;
  SELECT max(last_batch) INTO :batch FROM sluice.control;
  DELETE FROM sluice.arrived;
  INSERT INTO sluice.arrived SELECT DISTINCT SUBSTR(file, 6) FROM sluice."shop__a""b.c $é 🐟_arrivals";
  INSERT INTO bronze."shop__a""b.c $é 🐟"
    (file, row_number, position, operation, "at", cluster_time_t, cluster_time_i, key, doc, year, month, day, hour, batch)
  SELECT
    l.path, l.number, l.position, l.operation, coalesce(TRY_CAST(l.written AS TIMESTAMP_TZ), DATEADD('second', CAST(l.seconds AS BIGINT), CAST('1970-01-01T00:00:00Z' AS TIMESTAMP_TZ))),
    CAST(l.seconds AS BIGINT), CAST(l.ordinal AS BIGINT), l.key, l.line,
    EXTRACT(YEAR FROM DATEADD('second', CAST(l.seconds AS BIGINT), CAST('1970-01-01T00:00:00Z' AS TIMESTAMP_TZ))), EXTRACT(MONTH FROM DATEADD('second', CAST(l.seconds AS BIGINT), CAST('1970-01-01T00:00:00Z' AS TIMESTAMP_TZ))), EXTRACT(DAY FROM DATEADD('second', CAST(l.seconds AS BIGINT), CAST('1970-01-01T00:00:00Z' AS TIMESTAMP_TZ))), EXTRACT(HOUR FROM DATEADD('second', CAST(l.seconds AS BIGINT), CAST('1970-01-01T00:00:00Z' AS TIMESTAMP_TZ))), :batch
  FROM (
    SELECT
      s.path, i.number, i.line, sluice.text_at(i.line, '/_meta/position') AS position, sluice.text_at(i.line, '/_meta/operationType') AS operation, sluice.text_at(i.line, '/_meta/at') AS written,
      sluice.text_at(i.line, '/_meta/clusterTime/$timestamp/t') AS seconds, sluice.text_at(i.line, '/_meta/clusterTime/$timestamp/i') AS ordinal, sluice.document_key(i.line) AS key
    FROM sluice."shop__a""b.c $é 🐟_arrivals" i JOIN sluice.arrived s ON i.file = 'prod/' || s.path
  ) l;
  INSERT INTO sluice.baselines (collection, position, cause, "at", file)
  SELECT 'shop.a"b.c $é 🐟', position, operation, "at", file
  FROM bronze."shop__a""b.c $é 🐟" WHERE batch = :batch AND operation IN ('drop', 'rename', 'dropDatabase')
  UNION ALL
  SELECT target, position, operation, "at", file
  FROM (
    SELECT *, sluice.text_at(doc, '/to/db') || '.' || sluice.text_at(doc, '/to/coll') AS target
    FROM bronze."shop__a""b.c $é 🐟" WHERE batch = :batch AND operation = 'rename'
  )
  WHERE target IS NOT NULL AND target <> 'shop.a"b.c $é 🐟';
  UPDATE sluice.collection_registry SET
    status = IFF(status = 'DISCOVERED', 'ACTIVE', status), last_load_at = CURRENT_TIMESTAMP, last_batch = :batch,
    "rows" = (SELECT count(*) FROM bronze."shop__a""b.c $é 🐟")
    WHERE collection = 'shop.a"b.c $é 🐟';
  COMMIT;
  RETURN 'batch ' || batch;
EXCEPTION
  WHEN OTHER THEN
    ROLLBACK;
    RAISE;
END;
$$;

CREATE TASK IF NOT EXISTS sluice."shop__a""b.c $é 🐟_load"
  WAREHOUSE = SLUICE_WH
  SCHEDULE = '5 MINUTE'
  ALLOW_OVERLAPPING_EXECUTION = FALSE
  USER_TASK_TIMEOUT_MS = 3600000
WHEN
  SYSTEM$STREAM_HAS_DATA('sluice."shop__a""b.c $é 🐟_arrivals"')
AS
  CALL sluice."shop__a""b.c $é 🐟_load_arrivals"();

-- ==== 08_silver.sql
-- Silver, mode pipe.
-- Written by `sluice render snowflake`; every statement may run again.

USE ROLE SLUICE_LOADER;

USE WAREHOUSE SLUICE_WH;

USE DATABASE ANALYTICS;

CREATE STREAM IF NOT EXISTS sluice.shop__orders_changes ON TABLE bronze.shop__orders APPEND_ONLY = TRUE;

CREATE OR REPLACE PROCEDURE sluice.shop__orders_merge_changes()
RETURNS VARCHAR
LANGUAGE SQL
EXECUTE AS OWNER
AS
$$
DECLARE
  batch NUMBER;
  merged NUMBER;
  baseline VARCHAR;
  applied VARCHAR;
BEGIN
  BEGIN TRANSACTION;
  UPDATE sluice.control SET last_batch = last_batch + 1;
  SELECT last_batch, merged_batch, baseline_applied INTO :batch, :merged, :applied FROM sluice.collection_registry WHERE collection = 'shop.orders';
  SELECT coalesce(max(position), '') INTO :baseline FROM sluice.baselines WHERE collection IN ('shop.orders', 'shop') AND cause <> 'snapshot';
  IF (baseline > applied) THEN
    DELETE FROM silver.shop__orders
    WHERE position <= :baseline;
    UPDATE silver.shop__orders SET version_number = c.versions, first_seen_at = c.first_seen
    FROM (
      SELECT key AS counted, CAST(sum(1 + coalesce(removed_before, 0)) AS BIGINT) AS versions, min(CASE WHEN removed_since < "at" THEN removed_since ELSE "at" END) AS first_seen
      FROM bronze.shop__orders WHERE batch > 0 AND batch <= :merged
        AND key IS NOT NULL AND operation IN ('insert', 'update', 'replace', 'delete', 'snapshot')
        AND position > :baseline
      GROUP BY key
    ) AS c
    WHERE key = c.counted;
    UPDATE silver.shop__orders SET doc = NULL, doc_position = NULL, total = NULL
    WHERE doc_position <= :baseline;
  END IF;
  MERGE INTO silver.shop__orders AS s
  USING (
    WITH states AS (
      SELECT
        key,
        max(position) AS position,
        max_by(operation, position) AS operation,
        max_by("at", position) AS "at",
        CAST(sum(1 + coalesce(removed_before, 0)) AS BIGINT) AS version_number,
        min(CASE WHEN removed_since < "at" THEN removed_since ELSE "at" END) AS first_seen_at,
        max(CASE WHEN sluice.type_at(doc, '/fullDocument') = 'OBJECT' THEN position END) AS doc_position
      FROM sluice.shop__orders_changes WHERE batch > :merged AND batch <= :batch
        AND key IS NOT NULL AND operation IN ('insert', 'update', 'replace', 'delete', 'snapshot')
        AND position > :baseline
      GROUP BY key
    ), documents AS (
      SELECT r.key, any_value(sluice.member(CAST(r.doc AS VARCHAR), 'fullDocument')) AS doc
      FROM sluice.shop__orders_changes r JOIN states s ON r.key = s.key AND r.position = s.doc_position
      WHERE r.batch > :merged AND r.batch <= :batch
        AND r.key IS NOT NULL AND r.operation IN ('insert', 'update', 'replace', 'delete', 'snapshot')
        AND r.position > :baseline
      GROUP BY r.key
    )
    SELECT
      s.*,
      d.doc,
      TRY_CAST(sluice.scalar(sluice.value_at(d.doc, '/total')) AS DECIMAL(18,2)) AS total
    FROM states s LEFT JOIN documents d ON d.key = s.key
  ) AS b ON s.key = b.key
  WHEN MATCHED THEN UPDATE SET
    operation = CASE WHEN b.position > s.position THEN b.operation ELSE s.operation END,
    position = CASE WHEN b.position > s.position THEN b.position ELSE s.position END,
    "at" = CASE WHEN b.position > s.position THEN b."at" ELSE s."at" END,
    is_current = CASE WHEN b.position > s.position THEN b.operation <> 'delete' ELSE s.is_current END,
    deleted_at = CASE WHEN b.position <= s.position THEN s.deleted_at WHEN b.operation = 'delete' THEN b."at" END,
    doc = CASE WHEN b.doc_position > coalesce(s.doc_position, '') THEN b.doc ELSE s.doc END,
    doc_position = CASE WHEN b.doc_position > coalesce(s.doc_position, '') THEN b.doc_position ELSE s.doc_position END,
    total = CASE WHEN b.doc_position > coalesce(s.doc_position, '') THEN b.total ELSE s.total END,
    version_number = s.version_number + b.version_number,
    first_seen_at = least(s.first_seen_at, b.first_seen_at),
    loaded_at = CURRENT_TIMESTAMP
  WHEN NOT MATCHED THEN INSERT
    (key, doc, doc_position, operation, position, "at", version_number, first_seen_at, total, is_current, deleted_at, loaded_at)
  VALUES
    (b.key, b.doc, b.doc_position, b.operation, b.position, b."at", b.version_number, b.first_seen_at, b.total, b.operation <> 'delete', CASE WHEN b.operation = 'delete' THEN b."at" END, CURRENT_TIMESTAMP);
  UPDATE silver.shop__orders SET is_current = FALSE, deleted_at = c.ended
  FROM (
    SELECT key AS vanished, ended FROM (SELECT v.key, min(e."at") AS ended
    FROM silver.shop__orders v JOIN (SELECT position, "at", coalesce(batch, 0) AS batch FROM sluice.baselines
    WHERE collection = 'shop.orders' AND cause = 'snapshot' AND files IS NULL AND coalesce(batch, 0) <= :batch) e ON e.position > v.position
    WHERE v.operation <> 'delete' GROUP BY v.key) w
  ) AS c
  WHERE key = c.vanished AND deleted_at IS DISTINCT FROM c.ended;
  UPDATE sluice.collection_registry SET merged_batch = :batch, baseline_applied = :baseline WHERE collection = 'shop.orders';
  COMMIT;
  RETURN 'merged up to batch ' || batch;
EXCEPTION
  WHEN OTHER THEN
    ROLLBACK;
    RAISE;
END;
$$;

CREATE TASK IF NOT EXISTS sluice.shop__orders_merge
  WAREHOUSE = SLUICE_WH
  ALLOW_OVERLAPPING_EXECUTION = FALSE
  USER_TASK_TIMEOUT_MS = 3600000
  COMMENT = 'sluice: bronze into silver'
  AFTER sluice.shop__orders_load
WHEN
  SYSTEM$STREAM_HAS_DATA('sluice.shop__orders_changes')
AS
  CALL sluice.shop__orders_merge_changes();

CREATE STREAM IF NOT EXISTS sluice."shop__a""b.c $é 🐟_changes" ON TABLE bronze."shop__a""b.c $é 🐟" APPEND_ONLY = TRUE;

CREATE OR REPLACE PROCEDURE sluice."shop__a""b.c $é 🐟_merge_changes"()
RETURNS VARCHAR
LANGUAGE SQL
EXECUTE AS OWNER
AS
$$
DECLARE
  batch NUMBER;
  merged NUMBER;
  baseline VARCHAR;
  applied VARCHAR;
BEGIN
  BEGIN TRANSACTION;
  UPDATE sluice.control SET last_batch = last_batch + 1;
  SELECT last_batch, merged_batch, baseline_applied INTO :batch, :merged, :applied FROM sluice.collection_registry WHERE collection = 'shop.a"b.c $é 🐟';
  SELECT coalesce(max(position), '') INTO :baseline FROM sluice.baselines WHERE collection IN ('shop.a"b.c $é 🐟', 'shop') AND cause <> 'snapshot';
  IF (baseline > applied) THEN
    DELETE FROM silver."shop__a""b.c $é 🐟"
    WHERE position <= :baseline;
    UPDATE silver."shop__a""b.c $é 🐟" SET version_number = c.versions, first_seen_at = c.first_seen
    FROM (
      SELECT key AS counted, CAST(sum(1 + coalesce(removed_before, 0)) AS BIGINT) AS versions, min(CASE WHEN removed_since < "at" THEN removed_since ELSE "at" END) AS first_seen
      FROM bronze."shop__a""b.c $é 🐟" WHERE batch > 0 AND batch <= :merged
        AND key IS NOT NULL AND operation IN ('insert', 'update', 'replace', 'delete', 'snapshot')
        AND position > :baseline
      GROUP BY key
    ) AS c
    WHERE key = c.counted;
    UPDATE silver."shop__a""b.c $é 🐟" SET doc = NULL, doc_position = NULL
    WHERE doc_position <= :baseline;
  END IF;
  MERGE INTO silver."shop__a""b.c $é 🐟" AS s
  USING (
    WITH states AS (
      SELECT
        key,
        max(position) AS position,
        max_by(operation, position) AS operation,
        max_by("at", position) AS "at",
        CAST(sum(1 + coalesce(removed_before, 0)) AS BIGINT) AS version_number,
        min(CASE WHEN removed_since < "at" THEN removed_since ELSE "at" END) AS first_seen_at,
        max(CASE WHEN sluice.type_at(doc, '/fullDocument') = 'OBJECT' THEN position END) AS doc_position
      FROM sluice."shop__a""b.c $é 🐟_changes" WHERE batch > :merged AND batch <= :batch
        AND key IS NOT NULL AND operation IN ('insert', 'update', 'replace', 'delete', 'snapshot')
        AND position > :baseline
      GROUP BY key
    ), documents AS (
      SELECT r.key, any_value(sluice.member(CAST(r.doc AS VARCHAR), 'fullDocument')) AS doc
      FROM sluice."shop__a""b.c $é 🐟_changes" r JOIN states s ON r.key = s.key AND r.position = s.doc_position
      WHERE r.batch > :merged AND r.batch <= :batch
        AND r.key IS NOT NULL AND r.operation IN ('insert', 'update', 'replace', 'delete', 'snapshot')
        AND r.position > :baseline
      GROUP BY r.key
    )
    SELECT
      s.*,
      d.doc
    FROM states s LEFT JOIN documents d ON d.key = s.key
  ) AS b ON s.key = b.key
  WHEN MATCHED THEN UPDATE SET
    operation = CASE WHEN b.position > s.position THEN b.operation ELSE s.operation END,
    position = CASE WHEN b.position > s.position THEN b.position ELSE s.position END,
    "at" = CASE WHEN b.position > s.position THEN b."at" ELSE s."at" END,
    is_current = CASE WHEN b.position > s.position THEN b.operation <> 'delete' ELSE s.is_current END,
    deleted_at = CASE WHEN b.position <= s.position THEN s.deleted_at WHEN b.operation = 'delete' THEN b."at" END,
    doc = CASE WHEN b.doc_position > coalesce(s.doc_position, '') THEN b.doc ELSE s.doc END,
    doc_position = CASE WHEN b.doc_position > coalesce(s.doc_position, '') THEN b.doc_position ELSE s.doc_position END,
    version_number = s.version_number + b.version_number,
    first_seen_at = least(s.first_seen_at, b.first_seen_at),
    loaded_at = CURRENT_TIMESTAMP
  WHEN NOT MATCHED THEN INSERT
    (key, doc, doc_position, operation, position, "at", version_number, first_seen_at, is_current, deleted_at, loaded_at)
  VALUES
    (b.key, b.doc, b.doc_position, b.operation, b.position, b."at", b.version_number, b.first_seen_at, b.operation <> 'delete', CASE WHEN b.operation = 'delete' THEN b."at" END, CURRENT_TIMESTAMP);
  UPDATE silver."shop__a""b.c $é 🐟" SET is_current = FALSE, deleted_at = c.ended
  FROM (
    SELECT key AS vanished, ended FROM (SELECT v.key, min(e."at") AS ended
    FROM silver."shop__a""b.c $é 🐟" v JOIN (SELECT position, "at", coalesce(batch, 0) AS batch FROM sluice.baselines
    WHERE collection = 'shop.a"b.c $é 🐟' AND cause = 'snapshot' AND files IS NULL AND coalesce(batch, 0) <= :batch) e ON e.position > v.position
    WHERE v.operation <> 'delete' GROUP BY v.key) w
  ) AS c
  WHERE key = c.vanished AND deleted_at IS DISTINCT FROM c.ended;
  UPDATE sluice.collection_registry SET merged_batch = :batch, baseline_applied = :baseline WHERE collection = 'shop.a"b.c $é 🐟';
  COMMIT;
  RETURN 'merged up to batch ' || batch;
EXCEPTION
  WHEN OTHER THEN
    ROLLBACK;
    RAISE;
END;
$$;

CREATE TASK IF NOT EXISTS sluice."shop__a""b.c $é 🐟_merge"
  WAREHOUSE = SLUICE_WH
  ALLOW_OVERLAPPING_EXECUTION = FALSE
  USER_TASK_TIMEOUT_MS = 3600000
  COMMENT = 'sluice: bronze into silver'
  AFTER sluice."shop__a""b.c $é 🐟_load"
WHEN
  SYSTEM$STREAM_HAS_DATA('sluice."shop__a""b.c $é 🐟_changes"')
AS
  CALL sluice."shop__a""b.c $é 🐟_merge_changes"();

-- ==== 09_alerts.sql
-- Alerts on pipeline_health.
-- Written by `sluice render snowflake`; every statement may run again.

USE ROLE SLUICE_LOADER;

USE WAREHOUSE SLUICE_WH;

USE DATABASE ANALYTICS;

CREATE TABLE IF NOT EXISTS sluice.alert_log (
  raised_at TIMESTAMP_TZ NOT NULL,
  collection VARCHAR NOT NULL,
  health VARCHAR NOT NULL,
  last_error VARCHAR
);

CREATE ALERT IF NOT EXISTS sluice.unhealthy
  WAREHOUSE = SLUICE_WH
  SCHEDULE = '15 MINUTE'
  IF (EXISTS (SELECT collection, health, last_error FROM sluice.pipeline_health WHERE health IN ('STALE', 'ERROR')))
  THEN CALL SYSTEM$SEND_EMAIL('SLUICE_MAIL', 'oncall@example.com', 'sluice shop: a collection is not healthy', 'See sluice.pipeline_health.');

-- ==== 10_grants.sql
-- What readers may see.
-- Written by `sluice render snowflake`; every statement may run again.

USE ROLE SLUICE_LOADER;

USE WAREHOUSE SLUICE_WH;

USE DATABASE ANALYTICS;

GRANT USAGE ON SCHEMA sluice TO ROLE SLUICE_READER;

GRANT USAGE ON SCHEMA silver TO ROLE SLUICE_READER;

GRANT USAGE ON SCHEMA gold TO ROLE SLUICE_READER;

GRANT SELECT ON VIEW sluice.pipeline_health TO ROLE SLUICE_READER;

GRANT USAGE ON ALL FUNCTIONS IN SCHEMA sluice TO ROLE SLUICE_READER;

GRANT SELECT ON ALL TABLES IN SCHEMA silver TO ROLE SLUICE_READER;

GRANT SELECT ON FUTURE TABLES IN SCHEMA silver TO ROLE SLUICE_READER;

GRANT SELECT ON ALL VIEWS IN SCHEMA silver TO ROLE SLUICE_READER;

GRANT SELECT ON FUTURE VIEWS IN SCHEMA silver TO ROLE SLUICE_READER;

GRANT SELECT ON ALL VIEWS IN SCHEMA gold TO ROLE SLUICE_READER;

GRANT SELECT ON FUTURE VIEWS IN SCHEMA gold TO ROLE SLUICE_READER;

-- ==== 11_start.sql
-- Starts tasks and alerts: run it last.
-- Written by `sluice render snowflake`; every statement may run again.

USE ROLE SLUICE_LOADER;

USE WAREHOUSE SLUICE_WH;

USE DATABASE ANALYTICS;

ALTER TASK IF EXISTS sluice.shop__orders_merge RESUME;

ALTER TASK IF EXISTS sluice.shop__orders_load RESUME;

ALTER TASK IF EXISTS sluice.shop__orders_refresh RESUME;

ALTER TASK IF EXISTS sluice."shop__a""b.c $é 🐟_merge" RESUME;

ALTER TASK IF EXISTS sluice."shop__a""b.c $é 🐟_load" RESUME;

ALTER TASK IF EXISTS sluice."shop__a""b.c $é 🐟_refresh" RESUME;

ALTER ALERT IF EXISTS sluice.unhealthy RESUME;

-- ==== 99_destroy.sql
-- Drops what the other files made. Tables with data, schemas and the database stay.
-- Written by `sluice render snowflake`; every statement may run again.

USE ROLE SLUICE_LOADER;

USE WAREHOUSE SLUICE_WH;

USE DATABASE ANALYTICS;

DROP ALERT IF EXISTS sluice.unhealthy;

DROP TASK IF EXISTS sluice.shop__orders_refresh;

DROP TASK IF EXISTS sluice.shop__orders_load;

DROP TASK IF EXISTS sluice.shop__orders_merge;

DROP TASK IF EXISTS sluice."shop__a""b.c $é 🐟_refresh";

DROP TASK IF EXISTS sluice."shop__a""b.c $é 🐟_load";

DROP TASK IF EXISTS sluice."shop__a""b.c $é 🐟_merge";

DROP PIPE IF EXISTS sluice.shop__orders_pipe;

DROP PIPE IF EXISTS sluice."shop__a""b.c $é 🐟_pipe";

DROP STREAM IF EXISTS sluice.shop__orders_arrivals;

DROP STREAM IF EXISTS sluice."shop__a""b.c $é 🐟_arrivals";

DROP PROCEDURE IF EXISTS sluice.shop__orders_load_arrivals();

DROP PROCEDURE IF EXISTS sluice."shop__a""b.c $é 🐟_load_arrivals"();

DROP STREAM IF EXISTS sluice.shop__orders_changes;

DROP STREAM IF EXISTS sluice."shop__a""b.c $é 🐟_changes";

DROP PROCEDURE IF EXISTS sluice.shop__orders_merge_changes();

DROP PROCEDURE IF EXISTS sluice."shop__a""b.c $é 🐟_merge_changes"();

DROP STAGE IF EXISTS sluice.lake;

DROP FILE FORMAT IF EXISTS sluice.lines;

DROP FILE FORMAT IF EXISTS sluice.manifests;

USE ROLE ACCOUNTADMIN;

DROP INTEGRATION IF EXISTS SLUICE_EVENTS;

DROP INTEGRATION IF EXISTS SLUICE_MAIL;

DROP INTEGRATION IF EXISTS SLUICE_LAKE;

DROP WAREHOUSE IF EXISTS SLUICE_WH;
