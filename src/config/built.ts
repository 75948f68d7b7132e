/**
 * What a valid configuration may ask for and this version does not do yet, each with what to use instead.
 *
 * Refused at the start rather than ignored: a snapshot or a repair that does not happen would be believed in.
 */
import { SluiceError } from '../core/error.ts';
import { NOT_BUILT } from '../core/errors.ts';
import type { Config } from './config.ts';

function missing(config: Config): string[] {
  const { source, bus } = config;
  const found: string[] = [];
  if (bus !== null && source.onHistoryLost === 'repair')
    found.push('`source.onHistoryLost: repair` through a `bus`; use fail, and `sluice run --accept-gap` when it happens');
  return found;
}

/** @throws NOT_BUILT naming every key that this version cannot serve */
export function assertBuilt(config: Config): void {
  const found = missing(config);
  if (found.length > 0) throw new SluiceError(NOT_BUILT, found.join('; '));
}
