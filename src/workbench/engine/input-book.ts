import { HeadscopeError } from '../../errors.ts';
import { givenLength, type GivenInputs } from '../../instrument/given.ts';
import type { Runner } from '../../instrument/runner.ts';
import type { Device, Tensor } from '../../runtime/device.ts';
import { encodePrompt, showTokens, type EncodedPrompt, type ShownToken } from '../../text/prompt.ts';
import { pictureSpan, type TokenEmbedder } from '../embed-tokens.ts';
import type { Encoded } from '../encode-source.ts';
import type { OpenCheckpoint } from '../open-checkpoint.ts';
import { patchNames, type PatchGrid } from '../patches.ts';
import { encodeInputs } from '../person-inputs.ts';
import { pictureTensor, type Pixels } from '../picture-settings.ts';
import type { WantedInputs } from '../wanted-inputs.ts';

/** What a prompt brings besides its text: plain data; arrays by the name they are kept under. */
export interface PromptInputs {
  /** The text that an encoder reads. */
  readonly source?: string;
  /** Kept arrays by the input they are for. */
  readonly arrays?: Readonly<Record<string, string>>;
}

/** An array or picture that a person gave, kept under a name. */
export type KeptArray =
  { readonly kind: 'array'; readonly tensor: Tensor } | { readonly kind: 'picture'; readonly pixels: Pixels };

/** A prompt with what it brings, as a view shows it. */
export interface EncodedInputs extends EncodedPrompt {
  /** The tokens that a cross-attention block's keys are; absent when no source was given. */
  readonly source?: readonly ShownToken[];
  /** Where a picture stands among the tokens, [start, end). */
  readonly picture?: readonly [number, number];
}

/** Encoded inputs that are kept: running an encoder costs. */
const KEPT = 24;

/** What the prompts of an open checkpoint bring: encoded once, and the same object for the same inputs, so that prompts share batches. */
export class InputBook {
  /** Of the prompt that is looked at: what rows get that bring nothing. */
  current?: GivenInputs;
  private readonly open: OpenCheckpoint;
  private readonly device: Device;
  private readonly embedder?: TokenEmbedder;
  private readonly wanted: WantedInputs;
  private readonly arrays: ReadonlyMap<string, KeptArray>;
  private readonly encoded = new Map<string, Promise<Encoded & { given: GivenInputs }>>();

  /**
   * @param open with the tokenizer as it is in the files
   * @param arrays kept arrays by name; may grow
   */
  constructor(
    open: OpenCheckpoint,
    device: Device,
    wanted: WantedInputs,
    arrays: ReadonlyMap<string, KeptArray>,
    embedder?: TokenEmbedder,
  ) {
    this.open = open;
    this.device = device;
    this.wanted = wanted;
    this.arrays = arrays;
    this.embedder = embedder;
  }

  /** @throws HeadscopeError `no-array` when an array is not kept (any more) */
  private tensors({ arrays = {} }: PromptInputs): GivenInputs {
    return Object.fromEntries(
      Object.entries(arrays).map(([name, id]) => {
        const kept = this.arrays.get(id);
        if (!kept)
          throw new HeadscopeError(
            'no-array',
            `What was given for ${name} is not here any more. Choose the file again.`,
          );
        if (kept.kind === 'array') return [name, kept.tensor];
        const settings = this.wanted.inputs.find((input) => input.name === name)?.picture;
        if (!settings)
          throw new HeadscopeError('bad-input', `${name} is no picture. Give it as a NumPy file.`);
        return [name, pictureTensor(kept.pixels, settings)];
      }),
    );
  }

  /** Inputs as they go through the encoders; the same object for the same inputs. */
  of(inputs: PromptInputs = {}): Promise<Encoded & { given: GivenInputs }> {
    const key = JSON.stringify([inputs.source ?? null, Object.entries(inputs.arrays ?? {}).sort()]);
    let found = this.encoded.get(key);
    if (!found) {
      found = this.encode(inputs);
      found.catch(() => this.encoded.delete(key));
      if (this.encoded.size >= KEPT) this.encoded.delete([...this.encoded.keys()][0]);
      this.encoded.set(key, found);
    }
    return found;
  }

