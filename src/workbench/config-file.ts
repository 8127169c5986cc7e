import type { CheckpointFiles } from '../onnx/source.ts';

/** Configuration files are small; what comes behind this is not read. */
const MOST_BYTES = 1 << 20;

/** A JSON file of the checkpoint's folder as plain data; undefined when there is none, or it is damaged. */
export async function readConfig(
  files: CheckpointFiles,
  name: string,
): Promise<Readonly<Record<string, unknown>> | undefined> {
  if (!(await files.list()).includes(name)) return undefined;
  const source = await files.open(name);
  const text = new TextDecoder().decode(await source.read(0, Math.min(source.size, MOST_BYTES)));
  try {
    const config: unknown = JSON.parse(text);
    return typeof config === 'object' && config !== null && !Array.isArray(config)
      ? (config as Record<string, unknown>)
      : undefined;
  } catch {
    return undefined; // what it would have said is left to the person
  }
}
