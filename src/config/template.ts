/**
 * Checks a layout template: may two different collections, hours or parts ever get one path?
 *
 * Invariant of an accepted template: from a path the database (where it is in the template), the collection, the day
 * or hour and the part can be read back in one way only. Names are escaped (core/layout.ts), so they hold no `/`; a
 * database name holds no dot; dates have a fixed width. That is all the check relies on.
 */

const PLACEHOLDERS: readonly string[] = ['db', 'coll', 'yyyy', 'MM', 'dd', 'HH', 'yyyyMMdd', 'part'];
const LITERALS = /^[\p{L}\p{N} !#$&'()+,\-.;=@[\]^_`~/]*$/u;

/** What is wrong with the template, one sentence each; nothing when it is fine. */
export function templateProblems(template: string): string[] {
  const problems: string[] = [];
  const used = [...template.matchAll(/\{([^{}]*)\}/g)].map((m) => m[1] ?? '');
  for (const name of used) {
    if (!PLACEHOLDERS.includes(name)) problems.push(`has {${name}}, which is none of ${PLACEHOLDERS.map((p) => `{${p}}`).join(', ')}`);
  }
  if (!used.includes('coll')) problems.push('needs {coll}, to tell collections apart');
  if (!used.includes('yyyyMMdd') && !['yyyy', 'MM', 'dd'].every((name) => used.includes(name))) {
    problems.push('needs a day: {yyyyMMdd}, or {yyyy}, {MM} and {dd}');
  }
  const segments = template.split('/');
  const last = segments.at(-1) ?? '';
  if (used.filter((name) => name === 'part').length !== 1 || !last.includes('{part}')) {
    problems.push('needs {part} once, in the file name (after the last /)');
  }
  if (!LITERALS.test(template.replace(/\{[^{}]*\}/g, ''))) problems.push('has a sign that does not belong in a path');
  if (segments.some((segment) => segment === '' || segment === '.' || segment === '..')) {
    problems.push('must be relative, without empty segments, `.` or `..`');
  }
  // A file `_manifest…` would meet the manifest; what begins with `.tmp-` is taken for what a crash has left, and removed.
  if (segments.some((segment) => /^[_.]./.test(segment) && segment !== '..')) {
    problems.push('must not have names that begin with _ or ., which are kept for sluice itself');
  }
  // It is empty in the first part of an hour.
  if (last.startsWith('{part}')) problems.push('must not begin the file name with {part}');
  for (const segment of segments) problems.push(...ambiguous(segment));
  return problems;
}

/** Within one segment: what parts two placeholders of free width? */
function ambiguous(segment: string): string[] {
  const problems: string[] = [];
  const between = /\{(?:db|coll)\}(.*?)\{(?:db|coll)\}/.exec(segment);
  // A database name has no dot, so the first dot ends it; after {coll} nothing could.
  if (between !== null && !between[0].startsWith('{db}.{coll}'))
    problems.push('must have a / (or {db}.{coll}) between {db} and {coll}, else two collections could share a file');
  if (/\{(?:db|coll)\}(?:[^{}]*)\{part\}/.test(segment) || /\{part\}(?:[^{}]*)\{(?:db|coll)\}/.test(segment)) {
    problems.push('must not have {part} beside {coll} or {db} in one name: put the date between them');
  }
  return problems;
}
