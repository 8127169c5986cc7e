import { closeSync, fsyncSync, openSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import * as v from 'valibot';

/** Replaces a file whole: a crash leaves either the old or the new one. */
export function replaceFile(target: string, text: string): void {
  const temporary = `${target}.tmp`;
  try {
    const file = openSync(temporary, 'w', 0o600);
    try {
      writeFileSync(file, text);
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
    renameSync(temporary, target);
  } catch (error) {
    rmSync(temporary, { force: true }); // on a full disk it would take the last of the space
    throw error;
  }
}

function readText(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}

/** A small document of the app's own, such as its settings. A damaged file is put aside and the defaults are used. */
export class JsonFile<T> {
  private readonly path: string;
  private current: T;

  constructor(path: string, schema: v.GenericSchema<unknown, T>, defaults: T) {
    this.path = path;
    this.current = this.load(schema) ?? defaults;
  }

  get value(): T {
    return this.current;
  }

  /** Keeps and writes a new value. One that cannot be written is kept until the app ends. */
  set(value: T): void {
    this.current = value;
    try {
      replaceFile(this.path, JSON.stringify(value, null, 2));
    } catch (cause) {
      console.error(`${this.path} could not be written: ${(cause as Error).message}`);
    }
  }

  private load(schema: v.GenericSchema<unknown, T>): T | undefined {
    const text = readText(this.path);
    if (text === undefined) return undefined;
    try {
      const parsed = v.safeParse(schema, JSON.parse(text));
      if (parsed.success) return parsed.output;
    } catch {
      // no JSON at all
    }
    try {
      renameSync(this.path, `${this.path}.damaged`);
    } catch (cause) {
      console.error(`${this.path} is damaged and could not be put aside: ${(cause as Error).message}`);
    }
    return undefined;
  }
}
