/** Conditional headers. Times are whole seconds, ETags are compared without quotes. */
import { refusal } from './replies.ts';
import type { Headers } from './request.ts';
import type { RuleName } from './rules.ts';

const bare = (etag: string): string => etag.trim().replace(/^W\//, '').replaceAll('"', '');

interface Content {
  readonly etag: string;
  readonly lastModifiedMs: number;
}

interface Rules {
  /** If-None-Match: * and it exists. */
  readonly exists: RuleName;
  /** If-None-Match: its ETag. */
  readonly noneMatch: RuleName;
  readonly match: RuleName;
}

/**
 * @param node what is there, or `null`
 * @param prefix `x-ms-source-` for the source of a rename
 */
export function checkConditions(headers: Headers, node: Content | null, rules: Rules, prefix = ''): void {
  const value = (name: string): string | undefined => headers[`${prefix}${name}`];
  const ifMatch = value('if-match');
  if (ifMatch !== undefined && (node === null || (ifMatch !== '*' && bare(ifMatch) !== node.etag))) throw refusal(rules.match);
  const noneMatch = value('if-none-match');
  if (noneMatch !== undefined && node !== null) {
    if (noneMatch === '*') throw refusal(rules.exists);
    if (bare(noneMatch) === node.etag) throw refusal(rules.noneMatch);
  }
  if (node === null) return;
  const seconds = Math.floor(node.lastModifiedMs / 1000);
  const unmodified = value('if-unmodified-since');
  if (unmodified !== undefined && seconds > Date.parse(unmodified) / 1000) throw refusal(rules.match);
  const modified = value('if-modified-since');
  if (modified !== undefined && seconds <= Date.parse(modified) / 1000) throw refusal(rules.noneMatch);
}
