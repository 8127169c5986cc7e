import { placementOf } from './placement/placement-of.ts';
import { placementTable } from './placement/table.ts';

/**
 * Prints where ONNX Runtime puts the nodes of checkpoints with taps and edits on a GPU:
 *
 *     npm run placement -- FOLDER… [--software] [--as-for-cpu] [--query-blocks]
 *
 * --software takes Chromium's GPU in software, --as-for-cpu leaves out what is rewritten for GPUs, --query-blocks shows what long prompts run on. Ends with status 1 when activations are worked on by
 * the CPU or fetched back to it.
 */
const words = process.argv.slice(2);
const folders = words.filter((word) => !word.startsWith('--'));
if (folders.length === 0) {
  console.error('Say which checkpoint folders to look at.');
  process.exit(2);
}
let clean = true;
for (const folder of folders) {
  const form = words.includes('--as-for-cpu') ? 'as for the CPU' : 'for the GPU';
  const inBlocks = words.includes('--query-blocks');
  const placed = await placementOf(folder, form, words.includes('--software'), inBlocks);
  console.log(`${folder}, ${form}\n${placementTable(placed)}\n`);
  const fallen = placed.nodes.some(
    ({ provider, name }) => provider === 'cpu' && placed.onActivations.has(name),
  );
  if (fallen || placed.toHost.length > 0) clean = false;
}
process.exit(clean ? 0 : 1);
