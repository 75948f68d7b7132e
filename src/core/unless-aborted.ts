/**
 * A wait that a stop ends at once, whatever a driver is at.
 */

/**
 * What `work` comes to, or the signal's reason as soon as it aborts. What a driver still has to do then, it does in vain
 * until its client is closed: it can wait for a server longer than a stop may take.
 */
export async function unlessAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  const aborted = Promise.withResolvers<never>();
  const onAbort = (): void => aborted.reject(signal.reason);
  signal.addEventListener('abort', onAbort, { once: true });
  if (signal.aborted) onAbort();
  try {
    return await Promise.race([work, aborted.promise]);
  } finally {
    signal.removeEventListener('abort', onAbort);
    // Nobody may be waiting for it any more.
    work.catch(() => {});
  }
}