  private async encode(inputs: PromptInputs): Promise<Encoded & { given: GivenInputs }> {
    const source = this.wanted.source ? inputs.source : undefined;
    const encoded = await encodeInputs(
      this.open,
      this.device,
      { inputs: this.tensors(inputs), source },
      this.embedder,
    );
    return { ...encoded, given: { ...encoded.inputs, ...encoded.picture } };
  }

  /** Tensors for a row; undefined when the prompt brings nothing. */
  async given(inputs: PromptInputs | undefined): Promise<GivenInputs | undefined> {
    if (inputs?.source === undefined && !Object.keys(inputs?.arrays ?? {}).length) return undefined;
    return (await this.of(inputs)).given;
  }

  /**
   * A prompt's tokens as the model gets them with what the prompt brings; the positions of a model that reads no text.
   * @throws HeadscopeError as `Tokenizer.encode`, and what running an encoder throws
   */
  async prompt(
    text: string,
    inputs: PromptInputs | undefined,
    { positions, patches }: { readonly positions?: number; readonly patches?: PatchGrid },
  ): Promise<EncodedInputs> {
    const encoded = inputs && (await this.of(inputs));
    const { anatomy } = this.open.checkpoint;
    if (positions !== undefined) {
      const count = (encoded && givenLength(anatomy, encoded.given, 'tokens')) ?? positions;
      const names = patches && patchNames(patches, count);
      const tokens = Array.from({ length: count }, (_, id) => ({
        id,
        text: names?.[id] ?? String(id),
        special:
          patches !== undefined &&
          (id < patches.first || id >= patches.first + patches.columns * patches.rows),
      }));
      return { ids: tokens.map(({ id }) => id), tokens, unknown: [], empty: false };
    }
    const tokenizer = encoded?.prompting.tokenizer ?? this.open.tokenizer;
    const prompt = encodePrompt(tokenizer, text);
    const started = prompt.empty && (encoded?.prompting.startIds?.length ?? 0) > 0;
    const span = pictureSpan(prompt.ids, this.embedder?.imageToken);
    return {
      ...prompt,
      ...(started && {
        ids: encoded!.prompting.startIds,
        tokens: showTokens(tokenizer, encoded!.prompting.startIds!),
      }),
      empty: prompt.empty && !started,
      ...(span && { picture: span }),
      ...(encoded && { source: this.sourceTokens(inputs, encoded) }),
    };
  }

  private sourceTokens(inputs: PromptInputs, { given }: { given: GivenInputs }): ShownToken[] | undefined {
    const length = givenLength(this.open.checkpoint.anatomy, given, 'source');
    if (length === undefined) return undefined;
    if (this.wanted.source && inputs.source?.trim())
      return [...encodePrompt(this.open.tokenizer, inputs.source).tokens];
    return Array.from({ length }, (_, id) => ({ id, text: String(id), special: false }));
  }
}

/** A runner whose rows get these inputs when they bring none. */
export const withInputs = (runner: Runner, given: GivenInputs | undefined): Runner =>
  given ? withDefault(runner, () => given) : runner;

/** A runner whose rows get the inputs of the prompt that is looked at when they bring none. */
export const withCurrentInputs = (runner: Runner, book: InputBook): Runner =>
  withDefault(runner, () => book.current);

function withDefault(runner: Runner, otherwise: () => GivenInputs | undefined): Runner {
  return {
    ...runner,
    run: (request, onRow, options) => {
      const given = otherwise();
      if (!given) return runner.run(request, onRow, options);
      const rows = request.rows.map((row) => (row.given ? row : { ...row, given }));
      return runner.run({ ...request, rows }, onRow, options);
    },
  };
}

/** The sizes of kept arrays, for graphs that leave them open. */
export function shapesOf(
  { arrays = {} }: PromptInputs,
  kept: ReadonlyMap<string, KeptArray>,
): Record<string, readonly number[]> {
  return Object.fromEntries(
    Object.entries(arrays).flatMap(([name, id]) => {
      const array = kept.get(id);
      return array?.kind === 'array' ? [[name, array.tensor.dims]] : [];
    }),
  );
}
