/**
 * Commands that are part of the design and not of this version: asked for by name, they say so.
 */

const COMMANDS: Readonly<Record<string, string>> = {
  snapshot: 'Snapshots are not built yet: the lake begins at `source.startAt`.',
  restore: 'Read the versions in bronze with `sluice query`.',
  erase: 'Nothing takes its place yet.',
  'dead-letters': 'There is no bus yet, and so no dead letters.',
};

/** What to do instead, or `null` when no such command is planned. */
export function notBuilt(name: string): string | null {
  return Object.hasOwn(COMMANDS, name) ? (COMMANDS[name] ?? null) : null;
}
