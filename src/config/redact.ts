/**
 * Keeps secrets out of everything that is shown: errors, logs, `config check`, run files of others.
 *
 * Two nets. {@link redactUri} hides what a URL's own form says is a password, known or not. {@link Secrets} holds the
 * values that this process was given and takes them out of any text, in every form in which they travel (as typed,
 * percent-encoded, escaped in JSON). Invariant: whatever reaches a terminal, a file or a socket as a message has
 * passed `Secrets.scrub`.
 */

/** What stands in the place of a secret. */
export const HIDDEN = '***';

/** Below this a value is too common to be taken out of running text; {@link redactUri} still hides it in its URL. */
const SECRET_CHARS_MIN = 3;

const SECRET_PARAMETERS = /([?&;](?:sig|[^=&;\s]*(?:password|secret|token|accountkey|accesskey|authmechanismproperties))=)([^&;\s"']*)/gi;
/** Greedy up to the last `@` of the word: a password may hold `@`, `/`, `?` and `:` that nobody has escaped. */
const URL_PASSWORDS = /(\b[a-z][a-z0-9+.-]*:\/\/[^\s:@/"'`]*:)([^\s"'`]+)(?=@)/gi;
const CONNECTION_STRING_KEYS = /\b((?:AccountKey|SharedAccessKey|SharedAccessSignature|Password|Secret)\s*=\s*)([^;\s"']+)/gi;

/** A text that is a URL from its first letter on: here a password may hold quotes and blanks as well. */
const WHOLE_URL_PASSWORD = /^(\s*[a-z][a-z0-9+.-]*:\/\/[^:@/]*:)(.+)(?=@)/is;

/** The text with the password of every URL and connection string in it hidden. */
export function redactUri(text: string): string {
  return text
    .replace(WHOLE_URL_PASSWORD, `$1${HIDDEN}`)
    .replace(URL_PASSWORDS, `$1${HIDDEN}`)
    .replace(SECRET_PARAMETERS, `$1${HIDDEN}`)
    .replace(CONNECTION_STRING_KEYS, `$1${HIDDEN}`);
}

/** The secret parts of a URL or connection string. */
function secretsIn(text: string): string[] {
  const whole = WHOLE_URL_PASSWORD.exec(text)?.[2];
  const found: string[] = whole === undefined ? [] : [whole];
  for (const pattern of [URL_PASSWORDS, SECRET_PARAMETERS, CONNECTION_STRING_KEYS]) {
    for (const m of text.matchAll(pattern)) found.push(m[2] ?? '');
  }
  return found;
}

function percentDecoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    // Not percent-encoded after all: the text itself is the secret.
    return text;
  }
}

/** Secret values that this process knows, and the way to take them out of a text. */
export class Secrets {
  readonly #forms = new Set<string>();
  /** Longest first, so that a secret that contains another is hidden as a whole. */
  #ordered: readonly string[] = [];

  /** Remembers a value that must never be shown. */
  add(value: string): void {
    const decoded = percentDecoded(value);
    for (const plain of [value, decoded, value.trim()]) {
      for (const form of [plain, encodeURIComponent(plain.toWellFormed()), JSON.stringify(plain).slice(1, -1)]) {
        if (form.length >= SECRET_CHARS_MIN) this.#forms.add(form);
      }
    }
    this.#ordered = [...this.#forms].toSorted((a, b) => b.length - a.length);
  }

  /** Remembers the passwords and keys inside a URL or connection string, but not the host names beside them. */
  addUri(uri: string): void {
    for (const value of secretsIn(uri)) this.add(value);
  }

  /** The text without any known secret and without the password of any URL. */
  scrub(text: string): string {
    let out = redactUri(text);
    for (const form of this.#ordered) if (out.includes(form)) out = out.replaceAll(form, HIDDEN);
    return out;
  }

  /** A copy of a JSON value with every text in it scrubbed. Keys and numbers stay. */
  scrubValue(value: unknown): unknown {
    if (typeof value === 'string') return this.scrub(value);
    if (Array.isArray(value)) return value.map((item) => this.scrubValue(item));
    if (value === null || typeof value !== 'object') return value;
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, this.scrubValue(item)]));
  }
}

/** Keys below an `auth` that may be shown; every other one there is a secret. */
const AUTH_PUBLIC: ReadonlySet<string> = new Set([
  'kind',
  'account',
  'user',
  'clientId',
  'tenantId',
  'tokenFile',
  'privateKeyFile',
  'certificateFile',
]);

/** Whether the value at this path of a configuration is a secret as a whole. */
export function isSecretPath(path: readonly PropertyKey[]): boolean {
  const [section, key, name] = path;
  if (section === 'http') return key === 'token';
  if (section === 'source') return key === 'maskKey';
  return key === 'auth' && path.length >= 3 && !AUTH_PUBLIC.has(String(name));
}

/**
 * Remembers every secret of a configuration, valid or not, so that even the errors about it can be scrubbed.
 * Texts elsewhere count when they hold a URL with a password.
 */
export function collectSecrets(value: unknown, secrets: Secrets, path: readonly PropertyKey[] = []): void {
  if (typeof value === 'string') {
    secrets.addUri(value);
    if (isSecretPath(path)) secrets.add(value);
  } else if (typeof value === 'number') {
    if (isSecretPath(path)) secrets.add(String(value));
  } else if (value !== null && typeof value === 'object') {
    for (const [key, item] of Object.entries(value)) collectSecrets(item, secrets, [...path, key]);
  }
}

/** A copy of a configuration that may be shown: whole secrets hidden, passwords in URLs hidden. */
export function redactConfig(value: unknown, path: readonly PropertyKey[] = []): unknown {
  if (isSecretPath(path) && value !== null && value !== undefined) return HIDDEN;
  if (typeof value === 'string') return redactUri(value);
  if (Array.isArray(value)) return value.map((item, index) => redactConfig(item, [...path, index]));
  if (value === null || typeof value !== 'object') return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, redactConfig(item, [...path, key])]));
}
