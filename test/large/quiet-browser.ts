import { spawn } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { chromiumPath } from '../app/harness.ts';
import { BROWSER, SOFTWARE_GPU } from '../browser/engine-page.ts';
import { processMemory } from './process-memory.ts';

/** A browser that nobody looks into: tools that do make it keep what was fetched, some 100 MB. */
export interface QuietBrowser {
  /** Waits until the page's title begins with something. @returns the title @throws Error when it tells of a failure */
  title(start: string): Promise<string>;
  /** Most that was resident at one time, in MB, of the page's process and of the one that works for the graphics card. */
  peaks(): Promise<{ readonly page: number; readonly gpu: number }>;
  close(): Promise<void>;
}

/** @param url the page it shows */
export async function openQuietBrowser(url: string): Promise<QuietBrowser> {
  const profile = await mkdtemp(path.join(tmpdir(), 'headscope-browser-'));
  const args = [...BROWSER, ...SOFTWARE_GPU, `--user-data-dir=${profile}`, '--remote-debugging-port=0', url];
  const child = spawn(chromiumPath(), args, { stdio: 'ignore' });
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  return {
    async title(start) {
      for (;;) {
        await new Promise((resolve) => setTimeout(resolve, 200));
        const title = (await pageTitle(profile)) ?? '';
        if (title.startsWith('failed')) throw new Error(title);
        if (title.startsWith(start)) return title;
      }
    },
    async peaks() {
      const most = (type: string, processes: readonly { type: string; pid: number }[]): number =>
        Math.max(...processes.filter((each) => each.type === type).map(({ pid }) => processMemory(pid).peak));
      const processes = await descendants(child.pid!);
      return { page: most('renderer', processes), gpu: most('gpu-process', processes) };
    },
    async close() {
      child.kill();
      await ended;
      await rm(profile, { recursive: true, maxRetries: 5 });
    },
  };
}

/** The title of the only page, out of the browser's list, which it gives without being looked into. */
async function pageTitle(profile: string): Promise<string | undefined> {
  try {
    const [port] = (await readFile(path.join(profile, 'DevToolsActivePort'), 'utf8')).split('\n');
    const list: unknown = await (await fetch(`http://127.0.0.1:${port}/json/list`)).json();
    return (list as { type: string; title: string }[]).find(({ type }) => type === 'page')?.title;
  } catch {
    return undefined; // it is starting
  }
}

/** The browser's processes by what they are for. */
async function descendants(root: number): Promise<{ type: string; pid: number }[]> {
  const parents = new Map<number, number>();
  const types = new Map<number, string>();
  for (const name of await readdir('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    const pid = Number(name);
    try {
      parents.set(pid, Number(/\) \S (\d+)/.exec(await readFile(`/proc/${name}/stat`, 'utf8'))![1]));
      types.set(pid, /--type=([\w-]+)/.exec(await readFile(`/proc/${name}/cmdline`, 'utf8'))?.[1] ?? '');
    } catch {
      parents.delete(pid); // it ended meanwhile
    }
  }
  const below = (pid: number | undefined): boolean =>
    pid === root || (pid !== undefined && below(parents.get(pid)));
  return [...parents.keys()].filter(below).map((pid) => ({ type: types.get(pid) ?? '', pid }));
}
