import * as v from 'valibot';
import { FigureSchema } from '../../report/figure-schema.ts';
import { FigureContextSchema } from '../../report/schema-parts.ts';
import { TableSchema } from '../../report/table-schema.ts';

export const SESSION_SCHEMA = 'headscope-session';
export const SESSION_VERSION = 1;

const index = v.pipe(v.number(), v.safeInteger(), v.minValue(0));
const finite = v.pipe(v.number(), v.finite());
const HeadSchema = v.object({ layer: index, head: index });
const span = v.tuple([index, index]);
const DeviceSchema = v.picklist(['webgpu', 'cpu', 'wasm']);

/** A prompt of the prompt panel. A checkpoint without tokenizer takes token ids as text: "0 17 4". */
const PromptSchema = v.object({
  id: v.string(),
  text: v.string(),
  /** What a person calls it: "clean", "corrupt". */
  label: v.string(),
  /** Right and wrong next tokens, one token each. */
  answers: v.array(v.string()),
  distractors: v.array(v.string()),
  /** Token span [start, end) that VAR moves attention into. */
  focus: v.optional(span),
  /** What an encoder reads beside the text. */
  source: v.optional(v.string()),
  /** Pictures and arrays of this prompt alone, by the input they are for: ids of `inputs.arrays`. */
  inputs: v.optional(v.record(v.string(), v.string())),
});

/** What is damaged in it is found out where it is read. */
const base64 = v.string();
const dims = v.array(index);

/** A picture or array that a person gave for an input nobody can guess. */
const GivenSchema = v.object({
  /** SHA-256 of what it is. */
  id: v.string(),
  /** The name of its file. */
  file: v.string(),
  content: v.variant('kind', [
    /** [height, width, 3] as bytes, of the size that the model reads. */
    v.object({ kind: v.literal('picture'), width: index, height: index, rgb: base64 }),
    /** Row-major, little-endian. */
    v.object({ kind: v.literal('array'), type: v.string(), dims, bytes: base64 }),
    /** Too large to keep: its file is asked for again. */
    v.object({ kind: v.literal('elsewhere'), type: v.string(), dims }),
  ]),
});

const InputsSchema = v.object({
  arrays: v.array(GivenSchema),
  /** What prompts bring that bring nothing of their own: by input, ids of `arrays`. */
  given: v.record(v.string(), v.string()),
  /** Whether the person was asked. */
  asked: v.boolean(),
});

const PromptItemSchema = v.object({
  prompt: v.string(),
  answer: v.optional(v.union([v.string(), v.array(v.string())])),
  answerIds: v.optional(v.array(index)),
  distractor: v.optional(v.union([v.string(), v.array(v.string())])),
  distractorIds: v.optional(v.array(index)),
  corrupt: v.optional(v.string()),
  choices: v.optional(v.array(v.string())),
  focus: v.optional(span),
  label: v.optional(v.picklist(['positive', 'negative'])),
  metric: v.optional(v.picklist(['logit-difference', 'probability-difference'])),
});

const PromptSetSchema = v.object({
  id: v.string(),
  name: v.string(),
  /** "tasks/ioi.jsonl", "generated, seed 0", "own". */
  origin: v.string(),
  items: v.array(PromptItemSchema),
});

/** A change to the model's heads, as a person makes it. */
const EditSpecSchema = v.variant('kind', [
  v.object({
    kind: v.literal('ablate'),
    head: HeadSchema,
    mode: v.picklist(['zero', 'mean']),
    positions: v.optional(v.array(index)),
  }),
  v.object({
    kind: v.literal('scale'),
    head: HeadSchema,
    factor: finite,
    positions: v.optional(v.array(index)),
  }),
  v.object({
    kind: v.literal('patch'),
    head: HeadSchema,
    /** Prompt that the head's z comes from. */ from: v.string(),
    positions: v.optional(v.array(index)),
  }),
  v.object({
    kind: v.literal('act'),
    heads: v.array(HeadSchema),
    alpha: v.optional(finite),
    absolute: v.optional(finite),
    beta: finite,
  }),
  v.object({
    kind: v.literal('var'),
    heads: v.array(HeadSchema),
    dims: v.array(index),
    tau: finite,
    rho: finite,
    summ: finite,
    p: finite,
    /** The prompt's own focus span when absent. */
    focus: v.optional(span),
  }),
]);

