import { HeadscopeError } from '../../src/errors.ts';
import type { ReportDocument } from '../../src/report/schema.ts';
import { sessionReport } from '../../src/workbench/report/session-report.ts';
import { contextNow } from '../actions/report-items.ts';
import { modelHash } from './model-hash.ts';
import type { WorkbenchState } from './workbench.svelte.ts';

/** The collected report as a document, with what it was made with. @throws HeadscopeError what hashing the model throws */
export async function collectedReport(workbench: WorkbenchState): Promise<ReportDocument> {
  const hashes = await modelHash(workbench);
  const { session, checkpoint } = workbench;
  if (!checkpoint || !session.checkpoint)
    throw new HeadscopeError('no-checkpoint', 'No checkpoint is open. Open a folder or an .onnx file first.');
  const { model } = checkpoint.inspect;
  const { measuredError } = contextNow(workbench);
  return sessionReport(
    session.report,
    {
      checkpoint: {
        name: session.checkpoint.name,
        files: hashes.files.map((file) => ({ ...file })),
        sha256: hashes.sha256,
      },
      device: checkpoint.device.name,
      dtype: model.dtype,
      ...(model.opset !== null && { opset: model.opset }),
      ...(measuredError && { measuredError }),
    },
    new Date(),
  );
}
