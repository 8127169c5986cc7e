import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { forkNative } from '../../src/shell/native/fork.ts';
import type { NativeProcess, StartNative } from '../../src/shell/native/process.ts';
import { openShell, type ShellHost } from '../../src/shell/services.ts';
import { inRepository } from '../helpers/models.ts';

/** The native runtime's process, as `npm run build` makes it. */
const CHILD = inRepository('out/cli/native-child.js');

export interface TestHost extends ShellHost {
  /** The processes started so far. */
  readonly started: NativeProcess[];
  /** Sends a request to the handler. */
  ask(url: string, init?: RequestInit): Promise<Response>;
  /** A folder outside everything served, with `secret.txt` in it. */
  readonly outside: string;
}

/** A shell over a small built app and the bundled samples. */
export async function openTestHost(checkpoints: readonly string[] = []): Promise<TestHost> {
  const root = await mkdtemp(path.join(tmpdir(), 'headscope-shell-'));
  const app = path.join(root, 'app');
  await mkdir(path.join(app, 'engine'), { recursive: true });
  const files = {
    'index.html': '<!doctype html><title>Headscope</title>',
    'main.js': 'export {};',
    'style.css': 'p{}',
    'engine/worker.js': 'self.close();',
    'engine/ort.mjs': 'export {};',
    'engine/ort.wasm': new Uint8Array([0, 97, 115, 109]),
  };
  for (const [name, content] of Object.entries(files)) await writeFile(path.join(app, name), content);
  await writeFile(path.join(root, 'secret.txt'), 'secret');
  await symlink(path.join(root, 'secret.txt'), path.join(app, 'link.txt'));
  const started: NativeProcess[] = [];
  const fork = forkNative(CHILD);
  const start: StartNative = () => {
    const process = fork();
    started.push(process);
    return process;
  };
  const host = await openShell({ app, samples: inRepository('assets/checkpoints') }, start, checkpoints);
  return {
    ...host,
    started,
    outside: root,
    ask: (url, init) => host.handle(new Request(`app://headscope${url}`, init)),
    close: async () => {
      await host.close();
      await rm(root, { recursive: true });
    },
  };
}
