/**
 * Runs `work` over all items, at most `atOnce` at a time.
 *
 * All that were begun have ended when it returns or throws: a write that is still under way after its error was
 * reported would land behind the recovery's back.
 */
export async function inParallel<T>(items: readonly T[], atOnce: number, work: (item: T) => Promise<void>): Promise<void> {
  let next = 0;
  let failed: { error: unknown } | null = null;
  const lane = async (): Promise<void> => {
    while (next < items.length && failed === null) {
      const item = items[next]!;
      next += 1;
      try {
        await work(item);
      } catch (error) {
        failed ??= { error };
      }
    }
  };
  await Promise.all(Array.from({ length: Math.min(atOnce, items.length) }, lane));
  // TypeScript does not see the assignment in the closure.
  const outcome = failed as { error: unknown } | null;
  if (outcome !== null) throw outcome.error;
}
