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

CREATE FILE FORMAT IF NOT EXISTS sluice.lines TYPE = CSV COMPRESSION = NONE RECORD_DELIMITER = '\n' FIELD_DELIMITER = NONE ESCAPE = NONE ESCAPE_UNENCLOSED_FIELD = NONE
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
-- Bronze, mode external.
-- Written by `sluice render snowflake`; every statement may run again.

USE ROLE SLUICE_LOADER;

USE WAREHOUSE SLUICE_WH;

USE DATABASE ANALYTICS;

CREATE EXTERNAL TABLE IF NOT EXISTS bronze.shop__orders_files (
  file VARCHAR AS (METADATA$FILENAME),
  row_number NUMBER AS (METADATA$FILE_ROW_NUMBER),
  line VARCHAR AS (value:c1::VARCHAR),
  year NUMBER AS (TO_NUMBER(REGEXP_SUBSTR(METADATA$FILENAME, 'year=([0-9]+)', 1, 1, 'e'))),
  month NUMBER AS (TO_NUMBER(REGEXP_SUBSTR(METADATA$FILENAME, 'month=([0-9]+)', 1, 1, 'e'))),
  day NUMBER AS (TO_NUMBER(REGEXP_SUBSTR(METADATA$FILENAME, 'day=([0-9]+)', 1, 1, 'e'))),
  hour NUMBER AS (TO_NUMBER(REGEXP_SUBSTR(METADATA$FILENAME, 'hour=([0-9]+)', 1, 1, 'e')))
)
PARTITION BY (year, month, day, hour)
LOCATION = @sluice.lake/shop/orders/
AUTO_REFRESH = FALSE
REFRESH_ON_CREATE = FALSE
PATTERN = '.*/events-[^/]*[.]jsonl([.]gz|[.]zst)?'
FILE_FORMAT = (FORMAT_NAME = 'sluice.lines');

CREATE TASK IF NOT EXISTS sluice.shop__orders_refresh
  WAREHOUSE = SLUICE_WH
  SCHEDULE = 'USING CRON 7 * * * * UTC'
  ALLOW_OVERLAPPING_EXECUTION = FALSE
AS
  ALTER EXTERNAL TABLE bronze.shop__orders_files REFRESH;

CREATE EXTERNAL TABLE IF NOT EXISTS bronze."shop__a""b.c $é 🐟_files" (
  file VARCHAR AS (METADATA$FILENAME),
  row_number NUMBER AS (METADATA$FILE_ROW_NUMBER),
  line VARCHAR AS (value:c1::VARCHAR),
  year NUMBER AS (TO_NUMBER(REGEXP_SUBSTR(METADATA$FILENAME, 'year=([0-9]+)', 1, 1, 'e'))),
  month NUMBER AS (TO_NUMBER(REGEXP_SUBSTR(METADATA$FILENAME, 'month=([0-9]+)', 1, 1, 'e'))),
  day NUMBER AS (TO_NUMBER(REGEXP_SUBSTR(METADATA$FILENAME, 'day=([0-9]+)', 1, 1, 'e'))),
  hour NUMBER AS (TO_NUMBER(REGEXP_SUBSTR(METADATA$FILENAME, 'hour=([0-9]+)', 1, 1, 'e')))
)
PARTITION BY (year, month, day, hour)
LOCATION = '@sluice.lake/shop/a%22b.c%20%24%C3%A9%20%F0%9F%90%9F/'
AUTO_REFRESH = FALSE
REFRESH_ON_CREATE = FALSE
PATTERN = '.*/events-[^/]*[.]jsonl([.]gz|[.]zst)?'
FILE_FORMAT = (FORMAT_NAME = 'sluice.lines');

CREATE TASK IF NOT EXISTS sluice."shop__a""b.c $é 🐟_refresh"
  WAREHOUSE = SLUICE_WH
  SCHEDULE = 'USING CRON 14 * * * * UTC'
  ALLOW_OVERLAPPING_EXECUTION = FALSE
AS
  ALTER EXTERNAL TABLE bronze."shop__a""b.c $é 🐟_files" REFRESH;

-- ==== 08_silver.sql
-- Silver, mode external.
-- Written by `sluice render snowflake`; every statement may run again.

USE ROLE SLUICE_LOADER;

USE WAREHOUSE SLUICE_WH;

USE DATABASE ANALYTICS;

CREATE OR REPLACE VIEW silver.shop__orders_live AS
WITH events AS (
  SELECT
    sluice.document_key(line) AS key,
    sluice.text_at(line, '/_meta/position') AS position,
    sluice.text_at(line, '/_meta/operationType') AS operation,
    line
  FROM bronze.shop__orders_files
)
SELECT
  key, position, operation, operation <> 'delete' AS is_current, sluice.member(line, 'fullDocument') AS doc
FROM events
WHERE key IS NOT NULL AND operation IN ('insert', 'update', 'replace', 'delete', 'snapshot')
QUALIFY row_number() OVER (PARTITION BY key ORDER BY position DESC) = 1;

CREATE OR REPLACE VIEW silver."shop__a""b.c $é 🐟_live" AS
WITH events AS (
  SELECT
    sluice.document_key(line) AS key,
    sluice.text_at(line, '/_meta/position') AS position,
    sluice.text_at(line, '/_meta/operationType') AS operation,
    line
  FROM bronze."shop__a""b.c $é 🐟_files"
)
SELECT
  key, position, operation, operation <> 'delete' AS is_current, sluice.member(line, 'fullDocument') AS doc
FROM events
WHERE key IS NOT NULL AND operation IN ('insert', 'update', 'replace', 'delete', 'snapshot')
QUALIFY row_number() OVER (PARTITION BY key ORDER BY position DESC) = 1;

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
  THEN INSERT INTO sluice.alert_log SELECT CURRENT_TIMESTAMP, collection, health, last_error FROM (SELECT collection, health, last_error FROM sluice.pipeline_health WHERE health IN ('STALE', 'ERROR'));

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

ALTER TASK IF EXISTS sluice.shop__orders_refresh RESUME;

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

DROP TASK IF EXISTS sluice."shop__a""b.c $é 🐟_refresh";

DROP VIEW IF EXISTS silver.shop__orders_live;

DROP VIEW IF EXISTS silver."shop__a""b.c $é 🐟_live";

DROP EXTERNAL TABLE IF EXISTS bronze.shop__orders_files;

DROP EXTERNAL TABLE IF EXISTS bronze."shop__a""b.c $é 🐟_files";

DROP STAGE IF EXISTS sluice.lake;

DROP FILE FORMAT IF EXISTS sluice.lines;

DROP FILE FORMAT IF EXISTS sluice.manifests;

USE ROLE ACCOUNTADMIN;

DROP INTEGRATION IF EXISTS SLUICE_LAKE;

DROP WAREHOUSE IF EXISTS SLUICE_WH;
