/**
 * Server versions and what each brings.
 */
export interface ServerVersion {
  readonly text: string;
  readonly major: number;
  readonly minor: number;
  readonly patch: number;
}

export function parseVersion(text: string): ServerVersion {
  const [major = 0, minor = 0, patch = 0] = text.split(/[.-]/).map((part) => Number.parseInt(part, 10) || 0);
  return { text, major, minor, patch };
}

/** Expanded events and images begin with 6.0. */
export function isSupported(version: ServerVersion): boolean {
  return version.major >= 6;
}

/** `$changeStreamSplitLargeEvent`: 6.0.9 and 7.0. */
export function canSplitEvents(version: ServerVersion): boolean {
  return version.major >= 7 || (version.major === 6 && (version.minor > 0 || version.patch >= 9));
}