const EditSchema = v.object({ id: v.string(), on: v.boolean(), spec: EditSpecSchema });

/** A result that took work, with what it was made from. `data` is the analysis' own document. */
const ResultSchema = v.object({
  id: v.string(),
  kind: v.string(),
  title: v.string(),
  made: v.string(),
  settings: v.record(v.string(), v.unknown()),
  data: v.unknown(),
});

const ReportItemSchema = v.object({
  id: v.string(),
  /** Heading in the report. */
  title: v.string(),
  note: v.string(),
  content: v.variant('type', [
    v.object({ type: v.literal('figure'), figure: FigureSchema }),
    v.object({ type: v.literal('table'), table: TableSchema }),
    v.object({ type: v.literal('text'), text: v.string() }),
  ]),
  /** What it was made with: prompt, device, settings, measured error. */
  context: v.optional(FigureContextSchema),
});

const CheckpointSchema = v.object({
  name: v.string(),
  file: v.string(),
  /** How the shell finds it again; absent for files dropped into a browser. */
  reference: v.optional(v.string()),
  /** Every file of the model with its own hash, and one hash over all; absent until they were hashed. */
  hashes: v.optional(
    v.object({
      files: v.array(v.object({ name: v.string(), bytes: index, sha256: v.string() })),
      sha256: v.string(),
    }),
  ),
});

const ViewSchema = v.object({
  page: v.string(),
  metric: v.string(),
  head: v.nullable(HeadSchema),
  /** State of single views, by view name; what a view does not know it ignores. */
  views: v.record(v.string(), v.unknown()),
});

export const SessionSchema = v.object({
  schema: v.literal(SESSION_SCHEMA),
  version: v.literal(SESSION_VERSION),
  checkpoint: v.nullable(CheckpointSchema),
  device: v.nullable(DeviceSchema),
  prompts: v.array(PromptSchema),
  inputs: v.optional(InputsSchema, () => ({ arrays: [], given: {}, asked: false })),
  active: v.nullable(v.string()),
  /** A second prompt to compare with. */
  compare: v.nullable(v.string()),
  sets: v.array(PromptSetSchema),
  edits: v.array(EditSchema),
  results: v.array(ResultSchema),
  report: v.object({ title: v.string(), items: v.array(ReportItemSchema) }),
  view: ViewSchema,
});

export type SessionDocument = v.InferOutput<typeof SessionSchema>;
export type PromptEntry = v.InferOutput<typeof PromptSchema>;
export type GivenEntry = v.InferOutput<typeof GivenSchema>;
export type PromptSetEntry = v.InferOutput<typeof PromptSetSchema>;
export type EditEntry = v.InferOutput<typeof EditSchema>;
export type EditSpec = v.InferOutput<typeof EditSpecSchema>;
export type ResultEntry = v.InferOutput<typeof ResultSchema>;
export type ReportItem = v.InferOutput<typeof ReportItemSchema>;
export type SessionDevice = v.InferOutput<typeof DeviceSchema>;

/** A session in which nothing has been done yet. */
export function emptySession(): SessionDocument {
  return {
    schema: SESSION_SCHEMA,
    version: SESSION_VERSION,
    checkpoint: null,
    device: null,
    prompts: [],
    inputs: { arrays: [], given: {}, asked: false },
    active: null,
    compare: null,
    sets: [],
    edits: [],
    results: [],
    report: { title: '', items: [] },
    view: { page: 'heads', metric: 'entropy', head: null, views: {} },
  };
}
