import { HeadscopeError } from '../../src/errors.ts';
import type { CheckpointSource, Sample } from '../../src/workbench/engine/source.ts';

/** Reads one of the shell's own JSON documents. */
export async function fetchDocument<T>(url: string): Promise<T> {
  const response = await fetch(url);
  if (!response.ok)
    throw new HeadscopeError(
      'engine-stopped',
      `Headscope itself does not answer (${url}: ${response.status}). Start it again.`,
      1,
    );
  return (await response.json()) as T;
}

/** Remembers by which reference a session file can name an opened checkpoint. */
export class References {
  private readonly byBase = new Map<string, string>();

  remember(source: CheckpointSource, reference: string): CheckpointSource {
    if (source.kind === 'served') this.byBase.set(`${source.base}${source.file ?? ''}`, reference);
    return source;
  }

  of(source: CheckpointSource): string | undefined {
    return source.kind === 'served' ? this.byBase.get(`${source.base}${source.file ?? ''}`) : undefined;
  }
}

const SAMPLE = 'sample:';

/** The bundled checkpoints; their references are the same on every machine. */
export class SampleShelf {
  private readonly references: References;
  private loaded?: Promise<readonly Sample[]>;

  constructor(references: References) {
    this.references = references;
  }

  list(): Promise<readonly Sample[]> {
    this.loaded ??= fetchDocument<readonly Sample[]>('/samples.json').then((samples) => {
      for (const { name, source } of samples) this.references.remember(source, SAMPLE + name);
      return samples;
    });
    return this.loaded;
  }

  /** The sample of a reference; null when it is not in this version, undefined when the reference is no sample's. */
  async find(reference: string): Promise<CheckpointSource | null | undefined> {
    if (!reference.startsWith(SAMPLE)) return undefined;
    const name = reference.slice(SAMPLE.length);
    return (await this.list()).find((sample) => sample.name === name)?.source ?? null;
  }
}
