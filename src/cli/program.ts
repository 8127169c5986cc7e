import { Command, CommanderError } from 'commander';
import { HeadscopeError } from '../errors.ts';
import { onTemporaryFile } from '../workbench/node-output.ts';
import { parseList } from '../text/number-list.ts';
import { parseNumber, printable } from './output.ts';
import { VERSION } from '../workbench/version.ts';

onTemporaryFile((path, exists) => process.send?.({ path, exists }));
process.on('SIGINT', () => undefined); // the parent ends us

/** Whoever started us was killed: nobody would see the end of the work, and it may be started again at this moment. */
const orphaned = (): void => void process.kill(process.pid, 'SIGKILL');
if (process.argv[2] !== 'serve') process.once('disconnect', orphaned);

const program = new Command('headscope')
  .description(
    'Finds every attention head in an ONNX transformer, captures, calibrates and explains it. Offline.',
  )
  .version(VERSION)
  .showHelpAfterError('(see --help)')
  .exitOverride()
  .configureOutput({ outputError: () => undefined });

/** Loads a command when it is called: charts and analyses are not needed to inspect a file. */
const later =
  <O>(load: () => Promise<(target: string, options: O) => Promise<void>>) =>
  async (target: string, options: O): Promise<void> =>
    (await load())(target, options);

const files = (file: string, before: string[] | undefined): string[] => [...(before ?? []), file];

function command(name: string, description: string, parent: Command = program): Command {
  return parent
    .command(name)
    .description(description)
    .argument('<checkpoint>', 'a folder with model.onnx, or an .onnx file')
    .option('--device <name>', 'auto, cpu, wasm or webgpu', 'auto')
    .option('--threads <n>', 'threads of the runtime', parseNumber('threads', 1, 1024, true))
    .option('--seed <n>', 'seed of everything random', parseNumber('seed', 0, 2 ** 31 - 1, true), 0)
    .option(
      '--input <name=file.npy>',
      'an array for an input that nobody can guess; may be given several times',
      files,
    )
    .option('--source <text>', 'the text that an encoder reads, for a decoder that attends to it')
    .option('--json', 'print one JSON document')
    .option('--quiet', 'no notes and no progress')
    .option('--debug', 'show a stack trace when something fails');
}

const CHAT =
  "prompts are chats: lists of messages in JSON, or what the user says, written by the model's chat template";

command('inspect', 'the anatomy: blocks, heads, sites, what was recognised and what was not').action(
  later(async () => (await import('./commands/inspect.ts')).inspect),
);

command('run', "next-token predictions for a prompt, and every head's summary")
  .option('--prompt <text>', 'the prompt')
  .option('--chat', CHAT)
  .option('--top <n>', 'predictions shown', parseNumber('top', 1, 1000, true), 10)
  .action(later(async () => (await import('./commands/run.ts')).run));

command('capture', 'activations of prompts to an .npz under TransformerLens hook names')
  .option('--prompt <text>', 'one prompt')
  .option('--chat', CHAT)
  .option('--prompts <file>', 'a prompt set in JSON Lines')
  .option('--sites <list>', 'pattern, scores, z, q, k, v, result, resid, logits', 'pattern,z')
  .option('--layers <list>', 'layers, such as 0,2,5-7', parseList)
  .option('--heads <list>', 'heads, such as 0,3', parseList)
  .option('--half', 'float16 in the place of float32, each number rounded to the nearest')
  .option('--out <file>', 'the .npz to write')
  .action(later(async () => (await import('./commands/capture.ts')).capture));

command('sinks', 'attention sinks by attention and by hidden state')
  .option('--prompt <text>', 'one prompt')
  .option('--chat', CHAT)
  .option('--prompts <file>', 'a prompt set in JSON Lines')
  .option('--alpha <x>', 'a key is a sink above alpha / T', parseNumber('alpha', 0))
  .option('--absolute <x>', 'or above this mean attention', parseNumber('absolute', 0, 1))
  .option('--tau <x>', 'threshold of the hidden-state definition', parseNumber('tau', 0))
  .action(later(async () => (await import('./commands/sinks.ts')).sinks));

command(
  'profile',
  'head scores on random repeated text: induction, previous token, duplicate token, entropy, distance, copying',
)
  .option('--segments <n>', 'random prompts', parseNumber('segments', 1, 10_000, true), 8)
  .option('--length <n>', 'tokens of the repeated segment', parseNumber('length', 2, 100_000, true))
  .action(later(async () => (await import('./commands/profile.ts')).profile));

command('circuit', 'which heads do a task: sparse-autoencoder codes, p-values, causal check')
  .option('--task <file>', 'positive and corrupted prompts in JSON Lines')
  .option('--chat', CHAT)
  .option('--method <name>', 'headscope, or published (O’Neill & Bui 2024)', 'headscope')
  .option('--position <name>', 'head outputs averaged over positions (mean) or at the last one', 'mean')
  .option('--latents <n>', 'latents of the autoencoder (200)', parseNumber('latents', 2, 65_536, true))
  .option('--lambda <x>', 'sparsity (0.02)', parseNumber('lambda', 0))
  .option('--epochs <n>', 'training steps (500)', parseNumber('epochs', 1, 1e6, true))
  .option(
    '--train-prompts <n>',
    'prompts that an autoencoder is trained on (10)',
    parseNumber('train-prompts', 1, 1e6, true),
  )
  .option('--seeds <n>', 'autoencoders (5)', parseNumber('seeds', 1, 1000, true))
  .option('--permutations <n>', 'label permutations (999)', parseNumber('permutations', 19, 1e6, true))
  .option('--fdr <x>', 'false-discovery rate of the circuit (0.05)', parseNumber('fdr', 0, 1))
  .option('--verify', 'ablate and patch every head, and measure faithfulness')
  .option('--truth <file>', 'a known circuit, to compare with')
  .option('--truth-task <name>', 'which task of that file')
  .action(later(async () => (await import('./commands/circuit.ts')).circuit));

