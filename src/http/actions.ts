/**
 * What the dashboard offers to do. One list: a new action is an entry here and a route of its name, and the page shows it
 * without knowing it.
 */
import type { Abilities } from '../app/overview-types.ts';

export interface Action {
  /** `POST /api/<name>`. */
  readonly name: string;
  readonly label: string;
  /** `collection`: the body is `{ "collections": [...] }`; `pipeline`: it is `{}`. */
  readonly scope: 'pipeline' | 'collection';
  /** What happens, asked before it is done. */
  readonly confirm: string;
  /** With collections: only those of this status; left out: all. */
  readonly from?: readonly string[];
}

const ACTIONS: readonly { readonly needs: keyof Abilities | null; readonly action: Action }[] = [
  {
    needs: 'captures',
    action: {
      name: 'seal',
      label: 'Seal now',
      scope: 'pipeline',
      confirm: 'Seals every open file, so that it can be loaded now. New events go to new files; more, smaller files are the price.',
    },
  },
  {
    needs: null,
    action: {
      name: 'verify',
      label: 'Verify now',
      scope: 'pipeline',
      confirm: 'Reads every sealed file and compares it with the ledger and the warehouse. Changes nothing, and may take long for a large lake.',
    },
  },
  {
    needs: 'loads',
    action: {
      name: 'pause',
      label: 'Pause loading',
      scope: 'collection',
      from: ['DISCOVERED', 'ACTIVE', 'ERROR'],
      confirm: 'Stops loading this collection into the warehouse. Capture goes on: no history is lost.',
    },
  },
  {
    needs: 'loads',
    action: {
      name: 'resume',
      label: 'Resume loading',
      scope: 'collection',
      from: ['PAUSED', 'ERROR'],
      confirm: 'Loads this collection again, beginning with what has come together meanwhile.',
    },
  },
];

/** What this process can do now. */
export function actionsOf(abilities: Abilities): Action[] {
  return ACTIONS.filter(({ needs }) => needs === null || abilities[needs]).map(({ action }) => action);
}
