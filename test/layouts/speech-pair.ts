import { copyFileSync, mkdirSync } from 'node:fs';
import path from 'node:path';
import { inRepository } from '../helpers/models.ts';

/** Writes a folder with an encoder of sound features and a decoder that attends to it, of two samples of equal width. */
export function writeSpeechPair(folder: string): void {
  mkdirSync(folder, { recursive: true });
  const copy = (from: string, to: string): void =>
    copyFileSync(inRepository(`test/layouts/${from}`), path.join(folder, to));
  copy('samples/sound/model.onnx', 'encoder_model.onnx');
  copy('pairs/t5-pair/decoder_model.onnx', 'decoder_model.onnx');
  copy('pairs/t5-pair/config.json', 'config.json');
}
