import { openBuiltPage } from '../browser/engine-page.ts';
import type { UnderTest } from './page/main.ts';
import type { PageMessage, PageRequest } from './page/worker.ts';
import type { Listener } from './results.ts';

declare const bench: UnderTest;

/** Arguments that choose the browser's graphics adapter; without the variable it is a software one. */
const adapter = process.env.HEADSCOPE_BENCH_GPU?.split(' ');

/** Single runs in Chromium, on its WebGPU or WebAssembly. */
export async function browserRows(
  {
    folder,
    kind,
    ...options
  }: Omit<PageRequest, 'source' | 'kind'> & { readonly folder: string; readonly kind: string },
  listener: Listener,
): Promise<void> {
  const opened = await openBuiltPage('test/bench/page', [folder], adapter);
  const { page, troubles } = opened;
  try {
    await page.waitForFunction(() => 'bench' in globalThis);
    let end!: { resolve: () => void; reject: (error: Error) => void };
    const ended = new Promise<void>((resolve, reject) => (end = { resolve, reject }));
    await page.exposeFunction('told', (message: PageMessage) => {
      if (message.kind === 'done') end.resolve();
      else if (message.kind === 'failed') end.reject(new Error(message.why));
      else listener.tell(message);
    });
    await page.evaluate(
      async ({ options, kind }) => {
        const opened = (await (await fetch('/opened.json')).json()) as Pick<PageRequest, 'source'>[];
        const request = { ...options, kind: kind as PageRequest['kind'], source: opened[0].source };
        const { told } = globalThis as unknown as { told: (message: PageMessage) => void };
        bench.run(request, told);
      },
      { options, kind },
    );
    await ended;
  } catch (error) {
    const [trouble] = troubles.filter((text) => !/favicon|status of 404/.test(text));
    throw trouble === undefined ? error : new Error(`${(error as Error).message} (${trouble})`);
  } finally {
    await opened.close();
  }
}
