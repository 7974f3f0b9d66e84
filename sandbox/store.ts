import {
  closeSync,
  existsSync,
  fstatSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readFileSync,
  truncateSync,
  writeSync,
} from 'node:fs';
import { dirname } from 'node:path';
import type { ClockEvent } from './clock';
import type { NoticeEvent } from './notifier';
import type { TradeEvent } from './trades';

/** One line of the state file. */
export type StoredEvent = TradeEvent | NoticeEvent | ClockEvent;

/** What the first line of a state file says. Files without one are of this version too. */
const VERSION = 1;

/** Where events are kept. */
export interface Store {
  append(event: StoredEvent): void;
  /** Forgets everything. */
  clear(): void;
  close(): void;
}

/** Keeps nothing. */
export const noStore: Store = { append: () => undefined, clear: () => undefined, close: () => undefined };

/**
 * Opens a state file: JSON lines, append-only. A last line torn by a crash is cut off, so that the next one starts clean.
 * @param replay called with every event of the past, in order
 * @throws Error naming the line when one before the last cannot be read, or the version when it is another
 */
export function openStore(stateFile: string, replay: (event: StoredEvent) => void): Store {
  mkdirSync(dirname(stateFile), { recursive: true });
  if (existsSync(stateFile)) replayFile(stateFile, replay);
  const file = openSync(stateFile, 'a', 0o600);
  let open = true;
  const begin = () => writeSync(file, `${JSON.stringify({ type: 'version', version: VERSION })}\n`);
  if (fstatSync(file).size === 0) begin();
  return {
    append: (event) => {
      if (open) writeSync(file, `${JSON.stringify(event)}\n`);
    },
    clear: () => {
      ftruncateSync(file);
      begin();
    },
    close: () => {
      open = false;
      closeSync(file);
    },
  };
}

function replayFile(stateFile: string, replay: (event: StoredEvent) => void): void {
  const bytes = readFileSync(stateFile);
  const end = bytes.lastIndexOf('\n') + 1;
  if (end < bytes.length) truncateSync(stateFile, end);
  const lines = bytes.subarray(0, end).toString('utf8').split('\n').slice(0, -1);
  lines.forEach((line, index) => {
    try {
      const event = JSON.parse(line) as StoredEvent | { type: 'version'; version: number };
      if (event.type !== 'version') replay(event);
      else if (event.version !== VERSION) throw new OtherVersion(event.version);
    } catch (error) {
      if (error instanceof OtherVersion) throw new Error(`SANDBOX_STATE: ${stateFile} ${error.message}`);
      throw new Error(
        `SANDBOX_STATE: line ${index + 1} of ${stateFile} cannot be read: move the file away to start empty`,
        { cause: error },
      );
    }
  });
}

class OtherVersion extends Error {
  constructor(version: number) {
    super(
      `is of version ${version}, and this sandbox reads ${VERSION}: move the file away to start empty, or run the sandbox that wrote it`,
    );
  }
}
