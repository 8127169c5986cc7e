/** The scheme and the origin of the app's own pages; there are no others. */
export const SCHEME = 'app';
export const ORIGIN = `${SCHEME}://headscope`;

/** True for addresses of the app's own origin. */
export function isOwn(url: string): boolean {
  return url.startsWith(`${ORIGIN}/`);
}
