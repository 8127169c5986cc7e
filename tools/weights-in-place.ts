import { readFile } from 'node:fs/promises';
import path from 'node:path';
import type { Plugin } from 'vite';

/** What ONNX Runtime's glue looks like where it reads a weight out of a Blob, with the names that the minifier chose as groups. */
const READS =
  /if\("undefined"!==typeof Blob&&(?<blob>\w+) instanceof Blob\)\{if\((?<offset>\w+)\+(?<length>\w+)>\k<blob>\.size\)return 3;/;
const COPIES =
  /switch\((?<kind>\w+)\)\{case 0:(?<heap>\(\w+\(\),\w+\))\.set\((?<bytes>\w+),(?<place>\w+)>>>0\);break;case 1:(?<upload>\w+\.\w+)\?/;
const copiesToCard = (buffer: string, bytes: string): RegExp =>
  new RegExp(`(\\w+\\.copyBufferToBuffer\\(\\w+,0,${buffer}),0,${bytes}\\)`);

/**
 * ONNX Runtime's glue for browsers, changed so that weights go to their places piece by piece. As it comes, it collects every weight in an array
 * as long as the longest one, keeps that while a session loads, and uploads a weight to a graphics card in one buffer of its own: up to three
 * times the largest weight. What is changed asks the Blob for `deliver` (src/onnx/source-blob.ts); other Blobs are read as before.
 *
 * @throws Error when a version of the package reads weights in another way
 */
export function weightsInPlace(glue: string): string {
  const unknown = (): never => {
    throw new Error('onnxruntime-web reads weights in a new way: tools/weights-in-place.ts has to follow.');
  };
  const { blob, offset, length } = READS.exec(glue)?.groups ?? unknown();
  const { kind, heap, place, upload } = COPIES.exec(glue)?.groups ?? unknown();
  const [definition, card, bytes] =
    new RegExp(`${upload.replace('.', '\\.')}=\\((\\w+),(\\w+)\\)=>\\{`).exec(glue) ?? unknown();
  const uploaded = glue.indexOf(definition) + definition.length;
  const copy = copiesToCard(card, bytes).exec(glue.slice(uploaded, uploaded + 600)) ?? unknown();
  const at = uploaded + copy.index;
  const withPlace =
    glue.slice(0, uploaded).replace(definition, `${upload}=(${card},${bytes},at=0)=>{`) +
    glue.slice(uploaded, at) +
    `${copy[1]},at,${bytes})` +
    glue.slice(at + copy[0].length);
  return withPlace.replace(
    READS,
    (found) =>
      `if(${blob}.deliver&&(${kind}===0||${kind}===1&&${upload})){` +
      `if(${offset}+${length}>${blob}.size)return 3;` +
      `await ${blob}.deliver(${offset},${length},(piece,at)=>${kind}?${upload}(${place},piece,at):${heap}.set(piece,${place}+at));` +
      `return 0}${found}`,
  );
}

const GLUE = /[\\/]ort-wasm-simd-threaded\.jspi\.mjs\?url$/;

/** Lets a build emit the changed glue wherever the address of ONNX Runtime's is imported. */
export function weightsInPlacePlugin(): Plugin {
  return {
    name: 'weights-in-place',
    enforce: 'pre',
    async load(id) {
      if (!GLUE.test(id)) return null;
      const file = id.replace(/\?url$/, '');
      const source = weightsInPlace(await readFile(file, 'utf8'));
      const asset = this.emitFile({ type: 'asset', name: path.basename(file), source });
      return `export default import.meta.ROLLUP_FILE_URL_${asset};`;
    },
  };
}
