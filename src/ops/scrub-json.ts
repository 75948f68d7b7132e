/**
 * Takes secrets out of JSON: out of each text, key and number in it. The JSON text itself is only looked at, because replacing inside
 * it could break it (a password may be `":`).
 */
export function scrubJson(json: string, scrub: (text: string) => string): string {
  return scrub(json) === json ? json : JSON.stringify(scrubbed(JSON.parse(json), scrub));
}

function scrubbed(value: unknown, scrub: (text: string) => string): unknown {
  if (typeof value === 'string') return scrub(value);
  if (typeof value === 'number') {
    const text = String(value);
    const shown = scrub(text);
    return shown === text ? value : shown;
  }
  if (Array.isArray(value)) return value.map((item) => scrubbed(item, scrub));
  if (typeof value !== 'object' || value === null) return value;
  // Two keys may become one: then the last one stands for both.
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [scrub(key), scrubbed(item, scrub)]));
}
