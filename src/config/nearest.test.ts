import { describe, expect, it } from 'vitest';
import { editDistance, nearest } from './nearest.ts';

describe('the nearest name', () => {
  it('counts a swap of neighbours as one edit', () => expect(editDistance('laoyut', 'layout')).toBe(1));
  it('counts inserted, deleted and replaced letters', () => expect(editDistance('kitten', 'sitting')).toBe(3));
  it('sees through case and dashes', () => expect(nearest('max-bytes', ['maxAge', 'maxBytes'])).toBe('maxBytes'));
  it('is none when everything is far away', () => expect(nearest('colour', ['layout', 'url'])).toBeNull());
  it('is none of an empty list', () => expect(nearest('x', [])).toBeNull());
});
