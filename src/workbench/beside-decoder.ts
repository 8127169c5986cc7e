import type { Checkpoint } from './checkpoint.ts';

/** What kind of numbers a file holds: "_q4" of "decoder_model_merged_q4.onnx". */
const VARIANT = /_(fp16|int8|uint8|quantized|q4|q4f16|bnb4)(?=\.onnx$)/;

/**
 * The graph of another part of the model beside a decoder, `<part>.onnx`, in the same folder: of the decoder's own variant where there is one, else the
 * plain one, else any.
 */
export async function besideDecoder(decoder: Checkpoint, part: string): Promise<string | undefined> {
  const folder = decoder.file.slice(0, decoder.file.lastIndexOf('/') + 1);
  const variant = VARIANT.exec(decoder.file)?.[0] ?? '';
  const names = (await decoder.files.list()).filter(
    (name) =>
      name !== decoder.file &&
      name.startsWith(folder + part) &&
      /^(_\w+)?\.onnx$/.test(name.slice((folder + part).length)),
  );
  return (
    [`${folder}${part}${variant}.onnx`, `${folder}${part}.onnx`].find((name) => names.includes(name)) ??
    names[0]
  );
}
