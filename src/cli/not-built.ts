/**
 * Commands that are part of the design and not of this version: asked for by name, they say so.
 */

const COMMANDS: Readonly<Record<string, string>> = {
  erase: 'Nothing takes its place yet.',
};

/** What to do instead, or `null` when no such command is planned. */
export function notBuilt(name: string): string | null {
  return Object.hasOwn(COMMANDS, name) ? (COMMANDS[name] ?? null) : null;
}
