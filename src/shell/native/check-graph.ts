import { HeadscopeError } from '../../errors.ts';
import { resolveExternalData } from '../../onnx/external.ts';
import { readModel } from '../../onnx/read.ts';
import { bytesSource, type ByteSource, type CheckpointFiles } from '../../onnx/source.ts';

const NO_FILES: CheckpointFiles = {
  open: (name) =>
    Promise.reject(
      new HeadscopeError(
        'outside-folder',
        `The model asks for the file ${JSON.stringify(name)}, but no folder was opened for it.`,
      ),
    ),
  list: () => Promise.resolve([]),
};

/**
 * Makes sure that a graph's external data lies in the opened folder before a runtime that knows nothing of folders opens it.
 * @returns the files that hold the graph's weights
 * @throws HeadscopeError `outside-folder`, `missing-file`, `bad-external-data`, `bad-onnx`
 */
export async function checkGraph(
  graph: Uint8Array,
  files: CheckpointFiles = NO_FILES,
): Promise<ByteSource[]> {
  const found = await resolveExternalData(await readModel(bytesSource('the graph', graph)), files);
  return [...found.values()];
}
