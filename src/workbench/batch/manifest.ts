import { createHash } from 'node:crypto';
import path from 'node:path';
import { HeadscopeError } from '../../errors.ts';
import { quoted } from '../../onnx/quoted.ts';

/** What may differ from item to item; what is absent comes from the command line. */
export interface ItemSettings {
  readonly seed?: number;
  /** Prompts are written with the checkpoint's chat template. */
  readonly chat?: boolean;
  /** The text that an encoder reads. */
  readonly source?: string;
}

/** One report to be made: a checkpoint, and a prompt set or the checkpoint's own tasks. */
export interface BatchItem extends ItemSettings {
  /** What a person calls it: "gpt2 × ioi". */
  readonly name: string;
  /** Name of its result file, without extension; no two items have the same. */
  readonly id: string;
  /** Absolute path of a checkpoint's folder or .onnx file. */
  readonly checkpoint: string;
  /** Absolute path of a prompt set. */
  readonly prompts?: string;
}

/** Items that a manifest may hold. */
const MOST_ITEMS = 100_000;

type Fields = Record<string, unknown>;

/** An item as it is written, with the place it is written at. */
interface Written extends ItemSettings {
  readonly where: string;
  readonly name?: string;
  readonly checkpoint: string;
  readonly prompts?: string;
}

/**
 * Reads a manifest: JSON with `checkpoints` and `prompts`, each of which goes with each, and `items` beside them; a JSON list of items; or JSON
 * Lines with an item a line.
 *
 * @param file its path: paths in it are relative to its folder, and `.jsonl` says that it holds an item a line
 * @throws HeadscopeError `bad-manifest`, which names the place
 */
export function readManifest(text: string, file: string): BatchItem[] {
  const manifest = new Manifest(file);
  const plain = text.replace(/^\uFEFF/, '');
  const written = /\.jsonl$/i.test(file) ? manifest.lines(plain) : manifest.whole(plain);
  if (written.length === 0) throw manifest.bad('names no item', 'List checkpoints in it');
  if (written.length > MOST_ITEMS)
    throw manifest.bad(`names ${written.length} items`, `Split it: at most ${MOST_ITEMS} are allowed`);
  return manifest.items(written);
}

class Manifest {
  private readonly file: string;

  constructor(file: string) {
    this.file = file;
  }

  bad(what: string, todo: string): HeadscopeError {
    return new HeadscopeError('bad-manifest', `The manifest ${this.file} ${what}. ${todo}.`);
  }

  /** An error at a place of the manifest. */
  private badAt(where: string, what: string): HeadscopeError {
    return new HeadscopeError('bad-manifest', `The manifest ${this.file}, ${where}: ${what}.`);
  }

  lines(text: string): Written[] {
    return text.split(/\r\n|\n|\r/).flatMap((line, index) => {
      if (line.trim() === '') return [];
      const where = `line ${index + 1}`;
      return [this.item(this.json(line, where), where)];
    });
  }

  whole(text: string): Written[] {
    const value = this.json(text);
    if (Array.isArray(value)) return value.map((each, i) => this.item(each, `item ${i + 1}`));
    const where = 'at the top';
    const { checkpoints, prompts, items, ...settings } = this.fields(value, where, [
      'checkpoints',
      'prompts',
      'items',
      'seed',
      'chat',
      'source',
    ]);
    const shared = this.settings(settings, where);
    const sets = this.named(prompts, 'prompts');
    const product = this.named(checkpoints, 'checkpoints').flatMap((checkpoint) =>
      (sets.length ? sets : [undefined]).map((set) => ({
        ...shared,
        ...checkpoint.settings,
        ...set?.settings,
        where: `${checkpoint.where}${set ? ` with ${set.where}` : ''}`,
        name: this.nameOf(checkpoint, set),
        checkpoint: checkpoint.path,
        prompts: set?.path,
      })),
    );
    const single = this.list(items, 'items').map((each, i) => ({
      ...shared,
      ...this.item(each, `items ${i + 1}`),
    }));
    return [...product, ...single];
  }

  /** Names and checks what is written; no two items may be the same or have the same name. */
  items(written: readonly Written[]): BatchItem[] {
    const ids = new Map<string, string>();
    const names = new Map<string, string>();
    return written.map(({ where, name: given, checkpoint, prompts, ...settings }) => {
      const folder = path.dirname(path.resolve(this.file));
      const relative = (place: string): string =>
        path.relative(folder, path.resolve(folder, place)).split(path.sep).join('/');
      const { seed, chat, source } = settings;
      const identity = [
        relative(checkpoint),
        prompts === undefined ? null : relative(prompts),
        seed,
        chat,
        source,
      ];
      const name =
        given ?? this.nameOf({ path: checkpoint }, prompts === undefined ? undefined : { path: prompts });
      const id = `${slug(name)}-${createHash('sha256').update(JSON.stringify(identity)).digest('hex').slice(0, 8)}`;
      const content = JSON.stringify(identity);
      const same = ids.get(content);
      if (same !== undefined)
        throw this.badAt(where, `the same checkpoint, prompts and settings as ${same}; remove one of them`);
      const called = given === undefined ? undefined : names.get(given);
      if (called !== undefined)
        throw this.badAt(where, `the name ${quoted(name)} is taken by ${called}; give another "name"`);
      ids.set(content, where);
      if (given !== undefined) names.set(given, where);
      return {
        ...settings,
        name,
        id,
        checkpoint: path.resolve(folder, checkpoint),
        ...(prompts === undefined ? {} : { prompts: path.resolve(folder, prompts) }),
      };
    });
  }

