import type { ElementType, TensorBytes } from '../../src/runtime/device.ts';
import type { KeptArray, PromptInputs } from '../../src/workbench/engine/commands/inputs.ts';
import type { WantedInput } from '../../src/workbench/wanted-inputs.ts';
import type { GivenEntry, PromptEntry, SessionDocument } from '../../src/workbench/session/schema.ts';
import { fromBase64, toBase64 } from '../../src/workbench/session/base64.ts';
import type { EngineClient } from '../engine/client.ts';
import type { WorkbenchState } from './workbench.svelte.ts';

/** Larger arrays are not kept in the session; their file is asked for again. */
const MOST_KEPT = 4 * 2 ** 20;

/** What a session keeps of something that was given. */
export function entryOf(id: string, file: string, kept: KeptArray): GivenEntry {
  if (kept.kind === 'picture') {
    const { width, height, rgb } = kept.pixels;
    return { id, file, content: { kind: 'picture', width, height, rgb: toBase64(rgb) } };
  }
  const { type, dims, data } = kept.tensor;
  const bytes = new Uint8Array(data.buffer as ArrayBuffer, data.byteOffset, data.byteLength);
  return {
    id,
    file,
    content:
      bytes.length > MOST_KEPT
        ? { kind: 'elsewhere', type, dims: [...dims] }
        : { kind: 'array', type, dims: [...dims], bytes: toBase64(bytes) },
  };
}

const KINDS: Readonly<Record<string, (buffer: ArrayBuffer) => TensorBytes>> = {
  float32: (buffer) => new Float32Array(buffer),
  float64: (buffer) => new Float64Array(buffer),
  int64: (buffer) => new BigInt64Array(buffer),
  int32: (buffer) => new Int32Array(buffer),
  uint8: (buffer) => new Uint8Array(buffer),
  bool: (buffer) => new Uint8Array(buffer),
};

/** The array of a session's entry; undefined when it is not in the session, or of a type no model reads. */
export function keptOf({ content }: GivenEntry): KeptArray | undefined {
  if (content.kind === 'elsewhere') return undefined;
  if (content.kind === 'picture') {
    const { width, height, rgb } = content;
    return { kind: 'picture', pixels: { width, height, rgb: fromBase64(rgb) } };
  }
  const { type, dims, bytes } = content;
  if (!Object.hasOwn(KINDS, type)) return undefined;
  const data = KINDS[type](fromBase64(bytes).buffer);
  return { kind: 'array', tensor: { type: type as ElementType, dims, data } };
}

/** @returns false when it is not in the session @throws when it is damaged */
async function send(engine: EngineClient, entry: GivenEntry): Promise<boolean> {
  const kept = keptOf(entry);
  if (kept) await engine.call('keepArray', { id: entry.id, kept });
  return kept !== undefined;
}

/**
 * Hands what a session keeps to the engine.
 * @returns the names of the files that are not there: too large to keep, or damaged
 */
export async function sendKept(engine: EngineClient, { inputs }: SessionDocument): Promise<string[]> {
  const missing: string[] = [];
  for (const entry of inputs.arrays) {
    const sent = await send(engine, entry).catch(() => false);
    if (!sent) missing.push(entry.file);
  }
  return missing;
}

/** What every prompt brings that brings nothing of its own. */
export const sharedInputs = ({ inputs }: SessionDocument): Readonly<Record<string, string>> =>
  Object.fromEntries(Object.entries(inputs.given).filter(([, id]) => isThere(inputs.arrays, id)));

const isThere = (arrays: readonly GivenEntry[], id: string): boolean =>
  arrays.some((entry) => entry.id === id && entry.content.kind !== 'elsewhere');

/** What a prompt brings besides its text; undefined when that is nothing. */
export function inputsOf(
  { session, checkpoint }: Pick<WorkbenchState, 'session' | 'checkpoint'>,
  prompt: Pick<PromptEntry, 'source' | 'inputs'>,
): PromptInputs | undefined {
  const wanted = checkpoint?.wanted;
  if (!wanted) return undefined;
  const known = new Set(wanted.inputs.map(({ name }) => name));
  const all = { ...sharedInputs(session), ...prompt.inputs };
  const arrays = Object.fromEntries(Object.entries(all).filter(([name]) => known.has(name)));
  const source = wanted.source ? (prompt.source ?? '') : undefined;
  if (source === undefined && Object.keys(arrays).length === 0) return undefined;
  return { ...(source !== undefined && { source }), arrays };
}

/** What was given for an input: by the prompt itself, or for all. */
export function entryFor(
  session: SessionDocument,
  prompt: Pick<PromptEntry, 'inputs'> | undefined,
  name: string,
): GivenEntry | undefined {
  const id = prompt?.inputs?.[name] ?? session.inputs.given[name];
  return session.inputs.arrays.find((entry) => entry.id === id);
}

/** Inputs without which the model cannot run, and that nobody has given. */
export const missingInputs = (session: SessionDocument, wanted: readonly WantedInput[]): WantedInput[] =>
  wanted.filter(({ name, optional }) => !optional && sharedInputs(session)[name] === undefined);
