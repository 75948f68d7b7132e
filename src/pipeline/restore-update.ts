/**
 * What an update did to a document, done to it again.
 *
 * With `updateLookup` the document beside an update is that of the moment of reading, which may be newer; what the update
 * says of itself is exact. Before 6.1 a server does not say whether a dot parts a path or belongs to a name: the document
 * that is there decides.
 */
import { isObject, type Json, type JsonObject } from '../core/extended-json.ts';

/** @param description `updateDescription` of the event */
export function applyUpdate(document: JsonObject, description: JsonObject): void {
  const part = (name: string): Json | undefined => description.members.find(([key]) => key === name)?.[1];
  for (const path of listOf(part('removedFields'))) if (typeof path === 'string') remove(document, path.split('.'));
  for (const cut of listOf(part('truncatedArrays'))) if (isObject(cut)) truncate(document, cut);
  const updated = part('updatedFields');
  if (isObject(updated)) for (const [path, value] of updated.members) set(document, path.split('.'), value);
}

function listOf(json: Json | undefined): readonly Json[] {
  return Array.isArray(json) ? json : [];
}

/** The member by which a path goes on, and how many pieces of it are its name. */
function memberOn({ members }: JsonObject, pieces: readonly string[]): { member: [string, Json]; length: number } | null {
  for (let length = 1; length <= pieces.length; length++) {
    const name = pieces.slice(0, length).join('.');
    const member = members.find(([key]) => key === name);
    if (member === undefined) continue;
    const goesOn = length === pieces.length || isObject(member[1]) || Array.isArray(member[1]);
    if (goesOn) return { member, length };
  }
  return null;
}

function set(at: Json, pieces: readonly string[], value: Json): void {
  if (Array.isArray(at)) {
    const index = Number(pieces[0]);
    if (pieces.length > 1) return set(at[index] ?? null, pieces.slice(1), value);
    while (at.length < index) at.push(null);
    at[index] = value;
  } else if (isObject(at)) {
    const found = memberOn(at, pieces);
    if (found === null) at.members.push([pieces.join('.'), value]);
    else if (found.length === pieces.length) found.member[1] = value;
    else set(found.member[1], pieces.slice(found.length), value);
  }
}

function remove(at: Json, pieces: readonly string[]): void {
  if (Array.isArray(at)) return remove(at[Number(pieces[0])] ?? null, pieces.slice(1));
  if (!isObject(at)) return;
  const found = memberOn(at, pieces);
  if (found === null) return;
  if (found.length === pieces.length) at.members.splice(at.members.indexOf(found.member), 1);
  else remove(found.member[1], pieces.slice(found.length));
}

function truncate(document: JsonObject, cut: JsonObject): void {
  const [field, size] = ['field', 'newSize'].map((name) => cut.members.find(([key]) => key === name)?.[1]);
  if (typeof field !== 'string') return;
  const length = numberOf(size);
  let at: Json = document;
  let pieces: readonly string[] = field.split('.');
  while (pieces.length > 0) {
    if (Array.isArray(at)) {
      at = at[Number(pieces[0])] ?? null;
      pieces = pieces.slice(1);
      continue;
    }
    const found = isObject(at) ? memberOn(at, pieces) : null;
    if (found === null) return;
    at = found.member[1];
    pieces = pieces.slice(found.length);
  }
  if (Array.isArray(at) && length !== null) at.length = Math.min(at.length, length);
}

function numberOf(json: Json | undefined): number | null {
  if (isObject(json)) return numberOf(json.members[0]?.[1]);
  if (typeof json === 'string') return Number(json);
  return typeof json === 'object' && json !== null && 'digits' in json ? Number(json.digits) : null;
}
