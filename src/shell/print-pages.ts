import { randomBytes } from 'node:crypto';

/** Pages that wait to be printed; a page that nobody prints is forgotten when others follow. */
const MAX_WAITING = 4;

/** Self-contained HTML pages under addresses that cannot be guessed, for the shell's own printing. */
export class PrintPages {
  private readonly pages = new Map<string, string>();

  /** @returns the page's path, such as `/print/…` */
  add(html: string): string {
    const token = randomBytes(18).toString('base64url');
    this.pages.set(token, html);
    for (const old of [...this.pages.keys()].slice(0, -MAX_WAITING)) this.pages.delete(old);
    return `/print/${token}`;
  }

  get(token: string): string | undefined {
    return this.pages.get(token);
  }
}
