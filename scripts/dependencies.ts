/**
 * What the published package brings with it: every package of package-lock.json that is not for development alone, with its version,
 * its licence and the hash of what was downloaded.
 */
import { readFileSync } from 'node:fs';

export interface Dependency {
  readonly name: string;
  readonly version: string;
  /** SPDX expression, or `NOASSERTION` when its package does not say one. */
  readonly licence: string;
  /** Named in our own package.json. */
  readonly isDirect: boolean;
  /** Only for some machines. */
  readonly isOptional: boolean;
  /** `sha512-<base64>`. */
  readonly integrity: string | null;
  readonly dependsOn: readonly string[];
}

interface LockedPackage {
  readonly version?: string;
  readonly license?: string;
  readonly dev?: boolean;
  readonly link?: boolean;
  readonly optional?: boolean;
  readonly integrity?: string;
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
  readonly peerDependencies?: Readonly<Record<string, string>>;
}

const root = new URL('../', import.meta.url);

/** Licences that a package has in a file alone, read by a person: the version, and what the file says. */
const READ_BY_HAND: Readonly<Record<string, string>> = { 'simple-lru-cache@0.0.2': 'MIT' };

/** The dashboard's libraries are bundled into dist/web: they are part of the package, though npm knows them as development tools. */
const BUNDLED = ['preact', 'uplot'];

export function dependencies(): Dependency[] {
  const lock = JSON.parse(readFileSync(new URL('package-lock.json', root), 'utf8')) as { readonly packages: Readonly<Record<string, LockedPackage>> };
  const own = JSON.parse(readFileSync(new URL('package.json', root), 'utf8')) as { readonly dependencies: Readonly<Record<string, string>> };
  const shipped = Object.entries(lock.packages).filter(([path, each]) => isShipped(path, each));
  const found = shipped.map(([path, each]) => {
    const name = nameOf(path);
    const version = each.version ?? '';
    return {
      name,
      version,
      licence: each.license ?? READ_BY_HAND[`${name}@${version}`] ?? 'NOASSERTION',
      isDirect: path === `node_modules/${name}` && (Object.hasOwn(own.dependencies, name) || BUNDLED.includes(name)),
      isOptional: each.optional === true,
      integrity: each.integrity ?? null,
      dependsOn: [each.dependencies, each.optionalDependencies, each.peerDependencies].flatMap((names) => Object.keys(names ?? {})),
    };
  });
  // The same version may lie in several places.
  const once = new Map(found.map((each) => [`${each.name}@${each.version}`, each]));
  return [...once.values()].toSorted((a, b) => (a.name === b.name ? (a.version < b.version ? -1 : 1) : a.name < b.name ? -1 : 1));
}

function nameOf(path: string): string {
  return path.slice(path.lastIndexOf('node_modules/') + 'node_modules/'.length);
}

function isShipped(path: string, each: LockedPackage): boolean {
  // What brings Node.js to a checkout is a workspace of ours, and no part of the package.
  if (!path.startsWith('node_modules/') || each.link === true) return false;
  return each.dev !== true ? !isOfCheckout(nameOf(path)) : BUNDLED.includes(nameOf(path));
}

function isOfCheckout(name: string): boolean {
  return /^node-(?:bin-)?(?:linux|darwin|win)-/.test(name);
}
