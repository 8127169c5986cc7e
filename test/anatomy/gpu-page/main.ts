import type { Answer, Question } from './worker.ts';

const worker = new Worker(new URL('./worker.ts', import.meta.url), { type: 'module' });

/** Runs one graph at a time in a worker, as the engine runs there. */
const underTest = {
  run: (question: Question): Promise<Answer> =>
    new Promise((answer) => {
      worker.onmessage = ({ data }: MessageEvent<Answer>) => answer(data);
      worker.postMessage(question);
    }),
};
Object.assign(globalThis, { gpu: underTest });
export type UnderTest = typeof underTest;
