/** What all of `sluice render` do with their files: write them, or show what differs from those in the folder. */
import { resolve } from 'node:path';
import type { Command } from 'commander';
import type { TextFile } from '../../app/rendered-files.ts';
import { globalsOf, printJson, type Io } from '../io.ts';

export interface Where {
  /** As on the command line. */
  readonly folder: string;
  /** Files of the folder that are this command's, whatever its options. */
  readonly ours: RegExp;
}

/** Options that each of them has. */
export interface OutFlags {
  readonly out?: string;
  readonly diff: boolean;
}

export function outOptions(command: Command, folder: string): Command {
  return command
    .option('--out <dir>', `folder for the files (default: ${folder})`)
    .option('--diff', 'show what differs from the files in the folder, and write nothing', false);
}

export async function write(io: Io, files: readonly TextFile[], { folder }: Where): Promise<readonly string[]> {
  const { writeRendered } = await import('../../app/rendered-files.ts');
  return await writeRendered(files, resolve(io.cwd, folder));
}

/** Exit 1 when anything differs. */
export async function showDifferences(io: Io, command: Command, files: readonly TextFile[], { folder, ours }: Where): Promise<void> {
  const { compareRendered } = await import('../../app/rendered-files.ts');
  const differences = await compareRendered(files, resolve(io.cwd, folder), ours);
  io.exitCode = differences.length > 0 ? 1 : 0;
  if (globalsOf(command).json) return printJson(io, { differences });
  if (differences.length === 0) io.stdout.write(`${resolve(io.cwd, folder)} is as it would be written now.\n`);
  for (const { name, what, removed, added } of differences) {
    io.stdout.write(`${name}: ${what}\n${removed.map((line) => `- ${line}\n`).join('')}${added.map((line) => `+ ${line}\n`).join('')}`);
  }
}

/** @param next what to do with the files */
export async function deliver(io: Io, command: Command, files: readonly TextFile[], where: Where, diff: boolean, next: string): Promise<void> {
  if (diff) return await showDifferences(io, command, files, where);
  const written = await write(io, files, where);
  if (globalsOf(command).json) return printJson(io, { files: written });
  for (const path of written) io.stdout.write(`${path}\n`);
  io.stdout.write(`${next}\n`);
}
