import fc from '../../test/fast-check.ts';
import { describe, expect, it } from 'vitest';
import { collectSecrets, HIDDEN, redactConfig, redactUri, Secrets } from './redact.ts';

describe('redactUri', () => {
  it.each([
    ['mongodb://u:p4ss@h:1/db?x=1', 'mongodb://u:***@h:1/db?x=1'],
    ['mongodb+srv://u:p%40ss@h/', 'mongodb+srv://u:***@h/'],
    ['mongodb://u:p@ss/w?rd:x@h/db', 'mongodb://u:***@h/db'],
    ["mongodb://u:it's mine@h/db", 'mongodb://u:***@h/db'],
    ['cannot reach mongodb://u:p4ss@h: down', 'cannot reach mongodb://u:***@h: down'],
    ['https://a.blob.core.windows.net/c?sv=1&sig=abc%3D', 'https://a.blob.core.windows.net/c?sv=1&sig=***'],
    ['mongodb://h/?tlsCertificateKeyFilePassword=abc&w=1', 'mongodb://h/?tlsCertificateKeyFilePassword=***&w=1'],
    ['Endpoint=sb://n/;SharedAccessKey=abc=;EntityPath=h', 'Endpoint=sb://n/;SharedAccessKey=***;EntityPath=h'],
    ['mongodb://h1:27017,h2:27017/db?replicaSet=rs0', 'mongodb://h1:27017,h2:27017/db?replicaSet=rs0'],
    ['two a@b.c, mongodb://h', 'two a@b.c, mongodb://h'],
  ])('%s', (text, shown) => expect(redactUri(text)).toBe(shown));
});

describe('Secrets', () => {
  it('takes a password out in each form in which it travels', () => {
    const secrets = new Secrets();
    secrets.addUri('mongodb://shop:p%40s%22s%2Fword@h/db');
    for (const form of ['p%40s%22s%2Fword', 'p@s"s/word', JSON.stringify({ pw: 'p@s"s/word' }), encodeURIComponent('p@s"s/word')]) {
      const shown = secrets.scrub(`login with ${form} failed`);
      expect(shown).toContain(HIDDEN);
      expect(shown).not.toMatch(/p@s|p%40s/);
    }
  });

  it('never lets a password of any kind through, whatever the URL around it', () => {
    fc.assert(
      fc.property(
        fc
          .string({ minLength: 3, maxLength: 20, unit: 'binary' })
          .filter((p) => p.trim().length >= 3 && !'mongodb://user:***@host/db?w=1'.includes(p)),
        (password) => {
          for (const uri of [`mongodb://user:${password}@host/db?w=1`, `mongodb://user:${encodeURIComponent(password)}@host/db?w=1`]) {
            const secrets = new Secrets();
            secrets.addUri(uri);
            expect(secrets.scrub(uri)).not.toContain(password);
            expect(secrets.scrub(`the words ${password} alone`)).not.toContain(password);
          }
        },
      ),
      { numRuns: 300 },
    );
  });

  it('hides the longer of two secrets that overlap as a whole', () => {
    const secrets = new Secrets();
    secrets.add('abc');
    secrets.add('abcdef');
    expect(secrets.scrub('x abcdef y')).toBe(`x ${HIDDEN} y`);
  });

  it('scrubs the texts inside a value and leaves its keys and numbers', () => {
    const secrets = new Secrets();
    secrets.add('hunter2');
    expect(secrets.scrubValue({ a: ['hunter2', 7], hunter2: { b: 'is hunter2' } })).toEqual({ a: [HIDDEN, 7], hunter2: { b: `is ${HIDDEN}` } });
  });

  it('leaves texts alone when nothing in them is secret', () => {
    const secrets = new Secrets();
    secrets.add('');
    secrets.add('x');
    expect(secrets.scrub('x is fine')).toBe('x is fine');
  });
});

describe('a configuration', () => {
  const config = {
    source: { uri: 'mongodb://u:pass1@h' },
    lake: { url: 'https://a/c?sig=pass2', auth: { kind: 'servicePrincipal', clientId: 'id', clientSecret: 'pass3' } },
    bus: { auth: { kind: 'connectionString', value: 'Endpoint=sb://x/;SharedAccessKey=pass4' } },
    warehouse: {
      auth: { kind: 'keyPair', user: 'SLUICE', privateKeyFile: '/key', passphrase: 'pass5' },
      columns: { 'a.b': { value: 'documentKey._id TEXT' } },
    },
    http: { token: 'pass6' },
  };

  it('is shown without any of its secrets, and with everything else', () => {
    const shown = JSON.stringify(redactConfig(config));
    expect(shown).not.toMatch(/pass\d/);
    for (const kept of ['"clientId":"id"', '"user":"SLUICE"', '"privateKeyFile":"/key"', 'documentKey._id TEXT', 'mongodb://u:***@h'])
      expect(shown).toContain(kept);
  });

  it('gives all of its secrets to the registry', () => {
    const secrets = new Secrets();
    collectSecrets(config, secrets);
    expect(secrets.scrub('pass1 pass2 pass3 pass4 pass5 pass6 documentKey._id TEXT')).toBe('*** *** *** *** *** *** documentKey._id TEXT');
  });
});
