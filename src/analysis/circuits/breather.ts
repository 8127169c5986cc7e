import { throwIfCancelled } from '../../errors.ts';

/**
 * Lets other work, a cancellation above all, through every 50 ms of a long computation.
 * @returns to be awaited between steps; it throws HeadscopeError `cancelled`
 */
export function breather(signal: AbortSignal | undefined): () => Promise<void> {
  let last = performance.now();
  return async () => {
    throwIfCancelled(signal);
    if (performance.now() - last < 50) return;
    await new Promise<void>((resolve) => setTimeout(resolve, 0));
    last = performance.now();
    throwIfCancelled(signal);
  };
}
