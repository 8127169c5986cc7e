import { describe, expect, it } from 'vitest';
import { History } from '../../src/workbench/session/history.ts';

const step = (label: string, before: number, after: number) => ({ label, before, after });

describe('undo and redo', () => {
  it('goes back and forth through every step', () => {
    const history = new History<number>();
    history.push(step('a', 0, 1));
    history.push(step('b', 1, 2));
    expect([history.undoLabel, history.redoLabel]).toEqual(['b', undefined]);
    expect(history.undo()).toBe(1);
    expect([history.undoLabel, history.redoLabel]).toEqual(['a', 'b']);
    expect(history.undo()).toBe(0);
    expect(history.undo()).toBeUndefined();
    expect(history.redo()).toBe(1);
    expect(history.redo()).toBe(2);
    expect(history.redo()).toBeUndefined();
  });

  it('makes one step of a dragged slider', () => {
    const history = new History<number>();
    history.push(step('a', 0, 1));
    for (const value of [2, 3, 4]) history.push(step('β', value - 1, value), 'beta');
    expect(history.undo()).toBe(1);
    expect(history.redo()).toBe(4);
  });

  it('begins another step after an undo, another key or no key', () => {
    const history = new History<number>();
    history.push(step('β', 0, 1), 'beta');
    history.push(step('α', 1, 2), 'alpha');
    history.push(step('β', 2, 3), 'beta');
    history.push(step('x', 3, 4));
    history.push(step('β', 4, 5), 'beta');
    expect([history.undo(), history.undo(), history.undo()]).toEqual([4, 3, 2]);
    history.push(step('α', 2, 9), 'alpha');
    expect(history.undo()).toBe(2);
    expect(history.undoLabel).toBe('α');
    expect(history.undo()).toBe(1);
  });

  it('forgets what was undone when a new step is made', () => {
    const history = new History<number>();
    history.push(step('a', 0, 1));
    history.undo();
    history.push(step('b', 0, 5));
    expect(history.redoLabel).toBeUndefined();
  });

  it('keeps the last 200 steps', () => {
    const history = new History<number>();
    for (let i = 0; i < 250; i++) history.push(step(String(i), i, i + 1));
    let undone = 0;
    let oldest = Infinity;
    for (let value = history.undo(); value !== undefined; value = history.undo()) {
      undone++;
      oldest = value;
    }
    expect([undone, oldest]).toEqual([200, 50]);
  });
});
