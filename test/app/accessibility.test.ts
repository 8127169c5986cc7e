import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import * as axe from './axe.ts';
import { openApp, type App } from './harness.ts';

const VIEWS = ['heads', 'sinks', 'calibrate', 'circuits', 'report'] as const;

let app: App;
beforeAll(async () => {
  app = await openApp();
}, 120_000);
afterAll(() => app.close());

const violations = (): Promise<string[]> => axe.violations(app.page);

/** Controls that reach out of the window sideways, without a parent that scrolls. */
const clipped = (): Promise<string[]> =>
  app.page.evaluate(() => {
    const scrolls = (element: Element | null): boolean => {
      for (let at = element?.parentElement ?? null; at; at = at.parentElement) {
        const { overflowX } = getComputedStyle(at);
        if (at !== document.body && (overflowX === 'auto' || overflowX === 'scroll'))
          return at.scrollWidth > at.clientWidth;
      }
      return false;
    };
    return [...document.querySelectorAll('button, input, select, textarea, a')]
      .filter(
        (element) =>
          element.checkVisibility({ visibilityProperty: true }) &&
          !element.closest('.skip, .visually-hidden'),
      )
      .filter((element) => {
        const { left, right, width } = element.getBoundingClientRect();
        return width > 0 && (left < -1 || right > innerWidth + 1) && !scrolls(element);
      })
      .map((element) => element.outerHTML.slice(0, 160));
  });

const theme = async (choice: 'light' | 'dark'): Promise<void> => {
  await app.page.getByLabel('Theme').selectOption(choice);
  await app.page.waitForFunction((wanted) => document.documentElement.dataset.theme === wanted, choice);
};
const view = async (i: number): Promise<void> => {
  await app.page.keyboard.press(`Control+${i + 1}`);
  await app.settled();
};

describe('accessibility', () => {
  for (const colours of ['light', 'dark'] as const)
    it(`of the start page, ${colours}`, async () => {
      await theme(colours);
      expect(await violations()).toEqual([]);
    });

  it('of every view, light and dark', async () => {
    await app.openSample('induction-2l', 'cpu');
    const found: string[] = [];
    for (const colours of ['light', 'dark'] as const) {
      await theme(colours);
      for (const [i, name] of VIEWS.entries()) {
        await view(i);
        found.push(...(await violations()).map((one) => `${name}, ${colours}: ${one}`));
      }
    }
    expect(found).toEqual([]);
  }, 240_000);

  it('of what opens on top', async () => {
    const found: Record<string, string[]> = {};
    for (const keys of ['Control+k', '?']) {
      await app.page.keyboard.press(keys);
      await app.page.getByRole('dialog').waitFor();
      found[keys] = await violations();
      await app.page.keyboard.press('Escape');
      await app.page.getByRole('dialog').waitFor({ state: 'detached' });
    }
    expect(found).toEqual({ 'Control+k': [], '?': [] });
  });

  it('has landmarks, one main heading level, and a way past the controls', async () => {
    const { page } = app;
    for (const role of ['banner', 'navigation', 'main', 'complementary', 'contentinfo'] as const)
      expect({ role, count: await page.getByRole(role).count() }).toEqual({ role, count: 1 });
    await page.evaluate(() => (document.activeElement as HTMLElement | null)?.blur());
    await page.keyboard.press('Tab');
    expect(await page.evaluate(() => document.activeElement?.textContent)).toBe('Skip to the view');
    await page.keyboard.press('Enter');
    expect(await page.evaluate(() => document.activeElement?.id)).toBe('view');
  });

  it('shows where the focus is on everything that Tab reaches', async () => {
    const { page } = app;
    await view(0);
    await page.locator('.skip').focus();
    const unseen: string[] = [];
    const seen = new Set<string>();
    for (let i = 0; i < 200; i++) {
      await page.keyboard.press('Tab');
      const at = await page.evaluate(() => {
        const element = document.activeElement;
        if (!element || element === document.body) return null;
        const { outlineStyle, outlineWidth, boxShadow } = getComputedStyle(element);
        const marked = (outlineStyle !== 'none' && parseFloat(outlineWidth) >= 1) || boxShadow !== 'none';
        return { html: element.outerHTML.slice(0, 240), marked, id: element.id };
      });
      if (at === null) break;
      seen.add(at.html);
      if (!at.marked) unseen.push(at.html);
    }
    expect(unseen).toEqual([]);
    expect(seen.size).toBeGreaterThan(15);
  }, 120_000);

  it('keeps every control in the window at 200 %', async () => {
    // A window of 1280 × 800 zoomed to 200 % is one of 640 × 400 for its page.
    await app.page.setViewportSize({ width: 640, height: 400 });
    for (const [i, name] of VIEWS.entries()) {
      await view(i);
      expect({ name, clipped: await clipped() }).toEqual({ name, clipped: [] });
    }
    await app.page.setViewportSize({ width: 1280, height: 800 });
  }, 120_000);

  it('does not move where the system asks for less motion', async () => {
    await app.page.emulateMedia({ reducedMotion: 'reduce' });
    const moving = await app.page.evaluate(
      () =>
        document.getAnimations().filter((each) => Number(each.effect?.getComputedTiming().duration) > 1)
          .length,
    );
    expect(moving).toBe(0);
    const duration = await app.page
      .getByRole('button')
      .first()
      .evaluate((button) => getComputedStyle(button).transitionDuration);
    expect(parseFloat(duration)).toBeLessThan(0.001);
  });
});
