import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { SluiceError } from '../core/error.ts';
import { CONFIG_INVALID, CONFIG_SECRET } from '../core/errors.ts';
import type { Config } from './config.ts';
import { loadConfig, parseConfig } from './load.ts';
import { Secrets } from './redact.ts';

const FOLDER = '/etc/sluice';

/** A valid file with `more` put in place of its sections. */
function file(more: Record<string, unknown> = {}): string {
  return JSON.stringify({ pipeline: 'shop', source: { uri: 'mongodb://localhost' }, lake: { url: 'file:./lake' }, ...more });
}

function parse(text: string, env: Record<string, string> = {}): Config {
  return parseConfig(text, { folder: FOLDER, env });
}

function failure(text: string, env: Record<string, string> = {}): SluiceError {
  try {
    parse(text, env);
  } catch (error) {
    if (error instanceof SluiceError) return error;
    throw error;
  }
  throw new Error('was accepted');
}

describe('a value from outside', () => {
  it('comes from the environment, with a default where it is unset or empty', () => {
    const uri = (written: string, env: Record<string, string>): string => parse(file({ source: { uri: written } }), env).source.uri;
    expect(uri('${U}', { U: 'mongodb://a' })).toBe('mongodb://a');
    expect(uri('mongodb://${H:-localhost}:${P:-27017}', { H: '', P: '1' })).toBe('mongodb://localhost:1');
    expect(uri('mongodb://$${H}', { H: 'x' })).toBe('mongodb://${H}');
    expect(uri('${U}', { U: 'mongodb://${V}', V: 'x' })).toBe('mongodb://${V}');
  });

  it('may be a number', () => expect(parse(file({ http: { port: '${PORT}' } }), { PORT: '9999' }).http.port).toBe(9999));

  it('is named when it is missing, once, and every one of them', () => {
    const error = failure(file({ source: { uri: '${NOPE}' }, http: { token: '${file:/no/such/file}' } }));
    expect(error.kind).toBe(CONFIG_SECRET);
    expect(error.message).toContain('source.uri needs the environment variable NOPE, which is not set');
    expect(error.message).toContain('http.token needs the file /no/such/file, which cannot be read (ENOENT)');
    expect(error.message.split('\n')).toHaveLength(3);
  });

  it('is told together with other problems', () => {
    const error = failure(file({ source: { uri: '${NOPE}', x: 1 } }));
    expect(error.kind).toBe(CONFIG_INVALID);
    expect(error.message).toContain('NOPE');
    expect(error.message).toContain('source.x is not a key here');
  });

  it('comes from Key Vault, asked once for each secret, and not for what a variable sets', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'sluice-vault-'));
    try {
      const path = join(folder, 'sluice.yaml');
      const asked: string[] = [];
      const secrets = new Secrets();
      const load = (env: Record<string, string> = {}): Promise<Config> =>
        loadConfig({
          file: path,
          env,
          cwd: folder,
          secrets,
          readVaultSecret: async (reference) => {
            asked.push(reference);
            if (reference === 'v/none') throw new Error('there is no such secret');
            return reference === 'v/user' ? 'shop' : 'hunter2hunter2';
          },
        });
      await writeFile(path, file({ source: { uri: 'mongodb://${keyvault:v/user}:${keyvault:v/pw}@h' }, http: { token: '${keyvault:v/pw}' } }));
      const config = await load();
      expect(config.source.uri).toBe('mongodb://shop:hunter2hunter2@h');
      expect(asked.toSorted()).toEqual(['v/pw', 'v/user']);
      expect(secrets.scrub('the word is hunter2hunter2')).toBe('the word is ***');
      await writeFile(path, file({ source: { uri: 'mongodb://${keyvault:v/none}@h' } }));
      await expect(load()).rejects.toThrow('source.uri needs the secret v/none of Azure Key Vault: there is no such secret');
      expect((await load({ SLUICE_SOURCE__URI: 'mongodb://other' })).source.uri).toBe('mongodb://other');
      expect(asked).toHaveLength(3);
    } finally {
      await rm(folder, { recursive: true });
    }
  });

  it('needs a name', () => expect(failure(file({ source: { uri: '${}' } })).message).toContain('${…}'));
});

