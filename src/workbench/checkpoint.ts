import type { Anatomy } from '../anatomy/anatomy.ts';
import { convolvedSizes } from '../anatomy/convolved-inputs.ts';
import { GraphIndex } from '../anatomy/graph-index.ts';
import { writeImplicitPatterns } from '../anatomy/implicit-patterns.ts';
import { joinSoftmax } from '../anatomy/join-softmax.ts';
import { nodeName } from '../anatomy/operators.ts';
import { readAnatomy } from '../anatomy/read-anatomy.ts';
import { unfuse } from '../anatomy/unfuse/unfuse.ts';
import { HeadscopeError } from '../errors.ts';
import { checkModel } from '../onnx/check.ts';
import { resolveExternalData } from '../onnx/external.ts';
import { generatingDecoder } from '../onnx/generation.ts';
import { hoistLargeConstants } from '../onnx/hoist.ts';
import { inlineFunctions } from '../onnx/inline-functions.ts';
import type { Model, Node } from '../onnx/model.ts';
import { raiseOpset } from '../onnx/raise-opset.ts';
import { readModel } from '../onnx/read.ts';
import type { ByteSource, CheckpointFiles } from '../onnx/source.ts';

/** A checkpoint read from its folder: graph and anatomy, no weights, no runtime. */
export interface Checkpoint {
  /** What a person calls it: the folder's or file's name. */
  readonly name: string;
  /** The .onnx file, by its name in the folder. */
  readonly file: string;
  readonly files: CheckpointFiles;
  /** Every file that holds bytes of the model, the .onnx file first. */
  readonly sources: ReadonlyMap<string, ByteSource>;
  /** The model as it is in the file. */
  readonly original: Model;
  /** The same with fused operators written in their parts; what the anatomy speaks of, and what is instrumented. */
  readonly model: Model;
  readonly anatomy: Anatomy;
  /** Numbers stored in the model's weights. */
  readonly parameters: number;
}

/** Names that exporters give the main graph, best first. */
const USUAL = [
  'model.onnx',
  'decoder_model.onnx',
  'onnx/model.onnx',
  'onnx/decoder_model.onnx',
  'decoder_model_merged.onnx',
  'onnx/decoder_model_merged.onnx',
  'encoder_model.onnx',
  'onnx/encoder_model.onnx',
];

/**
 * Chooses the graph to open in a folder.
 * @throws HeadscopeError `no-model` when there is none, `many-models` when nothing says which
 */
export async function chooseModelFile(files: CheckpointFiles): Promise<string> {
  const names = (await files.list()).filter((name) => name.toLowerCase().endsWith('.onnx'));
  const usual = USUAL.find((name) => names.includes(name));
  if (usual) return usual;
  if (names.length === 1) return names[0];
  if (names.length === 0)
    throw new HeadscopeError(
      'no-model',
      'The folder holds no .onnx file. Choose the folder of an exported model, or the .onnx file itself.',
    );
  throw new HeadscopeError(
    'many-models',
    `The folder holds several models (${names.slice(0, 5).join(', ')}${names.length > 5 ? ', …' : ''}). Choose one of the files.`,
  );
}

/** The shapes of inputs that the file leaves open, by name: what will be fed to a model whose sizes nothing else tells. */
export type InputShapes = Readonly<Record<string, readonly number[]>>;

/** The model with the sizes of its pictures or sounds set. The first axis, of prompts, stays open. */
function withShapes(model: Model, shapes: InputShapes): Model {
  const index = new GraphIndex(model);
  const inputs = model.graph.inputs.map((input) => {
    const shape = Object.hasOwn(shapes, input.name) ? shapes[input.name] : undefined;
    const known = shape && convolvedSizes(index, input);
    if (!shape || !known?.guessed) return input;
    const given = shape.length === known.sizes.length - 1 ? [1, ...shape] : shape;
    return {
      ...input,
      dims: input.dims?.map((dim, i) => (i > 0 && typeof dim !== 'number' ? given[i] : dim)),
    };
  });
  return { ...model, graph: { ...model.graph, inputs } };
}

/** The model with its own functions written where they are called; what was not looked at as long as it was in a function is checked. */
function withoutCalls(model: Model): Model {
  const inlined = inlineFunctions(model);
  if (inlined === model) return model;
  hoistLargeConstants(inlined);
  checkModel(inlined);
  return inlined;
}

/** Says that the file does more than what was opened of it. */
const ofDecoder = (anatomy: Anatomy, node: Node): Anatomy => ({
  ...anatomy,
  unrecognised: [
    {
      what: `the operator ${node.opType}, which writes texts`,
      where: nodeName(node),
      why: 'the decoder in it is opened, as a model of its own; how it chooses what to write is not',
    },
    ...anatomy.unrecognised,
  ],
});

/**
 * Reads a checkpoint's graph, checks it and finds its heads. Reads a few hundred kB, whatever the size of the weights.
 *
 * @param shapes of inputs that the file leaves open
 * @throws HeadscopeError `bad-onnx`, `bad-graph`, `bad-external-data`, `outside-folder`, `missing-file`
 */
export async function readCheckpoint(
  name: string,
  files: CheckpointFiles,
  file: string,
  shapes: InputShapes = {},
): Promise<Checkpoint> {
  const source = await files.open(file);
  const read = await readModel(source);
  hoistLargeConstants(read);
  checkModel(read);
  const generation = generatingDecoder(read);
  const decoder = generation?.model ?? read;
  const original = Object.keys(shapes).length ? withShapes(decoder, shapes) : decoder;
  const external = await resolveExternalData(original, files);
  const sources = new Map([[source.name, source], ...external]);
  const { model: parts, nodes } = unfuse(raiseOpset(withoutCalls(original)));
  const { model, ...implicit } = writeImplicitPatterns(joinSoftmax(parts));
  const found = await readAnatomy(model, sources, nodes, implicit);
  const anatomy = generation ? ofDecoder(found, generation.node) : found;
  let parameters = 0;
  for (const tensor of original.graph.initializers.values())
    parameters += tensor.dims.reduce((product, dim) => product * dim, 1);
  return { name, file: source.name, files, sources, original, model, anatomy, parameters };
}
