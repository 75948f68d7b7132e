/**
 * What a valid configuration may ask for and this version does not do yet, each with what to use instead.
 *
 * Refused at the start rather than ignored: a repair that does not happen or a dump that never runs would be believed in.
 */
import { SluiceError } from '../core/error.ts';
import { NOT_BUILT } from '../core/errors.ts';
import type { Config } from './config.ts';

function missing(config: Config): string[] {
  const { source, lake, bus } = config;
  const found: string[] = [];
  if (source.startAt.kind === 'snapshot') found.push('`source.startAt: snapshot`; use now, a time or a token');
  if (source.onHistoryLost === 'repair') found.push('`source.onHistoryLost: repair`; use fail, and `sluice run --accept-gap` when it happens');
  if (lake.retention !== null) found.push('`lake.retention`; leave it out: everything is kept for now');
  if (bus?.auth.kind === 'default' && bus.url.startsWith('eventhubs:'))
    found.push('`bus.auth: { kind: default }` on Event Hubs; use connectionString');
  if (bus?.onBadMessage === 'deadLetter') found.push('`bus.onBadMessage: deadLetter`; use stop');
  if (config.dump !== null) found.push('`dump`; leave it out and use mongodump');
  return found;
}

/** @throws NOT_BUILT naming every key that this version cannot serve */
export function assertBuilt(config: Config): void {
  const found = missing(config);
  if (found.length > 0) throw new SluiceError(NOT_BUILT, found.join('; '));
}
