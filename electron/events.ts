import type { WebContents } from 'electron';
import { EVENT_CHANNEL, type BridgeEvent } from '../renderer/shell/bridge.ts';

/** Events for the page; those that come before it listens wait for it. */
export class PageEvents {
  private page?: WebContents;
  private listening = false;
  private readonly waiting: BridgeEvent[] = [];

  /** A page that is being loaded, perhaps again, does not listen yet. */
  loading(page: WebContents): void {
    this.page = page;
    this.listening = false;
  }

  send(event: BridgeEvent): void {
    this.waiting.push(event);
    this.flush();
  }

  listen(): void {
    this.listening = true;
    this.flush();
  }

  private flush(): void {
    if (!this.listening || !this.page || this.page.isDestroyed()) return;
    for (const event of this.waiting.splice(0)) this.page.send(EVENT_CHANNEL, event);
  }
}
