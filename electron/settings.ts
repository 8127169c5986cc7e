import * as v from 'valibot';
import { JsonFile } from './json-file.ts';

const finite = v.pipe(v.number(), v.finite());

const schema = v.object({
  theme: v.fallback(v.picklist(['system', 'light', 'dark']), 'system'),
  /** Linux only: how hard to try for WebGPU. */
  gpu: v.fallback(v.picklist(['default', 'webgpu', 'vulkan']), 'default'),
  window: v.fallback(
    v.optional(
      v.object({
        x: v.optional(finite),
        y: v.optional(finite),
        width: v.pipe(finite, v.minValue(400)),
        height: v.pipe(finite, v.minValue(300)),
        maximized: v.boolean(),
      }),
    ),
    undefined,
  ),
  /** The folder that dialogs begin in. */
  folder: v.fallback(v.optional(v.string()), undefined),
});

export type Settings = v.InferOutput<typeof schema>;
export type GpuChoice = Settings['gpu'];

const DEFAULTS: Settings = { theme: 'system', gpu: 'default', window: undefined, folder: undefined };

/** The app's settings on disk. */
export class SettingsFile {
  private readonly file: JsonFile<Settings>;

  constructor(path: string) {
    this.file = new JsonFile<Settings>(path, schema, DEFAULTS);
  }

  get value(): Settings {
    return this.file.value;
  }

  update(changes: Partial<Settings>): void {
    this.file.set({ ...this.file.value, ...changes });
  }
}
