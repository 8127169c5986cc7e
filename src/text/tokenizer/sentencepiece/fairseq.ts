import type { PieceModel } from '../model.ts';

/** The first ids of XLM-RoBERTa, whatever the model file says (tokenization_xlm_roberta.py in Hugging Face transformers). */
const FIRST = ['<s>', '<pad>', '</s>', '<unk>'];

/** Whether the pieces begin as those of XLM-RoBERTa's file do. */
export function hasFairseqPieces({ vocab }: PieceModel): boolean {
  return ['<unk>', '<s>', '</s>'].every((token, id) => vocab.text(id) === token);
}

/** The same pieces with the ids XLM-RoBERTa gives them: four of its own, all others one higher, `<mask>` at the end. */
export function fairseqNumbering(model: PieceModel): PieceModel {
  const { vocab } = model;
  const mask = vocab.length + 1;
  const get = (text: string): number | undefined => {
    if (text === '<mask>') return mask;
    const piece = vocab.get(text);
    if (piece !== undefined && piece > 2) return piece + 1;
    const first = FIRST.indexOf(text);
    return first < 0 ? undefined : first;
  };
  const text = (id: number): string | undefined => FIRST[id] ?? (id === mask ? '<mask>' : vocab.text(id - 1));
  return {
    ...model,
    vocab: { length: mask + 1, get, text, has: (token) => get(token) !== undefined },
    unk: 3,
  };
}