  private nameOf(checkpoint: { path: string; name?: string }, set?: { path: string; name?: string }): string {
    const model = checkpoint.name ?? checkpointName(checkpoint.path);
    return set ? `${model} × ${set.name ?? path.basename(set.path).replace(/\.jsonl?$/i, '')}` : model;
  }

  private json(text: string, where?: string): unknown {
    try {
      return JSON.parse(text);
    } catch (error) {
      const why = `not JSON (${(error as Error).message.split('\n')[0]})`;
      throw where === undefined
        ? this.bad(`is ${why}`, 'Correct it, or name it .jsonl when it holds an item a line')
        : this.badAt(
            where,
            `${why}; a line is one object such as {"checkpoint": "gpt2", "prompts": "ioi.jsonl"}`,
          );
    }
  }

  private fields(value: unknown, where: string, known: readonly string[]): Fields {
    if (typeof value !== 'object' || value === null || Array.isArray(value))
      throw this.badAt(
        where,
        'an object is expected, such as {"checkpoint": "gpt2", "prompts": "ioi.jsonl"}',
      );
    const unknown = Object.keys(value).find((key) => !known.includes(key));
    if (unknown !== undefined)
      throw this.badAt(where, `unknown field ${quoted(unknown)}; the fields are ${known.join(', ')}`);
    return value as Fields;
  }

  private item(value: unknown, where: string): Written {
    const known = ['name', 'checkpoint', 'prompts', 'seed', 'chat', 'source'];
    const { name, checkpoint, prompts, ...settings } = this.fields(value, where, known);
    return {
      where,
      checkpoint: this.text(checkpoint, where, 'checkpoint'),
      ...(name === undefined ? {} : { name: this.text(name, where, 'name') }),
      ...(prompts === undefined ? {} : { prompts: this.text(prompts, where, 'prompts') }),
      ...this.settings(settings, where),
    };
  }

  /** A list of paths, or of objects with a path, a name and settings. */
  private named(
    value: unknown,
    field: string,
  ): { where: string; path: string; name?: string; settings: ItemSettings }[] {
    return this.list(value, field).map((each, i) => {
      const where = `${field} ${i + 1}`;
      if (typeof each === 'string') return { where, path: this.text(each, where, 'path'), settings: {} };
      const {
        path: place,
        name,
        ...settings
      } = this.fields(each, where, ['path', 'name', 'seed', 'chat', 'source']);
      return {
        where,
        path: this.text(place, where, 'path'),
        ...(name === undefined ? {} : { name: this.text(name, where, 'name') }),
        settings: this.settings(settings, where),
      };
    });
  }

  private list(value: unknown, field: string): unknown[] {
    if (value === undefined) return [];
    if (!Array.isArray(value)) throw this.badAt('at the top', `"${field}" must be a list`);
    return value as unknown[];
  }

  private text(value: unknown, where: string, field: string): string {
    if (typeof value !== 'string' || value.trim() === '' || value.includes('\0'))
      throw this.badAt(where, `"${field}" must be a text that is not empty`);
    return value;
  }

  private settings({ seed, chat, source }: Fields, where: string): ItemSettings {
    if (
      seed !== undefined &&
      !(Number.isInteger(seed) && (seed as number) >= 0 && (seed as number) < 2 ** 31)
    )
      throw this.badAt(where, '"seed" must be a whole number from 0 to 2147483647');
    if (chat !== undefined && typeof chat !== 'boolean')
      throw this.badAt(where, '"chat" must be true or false');
    return {
      ...(seed === undefined ? {} : { seed: seed as number }),
      ...(chat === undefined ? {} : { chat }),
      ...(source === undefined ? {} : { source: this.text(source, where, 'source') }),
    };
  }
}

/** A folder's name; a file's when that says more than "model". */
function checkpointName(place: string): string {
  const base = path.basename(path.resolve('/', place));
  if (!/\.onnx$/i.test(base)) return base;
  const stem = base.slice(0, -'.onnx'.length);
  const folder = path.basename(path.dirname(path.resolve('/', place)));
  return stem === 'model' && folder !== '' ? folder : stem;
}

/** Characters that every file system takes. */
function slug(name: string): string {
  const safe = name
    .replace(/ × /g, '--')
    .replace(/[^\w.-]+/g, '_')
    .replace(/^[.-]+/, '_');
  return safe.slice(0, 80);
}
