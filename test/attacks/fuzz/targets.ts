import { instrument } from '../../../src/instrument/instrument.ts';
import { checkModel } from '../../../src/onnx/check.ts';
import { readModel } from '../../../src/onnx/read.ts';
import { bytesSource } from '../../../src/onnx/source.ts';
import { writeModel } from '../../../src/onnx/write.ts';
import type { Random } from '../../../src/random.ts';
import { readCheckpoint } from '../../../src/workbench/checkpoint.ts';
import { NodeFolder } from '../../../src/workbench/node-folder.ts';
import { useTokenizer } from '../probe/look.ts';
import { mutateBytes } from './mutate-bytes.ts';
import { mutateJson } from './mutate-json.ts';
import { mutateLines } from './mutate-lines.ts';
import { mutateWire } from './mutate-wire.ts';
import { graphs, tokenizers, type Files } from './samples.ts';

export interface Target {
  samples(repository: string): Promise<Files[]>;
  /** Opens a folder as far as the target goes; what is not an error that names its reason is a failure. */
  open(folder: NodeFolder): Promise<unknown>;
}

const read = async (folder: NodeFolder): ReturnType<typeof readModel> =>
  readModel(await folder.open('model.onnx'));

export const TARGETS: Readonly<Record<string, Target>> = {
  reader: { samples: graphs, open: read },
  checker: { samples: graphs, open: async (folder) => checkModel(await read(folder)) },
  anatomy: {
    samples: graphs,
    async open(folder) {
      const { original, model, anatomy } = await readCheckpoint('fuzz', folder, 'model.onnx');
      const edited = anatomy.blocks.length ? instrument(model, anatomy).model : model;
      for (const one of [original, edited]) {
        const again = await readModel(bytesSource('model.onnx', writeModel(one)));
        if (again.graph.nodes.length !== one.graph.nodes.length)
          throw new Error('what was written reads differently');
      }
    },
  },
  tokenizer: { samples: tokenizers, open: useTokenizer },
};

/** A folder with one of its files changed, by what kind of file it is. */
export function mutate(files: Files, random: Random): Files {
  const names = Object.keys(files);
  const name = random.pick(names);
  const bytes = files[name];
  return { ...files, [name]: changed(name, bytes, random) };
}

function changed(name: string, bytes: Uint8Array, random: Random): Uint8Array {
  if (random.int(5) === 0) return mutateBytes(bytes, random);
  try {
    if (name.endsWith('.json')) return mutateJson(bytes, random);
    if (name.endsWith('.onnx')) return mutateWire(bytes, 'Model', random);
    if (name.endsWith('.model')) return mutateWire(bytes, 'Pieces', random);
    return mutateLines(bytes, random);
  } catch {
    // what was changed before may not be well-formed any more
    return mutateBytes(bytes, random);
  }
}
