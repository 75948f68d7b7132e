/**
 * What a valid configuration may ask for and this version does not do yet, each with what to use instead. There is nothing at present.
 *
 * Refused at the start rather than ignored: a snapshot or a repair that does not happen would be believed in.
 */
import { SluiceError } from '../core/error.ts';
import { NOT_BUILT } from '../core/errors.ts';
import type { Config } from './config.ts';

const NOT_YET: readonly { readonly isAsked: (config: Config) => boolean; readonly text: string }[] = [];

/** @throws NOT_BUILT naming every key that this version cannot serve */
export function assertBuilt(config: Config): void {
  const found = NOT_YET.filter(({ isAsked }) => isAsked(config));
  if (found.length > 0) throw new SluiceError(NOT_BUILT, found.map(({ text }) => text).join('; '));
}
