/**
 * What the dashboard offers to do. One list: a new action is an entry here and a route of its name, and the page shows it
 * without knowing it. Of those on the whole pipeline the first two are buttons, the others stand in a menu.
 */
import type { Abilities } from '../app/overview-types.ts';

export interface Action {
  /** `POST /api/<name>`. */
  readonly name: string;
  readonly label: string;
  /** What the body holds: `{}`, `{ "collections": [...] }` or `{ "names": [...] }`. */
  readonly scope: 'pipeline' | 'collection' | 'letter';
  /** What happens, asked before it is done. */
  readonly confirm: string;
  /** Only while the collection, or one of them, has one of these; left out: always. */
  readonly from?: readonly string[];
}

const PAUSABLE = ['DISCOVERED', 'ACTIVE', 'ERROR'];
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
    needs: 'captures',
    action: {
      name: 'dump',
      label: 'Dump all',
      scope: 'pipeline',
      confirm: 'Writes a dump of every collection that the configuration dumps, as its schedule would. Reads them whole: MongoDB will notice.',
    },
  },
  {
    needs: 'snapshots',
    action: {
      name: 'snapshot',
      label: 'Snapshot all',
      scope: 'pipeline',
      confirm: 'Reads every collection whole, beside the stream, and loads it. For large ones this takes hours; capture goes on meanwhile.',
    },
  },
  {
    needs: 'loads',
    action: {
      name: 'pause',
      label: 'Pause all loading',
      scope: 'pipeline',
      from: PAUSABLE,
      confirm: 'Stops loading every collection into the warehouse. Capture goes on: no history is lost.',
    },
  },
  {
    needs: 'loads',
    action: {
      name: 'resume',
      label: 'Resume all loading',
      scope: 'pipeline',
      from: ['PAUSED', 'ERROR'],
      confirm: 'Loads every collection that is paused or in error again, beginning with what has come together meanwhile.',
    },
  },
  {
    needs: 'loads',
    action: {
      name: 'pause',
      label: 'Pause loading',
      scope: 'collection',
      from: PAUSABLE,
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
  {
    needs: 'snapshots',
    action: {
      name: 'snapshot',
      label: 'Snapshot now',
      scope: 'collection',
      confirm: 'Reads this collection whole, beside the stream, and loads it. Capture goes on meanwhile.',
    },
  },
  {
    needs: 'captures',
    action: {
      name: 'dump',
      label: 'Dump now',
      scope: 'collection',
      confirm: 'Writes a dump of this collection to the lake, in the form that the configuration says. Reads it whole.',
    },
  },
  {
    needs: 'sends',
    action: {
      name: 'replay',
      label: 'Send again',
      scope: 'letter',
      confirm: 'Sends to the topic again, each to its partition, and removes from the lake. What still cannot be read comes back with its reason.',
    },
  },
];

/** What this process can do now. */
export function actionsOf(abilities: Abilities): Action[] {
  return ACTIONS.filter(({ needs }) => needs === null || abilities[needs]).map(({ action }) => action);
}
