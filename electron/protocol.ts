import { protocol } from 'electron';
import { isOwn, SCHEME } from './origin.ts';

/** Makes the app's scheme a proper origin. Must run before the app is ready. */
export function registerScheme(): void {
  const privileges = { standard: true, secure: true, supportFetchAPI: true, stream: true, codeCache: true };
  protocol.registerSchemesAsPrivileged([{ scheme: SCHEME, privileges }]);
}

/** Answers the app's own scheme. */
export function handleScheme(handle: (request: Request) => Promise<Response>): void {
  protocol.handle(SCHEME, (request) =>
    isOwn(request.url) ? handle(request) : Promise.resolve(new Response(null, { status: 404 })),
  );
}
