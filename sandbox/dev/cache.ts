import { join, resolve } from 'node:path';

/** The top of this repository. */
export const ROOT = resolve(__dirname, '..', '..');

/** Tools that were downloaded or built once; ignored by git, and safe to delete. */
export const CACHE = join(ROOT, '.cache');
