import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { Device } from '../../src/runtime/device.ts';
import { remoteDevice } from '../../src/runtime/remote.ts';
import { openFolder } from '../../src/workbench/engine/folders.ts';
import type { Sample } from '../../src/workbench/engine/source.ts';
import { openCheckpointFiles, type OpenCheckpoint } from '../../src/workbench/open-checkpoint.ts';
import type { Gpt2Shape } from '../../tools/bench/gpt2-graph.ts';
import { writeGpt2 } from '../../tools/bench/gpt2-shape.ts';
import { openTestHost, type TestHost } from '../shell/host.ts';

/** A generated checkpoint as the app opens it on the native CPU: this process reads the graph, the shell's child process holds the weights. */
export interface ServedGpt2 {
  readonly host: TestHost;
  readonly read: OpenCheckpoint;
  readonly device: Device;
  close(): Promise<void>;
}

export async function serveGpt2(shape: Gpt2Shape): Promise<ServedGpt2> {
  const folder = await mkdtemp(path.join(tmpdir(), 'headscope-large-'));
  await writeGpt2(path.join(folder, 'model.onnx'), shape);
  const host = await openTestHost([folder]);
  const request: typeof fetch = (url, init) => host.ask(url as string, init);
  const [{ source }] = (await (await host.ask('/opened.json')).json()) as Pick<Sample, 'source'>[];
  if (source.kind !== 'served') throw new Error('opened folders are served');
  return {
    host,
    read: await openCheckpointFiles(source.name, await openFolder(source, request)),
    device: remoteDevice({ request, folder: source.base.split('/')[2] }),
    async close() {
      await host.close();
      await rm(folder, { recursive: true });
    },
  };
}
