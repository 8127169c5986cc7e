/**
 * The one error type a person gets to see.
 *
 * `code` is short and stable (`no-model`, `bad-onnx`, ...), `message` one sentence that says what is wrong, where, and what to do.
 * `exit` follows the command line's contract: 2 = bad usage or bad input, 1 = the analysis could not be completed.
 */
export class HeadscopeError extends Error {
  readonly code: string;
  readonly exit: 1 | 2;

  constructor(code: string, message: string, exit: 1 | 2 = 2, options?: { cause?: unknown }) {
    super(message, options);
    this.name = 'HeadscopeError';
    this.code = code;
    this.exit = exit;
  }
}

/** Throws the error every long piece of work ends with when its caller gave up. */
export function throwIfCancelled(signal: AbortSignal | undefined): void {
  if (signal?.aborted)
    throw new HeadscopeError('cancelled', 'The work was cancelled before it was complete.', 1);
}
