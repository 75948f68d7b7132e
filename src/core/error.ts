/**
 * Errors are values with a code, a cause and a next step.
 *
 * A kind is defined once (errors.ts lists them all, docs/errors.md is written from that list); an occurrence adds what
 * happened in this case. Whether a thing may be tried again is decided where the vendor's error is caught.
 */

/** 0 fine; the others are what scripts rely on (docs/cli.md). */
export type ExitCode = 0 | 1 | 2 | 69 | 74 | 75 | 78 | 130;

export interface ErrorKind {
  /** `SLC-nnnn`, never reused. */
  readonly code: string;
  readonly exit: ExitCode;
  /** May the same call succeed later, with nothing changed by hand? */
  readonly retry: boolean;
  /** One sentence on what happened. */
  readonly title: string;
  /** One sentence on what to do. */
  readonly next: string;
}

/** One occurrence. `message` is the title with this case's detail; `next` may be sharper than the kind's. */
export class SluiceError extends Error {
  override readonly name = 'SluiceError';
  readonly kind: ErrorKind;
  readonly next: string;

  constructor(kind: ErrorKind, detail?: string, options?: { cause?: unknown; next?: string }) {
    super(detail === undefined ? `${kind.title}.` : `${kind.title}: ${detail}`, options?.cause === undefined ? undefined : { cause: options.cause });
    this.kind = kind;
    this.next = options?.next ?? kind.next;
  }

  get code(): string {
    return this.kind.code;
  }

  /** True when `error` is an occurrence of `kind`. */
  static is(error: unknown, ...kinds: readonly ErrorKind[]): error is SluiceError {
    return error instanceof SluiceError && (kinds.length === 0 || kinds.includes(error.kind));
  }
}

/** The text of anything that was thrown, for a detail: never a stack. */
export function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** The `code` of a Node.js system error (`ENOSPC`), if it has one. */
export function systemCode(error: unknown): string | undefined {
  const code = error instanceof Error ? (error as NodeJS.ErrnoException).code : undefined;
  return typeof code === 'string' ? code : undefined;
}