const calibrate = program.command('calibrate').description('attention calibration: act, var');

command('act', 'ACT: head search on a labelled set, held-out evaluation', calibrate)
  .option('--task <file>', 'labelled prompts in JSON Lines')
  .option('--chat', CHAT)
  .option('--alpha <x>', 'a key is a sink above alpha / T', parseNumber('alpha', 0))
  .option('--absolute <x>', 'or above this mean attention', parseNumber('absolute', 0, 1))
  .option('--beta <x>', 'share of its attention that a sink keeps', parseNumber('beta', 0, 1))
  .option('--layers <list>', 'layers searched; 2 … L−2 when not given', parseList)
  .option('--metric <name>', 'accuracy or logprob', 'accuracy')
  .option('--keep <rule>', 'interval (gain above 0 with 95 % confidence) or gain (as published)', 'interval')
  .option('--export <file>', 'write the calibrated model')
  .action(later(async () => (await import('./commands/calibrate.ts')).calibrateAct));

command('var', 'VAR: redistribution of attention into a focus span', calibrate)
  .option('--prompt <text>', 'the prompt')
  .option('--chat', CHAT)
  .option('--focus <start:end>', 'the span of tokens that attention is moved to')
  .option('--dims <list>', 'sink dimensions; found when not given', parseList)
  .option('--layers <list>', 'layers treated; 2 … L−2 when not given', parseList)
  .option('--tau <x>', 'threshold of sinks', parseNumber('tau', 0))
  .option('--rho <x>', 'most attention a head may park on sinks of the span', parseNumber('rho', 0, 1))
  .option('--summ <x>', 'least attention on the span', parseNumber('summ', 0, 1))
  .option('--p <x>', 'share of its attention that a sink keeps', parseNumber('p', 0, 1))
  .action(later(async () => (await import('./commands/calibrate.ts')).calibrateVar));

command('report', 'every analysis into a folder: report.html, report.json, tables, figures, arrays')
  .option(
    '--task <file>',
    'a task in JSON Lines; may be given several times. Default: tasks/*.jsonl of the checkpoint, else generated',
    files,
  )
  .option('--prompts <file>', 'prompts for the overview and the sinks')
  .option('--chat', CHAT)
  .option('--out <folder>', 'the folder to write; headscope-report-<name> when not given')
  .option('--shard <i/n>', 'of a manifest (.json, .jsonl): only part i of n, for several machines')
  .option('--summary', 'of a manifest: only sum up what is finished')
  .action(later(async () => (await import('./commands/report.ts')).report));

program
  .command('serve')
  .description('the workbench in a browser on this machine, http://127.0.0.1')
  .argument('[checkpoint...]', 'checkpoints to offer: folders or .onnx files')
  .option('--port <n>', 'the port; 0 takes any free one', parseNumber('port', 0, 65_535, true), 0)
  .option('--debug', 'show a stack trace when something fails')
  .action(async (checkpoints: string[], options: { port: number }) =>
    (await import('./commands/serve.ts')).serve(checkpoints, options),
  );

function fail(error: unknown): never {
  const debug = process.argv.includes('--debug');
  if (error instanceof CommanderError) {
    if (error.exitCode === 0) process.exit(0);
    process.stderr.write(
      `error[usage]: ${error.message.replace(/^error: /, '').split('\n')[0]}. See headscope --help.\n`,
    );
    process.exit(2);
  }
  if (debug && error instanceof Error) process.stderr.write(`${error.stack}\n`);
  if (error instanceof HeadscopeError) {
    process.stderr.write(`error[${error.code}]: ${printable(error.message)}\n`);
    process.exit(error.exit);
  }
  const message = error instanceof Error ? error.message : String(error);
  const memory = error instanceof RangeError && /allocation|Invalid (typed )?array length/i.test(message);
  process.stderr.write(
    memory
      ? 'error[out-of-memory]: There is not enough memory for this. Capture fewer layers or shorter prompts.\n'
      : `error[internal]: Something went wrong that should not: ${printable(message.split('\n')[0])}. Run again with --debug and report it.\n`,
  );
  process.exit(1);
}

process.on('uncaughtException', fail);
process.on('unhandledRejection', fail);
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(0); // a reader that goes away (| head) is no error
  const why = error.code === 'ENOSPC' ? 'the disk is full; free some space' : error.message;
  process.stderr.write(`error[write-failed]: The output could not be written: ${why}.\n`);
  process.exit(1);
});

if (process.argv.length <= 2) {
  process.stdout.write(program.helpInformation());
} else {
  await program.parseAsync().catch(fail);
}
process.off('disconnect', orphaned);
process.disconnect?.();
