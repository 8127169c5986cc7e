import type { PageMessage, PageRequest } from './worker.ts';

/** Starts the benchmark in a worker, as the engine runs in one. */
const underTest = {
  run(request: PageRequest, tell: (message: PageMessage) => void): void {
    const worker = new Worker(new URL('./worker.ts', import.meta.url), { type: 'module' });
    worker.onmessage = ({ data }: MessageEvent<PageMessage>) => tell(data);
    worker.onerror = ({ message }) => tell({ kind: 'failed', why: message });
    worker.postMessage(request);
  },
};
Object.assign(globalThis, { bench: underTest });
export type UnderTest = typeof underTest;
