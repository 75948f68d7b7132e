/**
 * How an event over 16 MB is crossed on a server that cannot split it (6.0.0 to 6.0.8).
 *
 * Such a server answers with an error, each time, and keeps back the events before it in the same batch too. So the
 * stream is read one by one up to it; then it is asked for without the parts that there can be two of, least needed first.
 * Invariant: an event is there, with its key, even when nothing else of it can be sent.
 */
export interface LargeStep {
  /** Fields of the event that are not asked for. */
  readonly without: readonly string[];
  /** What is left says so little that the line is a stub. */
  readonly isStub: boolean;
}

export const LARGE_STEPS: readonly LargeStep[] = [
  { without: ['fullDocumentBeforeChange'], isStub: false },
  // The document after the change is what silver is made of; what has changed follows from it.
  { without: ['updateDescription'], isStub: false },
  { without: ['fullDocumentBeforeChange', 'updateDescription'], isStub: false },
  { without: ['fullDocumentBeforeChange', 'updateDescription', 'fullDocument'], isStub: true },
];
