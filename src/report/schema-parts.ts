import * as v from 'valibot';

/** An id that becomes part of a file name on every system: lower-case letters, digits and hyphens. */
export const fileId = v.pipe(
  v.string(),
  v.regex(/^[a-z0-9][a-z0-9-]{0,59}$/, 'an id is made of lower-case letters, digits and hyphens, at most 60'),
);

/** Beyond this the range of an axis overflows; float32 ends at 3.4e38. */
const LARGEST = 1e150;
const isNumber = (value: unknown): value is number => typeof value === 'number' && Math.abs(value) <= LARGEST;

export const finite = v.custom<number>(isNumber, 'expected a finite number');
export const index = v.pipe(v.number(), v.safeInteger(), v.minValue(0));

/** Where a list of numbers holds something that is neither finite nor null, or -1. */
export function badNumber(values: readonly unknown[]): number {
  return values.findIndex((value) => value !== null && !isNumber(value));
}

/** Says what is wrong with a list of numbers. */
function badList(input: unknown): string {
  if (!Array.isArray(input)) return 'expected a list of numbers';
  const at = badNumber(input);
  return `item ${at} is ${String(input[at])}; a value is a finite number, or null where it is missing`;
}

/** A list of finite numbers or null, checked in one pass because it may be long. */
export const numbers = v.custom<(number | null)[]>(
  (input) => Array.isArray(input) && badNumber(input) < 0,
  ({ input }) => badList(input),
);

/** A list of finite numbers. */
export const finiteNumbers = v.custom<number[]>(
  (input) => Array.isArray(input) && badNumber(input) < 0 && !input.includes(null),
  ({ input }) =>
    Array.isArray(input) && badNumber(input) < 0 ? 'expected a list of numbers without gaps' : badList(input),
);

/** A cell of a table. */
export const cell = v.nullable(v.union([v.string(), finite, v.boolean()]));
export type Cell = v.InferOutput<typeof cell>;

const settingValue = v.union([
  v.string(),
  finite,
  v.boolean(),
  v.null(),
  v.array(v.union([v.string(), finite])),
]);

/** Settings by name, in the order they are shown. */
export const SettingsSchema = v.record(v.string(), settingValue);
export type Settings = v.InferOutput<typeof SettingsSchema>;

/** How far the numbers may be from the unedited model or a reference, measured and not assumed. */
export const MeasuredErrorSchema = v.object({
  /** What was compared with what: "logits, edited graph against the unedited model". */
  what: v.string(),
  maxAbs: v.pipe(finite, v.minValue(0)),
  /** Above this the report says that the numbers are not to be trusted. */
  tolerance: v.optional(v.pipe(finite, v.minValue(0))),
});
export type MeasuredError = v.InferOutput<typeof MeasuredErrorSchema>;

/** What a figure was made with, where that differs from the document. */
export const FigureContextSchema = v.object({
  /** The one prompt. */
  prompt: v.optional(v.string()),
  /** Or what the prompts were, in words: "64 prompt pairs". */
  prompts: v.optional(v.string()),
  device: v.optional(v.string()),
  settings: v.optional(SettingsSchema),
  measuredError: v.optional(MeasuredErrorSchema),
});
export type FigureContext = v.InferOutput<typeof FigureContextSchema>;
