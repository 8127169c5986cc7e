/*
 * Loads a graph on native WebGPU so that ONNX Runtime writes to stderr where it puts each node; a process of its own, since only the native code's
 * output says it. Its one argument is JSON: { graph: file, folder, onCpu: names, plain: whether the graph is taken as it
 * is, without optimising it }.
 */
import { readFileSync } from 'node:fs';
import { InferenceSession } from 'onnxruntime-node';

const { graph, folder, onCpu, plain = false } = JSON.parse(process.argv[2]);
await InferenceSession.create(readFileSync(graph), {
  executionProviders: [{ name: 'webgpu', ...(onCpu.length > 0 ? { forceCpuNodeNames: onCpu } : {}) }],
  graphOptimizationLevel: plain ? 'disabled' : 'all',
  logSeverityLevel: 0,
  logVerbosityLevel: 1,
  extra: { session: { model_external_initializers_file_folder_path: folder } },
});
process.exit(0);
