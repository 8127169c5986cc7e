import * as v from 'valibot';
import { FigureSchema } from './figure-schema.ts';
import { FigureContextSchema, fileId, MeasuredErrorSchema, SettingsSchema } from './schema-parts.ts';
import { TableSchema } from './table-schema.ts';

/**
 * The report document: what report.json holds, and the one source of every other rendering.
 *
 * Adding an optional key leaves the version as it is (older programs ignore keys they do not know); any other change raises it and adds a
 * step to `migrations` in read.ts.
 */
export const REPORT_SCHEMA = 'headscope-report';
export const REPORT_VERSION = 1;

const sha256 = v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/, 'a SHA-256 is 64 lower-case hexadecimal digits'));
const count = v.pipe(v.number(), v.safeInteger(), v.minValue(0));

const CheckpointSchema = v.object({
  name: v.string(),
  /** Every file that the results depend on, external data included. */
  files: v.array(v.object({ name: v.string(), bytes: count, sha256 })),
  /** One hash over all files: two reports with the same value come from the same weights and tokenizer. */
  sha256,
});

const ProvenanceSchema = v.object({
  checkpoint: CheckpointSchema,
  /** What ran it: "CPU, onnxruntime-node 1.30.0, 2 threads". */
  device: v.string(),
  dtype: v.string(),
  opset: v.optional(count),
  measuredError: v.optional(MeasuredErrorSchema),
  seed: v.optional(v.pipe(v.number(), v.safeInteger())),
});

const PromptSchema = v.object({
  text: v.string(),
  tokens: v.optional(v.array(v.string())),
  answer: v.optional(v.string()),
  distractor: v.optional(v.string()),
  /** The paired negative prompt. */
  corrupt: v.optional(v.string()),
});

export const SectionSchema = v.object({
  id: fileId,
  title: v.string(),
  /** Plain text; an empty line starts a paragraph. What a reader should conclude. */
  summary: v.string(),
  /** The user's own words. */
  note: v.optional(v.string()),
  prompts: v.optional(v.array(PromptSchema)),
  /** What differs from the document for every figure of this section. */
  context: v.optional(FigureContextSchema),
  figures: v.array(FigureSchema),
  tables: v.array(TableSchema),
  warnings: v.array(v.string()),
});

/** An array of arrays.npz, under its TransformerLens hook name. */
const ArrayEntrySchema = v.object({
  name: v.string(),
  dtype: v.string(),
  dims: v.array(count),
  /** What the axes are: "[batch, head, query, key]". */
  meaning: v.optional(v.string()),
});

/** The names that files of the report are made from; two figures must not write the same file. */
function duplicateName(report: {
  sections: readonly v.InferOutput<typeof SectionSchema>[];
}): string | undefined {
  const seen = new Set<string>();
  for (const section of report.sections) {
    const names = [
      `section ${section.id}`,
      ...section.figures.map((figure) => `figure ${section.id}-${figure.id}`),
      ...section.tables.map((table) => `table ${section.id}-${table.id}`),
    ];
    for (const name of names) {
      if (seen.has(name)) return name;
      seen.add(name);
    }
  }
  return undefined;
}

export const ReportSchema = v.pipe(
  v.object({
    schema: v.literal(REPORT_SCHEMA),
    version: v.literal(REPORT_VERSION),
    title: v.string(),
    /** When it was made, ISO 8601 in UTC: 2026-11-22T12:00:00Z. */
    created: v.pipe(
      v.string(),
      v.regex(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$/, 'a UTC time like 2026-11-22T12:00:00Z'),
    ),
    program: v.object({ name: v.string(), version: v.string() }),
    provenance: ProvenanceSchema,
    settings: SettingsSchema,
    sections: v.array(SectionSchema),
    arrays: v.optional(v.array(ArrayEntrySchema)),
  }),
  v.check(
    (report) => duplicateName(report) === undefined,
    ({ input }) => `${duplicateName(input)} occurs twice; every figure and table needs a name of its own`,
  ),
);

export type ReportDocument = v.InferOutput<typeof ReportSchema>;
export type Section = v.InferOutput<typeof SectionSchema>;
export type Provenance = v.InferOutput<typeof ProvenanceSchema>;
export type Prompt = v.InferOutput<typeof PromptSchema>;
export type ArrayEntry = v.InferOutput<typeof ArrayEntrySchema>;