describe('a SLUICE_ variable', () => {
  it('overrides a key, at any depth, in words', () => {
    const env = {
      SLUICE_LAKE__ROLL__MAX_BYTES: '2MiB',
      SLUICE_SOURCE__FULL_DOCUMENT_BEFORE_CHANGE: 'required',
      SLUICE_PIPELINE: 'other',
      SLUICE_HTTP__PORT: '1',
    };
    const config = parse(file({ lake: { url: 'file:x', roll: { maxBytes: '1MiB', maxAge: '1m' } } }), env);
    expect(config).toMatchObject({
      pipeline: 'other',
      lake: { roll: { maxBytes: 2_097_152, maxAgeMs: 60_000 } },
      http: { port: 1 },
      source: { fullDocumentBeforeChange: 'required' },
    });
  });

  it('may give a list or a whole section as JSON', () => {
    const env = { SLUICE_SOURCE__INCLUDE: '["a.*", "b.c"]', SLUICE_WAREHOUSE: '{ url: "duckdb:/w.duckdb" }', SLUICE_WAREHOUSE__DELETES: 'hard' };
    expect(parse(file(), env)).toMatchObject({ source: { include: ['a.*', 'b.c'] }, warehouse: { path: '/w.duckdb', deletes: 'hard' } });
  });

  it('makes a reference that it replaces unnecessary', () => {
    expect(parse(file({ source: { uri: '${NOPE}' } }), { SLUICE_SOURCE__URI: 'mongodb://h' }).source.uri).toBe('mongodb://h');
  });

  it('is named when its value or its name is wrong', () => {
    expect(failure(file(), { SLUICE_HTTP__PORT: 'x' }).message).toContain('SLUICE_HTTP__PORT: http.port must be a whole number');
    expect(failure(file(), { SLUICE_LAKE__ROL__MAX_BYTES: '1MB' }).message).toContain(
      'SLUICE_LAKE__ROL__MAX_BYTES: lake.rol is not a key here; did you mean `roll`?',
    );
    expect(failure(file(), { SLUICE_LAEK__URL: 'x' }).message).toContain('SLUICE_LAEK__URL: laek is not a key here; did you mean `lake`?');
  });

  it('that is no key is left alone', () => expect(parse(file(), { SLUICE_FAILPOINT: 'x', SLUICE_DEMO_MONGODB_URI: 'y' }).pipeline).toBe('shop'));
});

describe('a secret', () => {
  const password = 'correct-horse';
  it.each([
    ['in a broken line', `source:\n  uri: "mongodb://u:${password}@h\nlake: x`],
    ['as an alias', `source:\n  uri: *${password}\n`],
    ['as a tag', `source:\n  uri: !${password} x\n`],
    ['as a key', `pipeline: a\nsource: { uri: mongodb://h, "mongodb://u:${password}@h": 1 }\nlake: { url: file:x }`],
    ['in a wrong place', `pipeline: "mongodb://u:${password}@h"\nsource: { uri: mongodb://h }\nlake: { url: "mongodb://u:${password}@h" }`],
    ['in a wrong value', `pipeline: a\nsource: { uri: "http://u:${password}@h" }\nlake: { url: file:x }`],
    ['of an account', `pipeline: a\nsource: { uri: "x" }\nlake: { url: file:x, auth: { kind: accountKey, key: ${password} } }`],
  ])('%s never reaches the message', (_, text) => {
    const error = failure(text);
    const shown = `${error.message} ${error.next} ${error.stack ?? ''} ${String(error.cause)}`;
    expect(shown).not.toContain(password);
  });
});
