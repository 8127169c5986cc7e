import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { instrument } from '../../src/instrument/instrument.ts';
import { forGpu } from '../../src/onnx/gpu/for-gpu.ts';
import { mapNodes } from '../../src/onnx/gpu/rewrite.ts';
import type { Model, Node } from '../../src/onnx/model.ts';
import { writeModel } from '../../src/onnx/write.ts';
import { chooseModelFile, readCheckpoint } from '../../src/workbench/checkpoint.ts';
import { NodeFolder } from '../../src/workbench/node-folder.ts';
import { nodesOnActivations } from './activations.ts';
import { readPlacement, type Placement } from './read-log.ts';

/** Chromium's GPU in software, for machines without one. */
const CHROMIUM = process.env.CHROMIUM_LIBRARIES ?? '/usr/lib/chromium';
const SOFTWARE = path.join(CHROMIUM, 'vk_swiftshader_icd.json');

export const hasSoftwareGpu = existsSync(SOFTWARE);

/** The environment of a process that makes sessions on a GPU. */
export const placeEnvironment = (software: boolean): NodeJS.ProcessEnv =>
  software ? { ...process.env, VK_ICD_FILENAMES: SOFTWARE, LD_LIBRARY_PATH: CHROMIUM } : process.env;

export interface PlacedModel extends Placement {
  readonly model: Model;
  /** Names of nodes that compute with activations. */
  readonly onActivations: ReadonlySet<string>;
}

/** A model with taps and edits as the GPU gets it, or, for comparison, as the CPU does. */
export type Form = 'for the GPU' | 'as for the CPU';

/**
 * Where ONNX Runtime puts the nodes of a checkpoint with taps and edits on a GPU.
 * @param software on Chromium's GPU in software
 * @param queryBlocks with attention in blocks of queries, as for long prompts
 * @throws Error with the end of the log when no session could be made
 */
export async function placementOf(
  checkpoint: string,
  form: Form,
  software: boolean,
  queryBlocks = false,
): Promise<PlacedModel> {
  const folder = await NodeFolder.open(checkpoint);
  const scratch = mkdtempSync(path.join(tmpdir(), 'placement-'));
  try {
    const { model, anatomy } = await readCheckpoint('placement', folder, await chooseModelFile(folder));
    const instrumented = instrument(model, anatomy, { queryBlocks }).model;
    const written =
      form === 'for the GPU' ? forGpu(instrumented) : { model: instrumented, names: sines(instrumented) };
    const graph = path.join(scratch, 'model.onnx');
    const placed = allNamed(written.model);
    writeFileSync(graph, writeModel(placed));
    const { status, stderr } = spawnSync(
      process.execPath,
      [
        fileURLToPath(new URL('../../tools/placement/place.mjs', import.meta.url)),
        JSON.stringify({ graph, folder: folder.root, onCpu: written.names }),
      ],
      {
        encoding: 'utf8',
        maxBuffer: 1 << 30,
        env: placeEnvironment(software),
      },
    );
    if (status !== 0) throw new Error(`There is no session on a GPU: ${stderr.slice(-400)}`);
    return { ...readPlacement(stderr), model: placed, onActivations: nodesOnActivations(placed) };
  } finally {
    rmSync(scratch, { recursive: true });
    await folder.close();
  }
}

/** Nodes without a name get one, so that the log says which is meant. */
function allNamed(model: Model): Model {
  let count = 0;
  const named = (node: Node): Node => (node.name === '' ? { ...node, name: `unnamed ${count++}` } : node);
  return { ...model, graph: mapNodes(model.graph, (node) => [named(node)])! };
}

/** Sines and cosines by the names they have: what is left to the CPU in any form. */
const sines = (model: Model): string[] =>
  model.graph.nodes
    .filter(({ opType, name }) => /^(Sin|Cos)$/.test(opType) && name !== '')
    .map(({ name }) => name);
