/**
 * Is it complete, is it fresh, is it proven? The three sentences that somebody reads who was woken for this.
 */
import type { Live, Overview } from '../../src/app/overview-types.ts';
import { age, ago, moment, plural } from './format.ts';

export type Tone = 'good' | 'busy' | 'warn' | 'bad' | 'none';

export interface Verdict {
  readonly tone: Tone;
  readonly title: string;
  readonly detail: string;
}

const HOUR_MS = 3_600_000;
/** The server writes something about every ten seconds, so that the watermark is this old when nothing happens. */
const LAG_GOOD_SECONDS = 30;
const LAG_BAD_SECONDS = 300;
/** Of the oplog: who is called now must have time to get up. */
export const HEADROOM_BAD_SECONDS = 3600;

export function completeness(overview: Overview, nowMs: number): Verdict {
  const { collections, gaps, hours, warehouse, watermark, deadLetters } = overview;
  const letters = deadLetters ?? 0;
  const open = gaps.find((gap) => gap.to === null);
  if (open !== undefined)
    return { tone: 'bad', title: 'History is lost', detail: `Nothing is captured since ${moment(open.from, nowMs)} UTC. ${open.cause}` };
  const failed = collections.filter(({ health }) => health === 'error').length;
  const behind = collections.filter(({ health }) => health === 'behind').length;
  const paused = collections.filter(({ health }) => health === 'paused').length;
  const counts = [
    plural(collections.length, 'collection'),
    ...(failed > 0 ? [`${failed} in error`] : []),
    ...(behind > 0 ? [`${behind} behind`] : []),
    ...(paused > 0 ? [`${paused} paused`] : []),
    ...(gaps.length > 0 ? [plural(gaps.length, 'gap') + ' recorded'] : []),
    ...(letters > 0 ? [plural(letters, 'dead letter')] : []),
  ].join(' · ');
  if (watermark === null) return { tone: 'none', title: 'Nothing yet', detail: 'No hour is complete before the first one is over.' };
  const well = collections
    .filter(({ completeThrough, health }) => completeThrough !== null && health === 'fine')
    .map((each) => each.completeThrough ?? '');
  const through = warehouse !== null && well.length > 0 ? well.reduce((a, b) => (a < b ? a : b)) : new Date(hours.published * HOUR_MS).toISOString();
  const isBegun = overview.startedAt !== null && Date.parse(through) > Date.parse(overview.startedAt);
  const others = isBegun && well.length > 0 ? `. The others are complete through ${moment(through, nowMs)} UTC` : '';
  if (failed > 0) return { tone: 'bad', title: `${plural(failed, 'collection')} in error`, detail: `${counts}${others}` };
  if (behind > 0) return { tone: 'warn', title: `${plural(behind, 'collection')} behind`, detail: `${counts}${others}` };
  if (letters > 0) return { tone: 'warn', title: `${plural(letters, 'message')} could not be read`, detail: counts };
  if (!isBegun) return { tone: 'busy', title: 'First hour under way', detail: counts };
  return { tone: gaps.length > 0 ? 'warn' : 'good', title: `Complete through ${moment(through, nowMs)} UTC`, detail: counts };
}

export function freshness(overview: Overview, live: Live | null, nowMs: number): Verdict {
  const state = live?.state ?? overview.state;
  const last = live?.lastEventAtMs ?? null;
  const since = last === null ? 'No event since this process began' : `Last event ${age((nowMs - last) / 1000)} ago`;
  const headroom = live?.oplogHeadroomSeconds ?? null;
  const left = headroom === null ? '' : `: ${age(headroom)}`;
  switch (state) {
    case 'standby':
      return { tone: 'none', title: 'Standing by', detail: 'Another process owns the pipeline; this one takes over when it ends.' };
    case 'starting':
    case 'recovering':
      return { tone: 'busy', title: state === 'starting' ? 'Starting' : 'Recovering', detail: 'Reading what the last owner left.' };
    case 'reconnecting':
      return { tone: 'warn', title: 'MongoDB does not answer', detail: `Trying again; nothing is lost while the oplog reaches back${left}.` };
    case 'failed':
      return { tone: 'bad', title: 'The pipeline has failed', detail: 'The log says why, with a code.' };
    case 'stopping':
    case 'stopped':
      return { tone: 'none', title: state === 'stopping' ? 'Stopping' : 'Stopped', detail: since };
    case 'running':
  }
  if (live !== null && live.lakeAwaySeconds > 5)
    return {
      tone: 'bad',
      title: `Storage away for ${age(live.lakeAwaySeconds)}`,
      detail: `MongoDB is held back; nothing is lost while its oplog reaches back${left}.`,
    };
  const lag = live?.lagSeconds ?? null;
  if (lag === null) return { tone: 'busy', title: overview.abilities.captures ? 'Waiting for the first read' : 'Loading alone', detail: since };
  if (headroom !== null && headroom < HEADROOM_BAD_SECONDS)
    return {
      tone: 'bad',
      title: `Oplog too small: ${age(headroom)} left`,
      detail: `${lag < 2 ? 'Up to the second' : `${age(lag)} behind`}; a stop that is longer than that loses history. Make the oplog larger.`,
    };
  if (lag < LAG_GOOD_SECONDS) return { tone: 'good', title: lag < 2 ? 'Up to the second' : `${age(lag)} behind`, detail: since };
  return { tone: lag < LAG_BAD_SECONDS ? 'warn' : 'bad', title: `${age(lag)} behind`, detail: since };
}

export function proof({ verification }: Overview, nowMs: number): Verdict {
  if (verification === null) return { tone: 'none', title: 'Not proven yet', detail: 'Verify compares every file, row and document.' };
  const { begunAt, endedAt, ok, failure, checks } = verification;
  if (endedAt === null) return { tone: 'busy', title: 'Verifying', detail: `Begun ${ago(begunAt, nowMs)}` };
  if (failure !== null) return { tone: 'warn', title: 'Could not be proven', detail: failure };
  const names = checks.filter(({ outcome }) => outcome !== 'skipped').map(({ name }) => name);
  if (ok === true) return { tone: 'good', title: 'Everything agrees', detail: `${names.join(' and ')} verified ${ago(endedAt, nowMs)}` };
  return { tone: 'bad', title: 'Something is off', detail: checks.find(({ outcome }) => outcome === 'failed')?.detail ?? '' };
}
