import { EngineClient } from '../../../renderer/engine/client.ts';
import type { DeviceKind } from '../../../src/runtime/device.ts';
import type { Sample } from '../../../src/workbench/engine/source.ts';

/**
 * Uses the served checkpoint in an engine and tells by the page's title how far it is. What comes after # is the device; each "+" after it
 * opens the checkpoint once more, in an engine of its own.
 */
async function use(): Promise<void> {
  const [, device, more] = /^#(\w+)(\+*)$/.exec(location.hash)!;
  const [{ source }] = (await (await fetch('/opened.json')).json()) as Pick<Sample, 'source'>[];
  for (let round = 0; round <= more.length; round++) {
    const client = new EngineClient({ nativeCpu: false });
    const summary = await client.call('open', { source, device: device as DeviceKind });
    const ids = Array.from({ length: 32 }, (_, i) => (i * 7919) % 50_000);
    await client.call('overview', { rows: [{ ids }] });
    const { data } = await client.call('pattern', { ids, layer: 1 });
    const sum = data.reduce((a, b) => a + b, 0);
    document.title = `done ${round + 1}: ${summary.device.name}, ${sum.toFixed(2)}`;
  }
}

use().catch((error: unknown) => (document.title = `failed: ${String(error)}`));
