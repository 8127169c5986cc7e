import { findSinks, type SinkSettings, type SinksDocument } from '../../../analysis/sinks/find.ts';
import { traceSinks, type SinkTrace } from '../../../analysis/sinks/trace.ts';
import { HeadscopeError } from '../../../errors.ts';
import type { Engine } from '../engine.ts';
import type { PromptInputs } from '../input-book.ts';
import type { CallContext } from '../rpc.ts';

export type { SinkTrace, SinksDocument };

export interface SinksQuestion {
  readonly prompts: readonly {
    readonly label: string;
    readonly text: string;
    readonly inputs?: PromptInputs;
  }[];
  readonly settings: SinkSettings;
}

/** Sinks of prompts as a view shows them and a session keeps them: plain data. */
export interface SinksAnalysis {
  readonly document: SinksDocument;
  /** Of each of `document.prompts`: what a person calls it, its text, and how its sinks run through the layers. */
  readonly details: readonly { readonly label: string; readonly text: string; readonly trace: SinkTrace }[];
  /** Prompts analysed; the summary covers all, `document.prompts` only the first `MOST_DETAILED`. */
  readonly total: number;
}

/** Prompts of a set that are kept one by one, so that a session file stays small. */
export const MOST_DETAILED = 24;

/**
 * Finds the attention sinks of prompts by both definitions.
 * @throws HeadscopeError `empty-prompt`, and what `findSinks` throws
 */
export async function sinks(
  engine: Engine,
  { prompts, settings }: SinksQuestion,
  { signal, onProgress }: CallContext<{ readonly done: number; readonly total: number }>,
): Promise<SinksAnalysis> {
  const { runner, book, opened, patches } = engine.workbench();
  const encoded = await Promise.all(
    prompts.map(async ({ label, text, inputs }) => {
      const { ids, tokens, empty } = await book.prompt(text, inputs, {
        positions: opened.positions,
        patches,
      });
      if (empty)
        throw new HeadscopeError(
          'empty-prompt',
          `The prompt “${label}” is empty; type some text or remove it.`,
        );
      return { ids, tokens: tokens.map((token) => token.text), given: await book.given(inputs) };
    }),
  );
  const detailed = Math.min(MOST_DETAILED, prompts.length);
  const total = 2 * prompts.length + detailed;
  const document = await findSinks(runner, encoded, settings, {
    signal,
    onProgress: (done) => onProgress({ done, total }),
  });
  const kept = document.prompts.slice(0, detailed);
  const traces = await traceSinks(
    runner,
    kept.map((prompt, i) => ({ ...encoded[i], sinks: prompt.sinks })),
    document.sinkDims,
    { signal, onProgress: (done) => onProgress({ done: 2 * prompts.length + done, total }) },
  );
  return {
    document: { ...document, prompts: kept },
    details: traces.map((trace, i) => ({ label: prompts[i].label, text: prompts[i].text, trace })),
    total: prompts.length,
  };
}
