/** What pages and scripts under `/engine/` may do besides: ONNX Runtime compiles WebAssembly and makes a few functions from text. */
const ENGINE_SCRIPTS = "script-src 'self' 'unsafe-eval' 'wasm-unsafe-eval'";
const PAGE_SCRIPTS = "script-src 'self'";

const policy = (scripts: string): string =>
  [
    "default-src 'none'",
    scripts,
    "worker-src 'self'",
    "connect-src 'self' blob:",
    "img-src 'self' data: blob:",
    "font-src 'self'",
    "style-src 'self'",
    "style-src-attr 'unsafe-inline'",
    "frame-src 'self'",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
  ].join('; ');

/** A page to be printed is text and pictures; no script of it ever runs. It may be framed by the workbench, which prints it. */
const PRINT_POLICY =
  "default-src 'none'; style-src 'unsafe-inline'; img-src data:; font-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'self'";

/** Content Security Policy of a response. A worker's policy is that of its own script, so the engine's is confined to it. */
export function contentSecurityPolicy(pathname: string): string {
  if (pathname.startsWith('/print/')) return PRINT_POLICY;
  return policy(pathname.startsWith('/engine/') ? ENGINE_SCRIPTS : PAGE_SCRIPTS);
}

/** Headers of every response: isolated from other origins, which is also what threaded WebAssembly asks for, and of the stated type only. */
export function securityHeaders(pathname: string): Record<string, string> {
  return {
    'content-security-policy': contentSecurityPolicy(pathname),
    'cross-origin-opener-policy': 'same-origin',
    'cross-origin-embedder-policy': 'require-corp',
    'cross-origin-resource-policy': 'same-origin',
    'x-content-type-options': 'nosniff',
    'referrer-policy': 'no-referrer',
  };
}
