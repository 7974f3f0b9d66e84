type Duty = () => Promise<void>;
const KEY = Symbol.for('durable-alipay.test.at-end');

/** Kept on the test file's global object, the only thing that file and environment share. */
export function duties(holder: object): Duty[] {
  const carrier = holder as Record<symbol, Duty[] | undefined>;
  return (carrier[KEY] ??= []);
}

/**
 * Runs something after the file's last afterAll. A fixture cannot use afterAll itself: jest runs those in the order of
 * their definition, so the fixture's would run before the file has closed what it opened.
 */
export function atEnd(duty: Duty): void {
  duties(globalThis).push(duty);
}
