/** How long to wait, and for what. */
export interface Waiting {
  /** Shown in the error: "Timed out after 10 s waiting for <what>". */
  what: string;
  /** What takes a second can take many on a busy machine. @defaultValue 30000 */
  timeoutMs?: number;
  /** @defaultValue 50 */
  everyMs?: number;
}

type Truthy<T> = Exclude<T, false | 0 | '' | null | undefined>;

/**
 * Repeats until a condition holds.
 *
 * @param condition - truthy if it holds; a rejection counts as "not yet", and finally becomes the error's cause
 * @returns what the condition returned last
 * @throws Error that says what was waited for and how long
 */
export async function waitFor<T>(
  condition: () => Promise<T> | T,
  { what, timeoutMs = 30_000, everyMs = 50 }: Waiting,
): Promise<Truthy<T>> {
  const deadline = Date.now() + timeoutMs;
  let last: unknown;
  for (;;) {
    try {
      const value = await condition();
      if (value) return value as Truthy<T>;
      last = undefined;
    } catch (error) {
      last = error;
    }
    if (Date.now() >= deadline) break;
    await new Promise((resolve) => setTimeout(resolve, everyMs));
  }
  throw new Error(`Timed out after ${timeoutMs / 1000} s waiting for ${what}`, { cause: last });
}
